"""Which model the build fetches, and into which folder: read from the RUN lines that fetch it."""

import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from common.language import either
from preflight.dockerfile_reader import Dockerfile, Run
from preflight.lines import Line

HUBS = ("modelscope", "hf")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_CLONE = re.compile(r"https?://(?:www\.)?(modelscope\.cn|huggingface\.co|hf-mirror\.com)/(.+)")


@dataclass(frozen=True)
class Fetch:
    """model_id: OWNER/NAME, "" where none is named. hub: as download_model.py calls it. out: an
    absolute path in the image, "" where it is not known. named: whether a name is there, if only
    for a shell to compute. run: whether a RUN fetches it."""

    model_id: str = ""
    hub: str = "modelscope"
    revision: str = ""
    out: str = ""
    named: bool = False
    run: bool = False

    @property
    def at(self) -> str:
        """The revision, or the hub's default branch."""
        return self.revision or ("main" if self.hub == "hf" else "master")


def fetched(read: Dockerfile) -> Fetch:
    """What the last RUN that fetches a model names; without such a RUN, what MODEL_ID says."""
    found = [fetch for run in read.runs for fetch in _fetches(run)]
    if found:
        return found[-1]
    named = {**read.arguments, **read.stage.environment}
    hub, revision = named.get("MODEL_HUB", "modelscope"), named.get("MODEL_REVISION", "")
    return Fetch(named.get("MODEL_ID", ""), hub, revision)


def fetch_lines(read: Dockerfile, fetch: Fetch) -> list[Line]:
    """What is wrong with the name, or with where the service will look for the model."""
    lines = []
    for run in read.runs:
        for name in run.unset:
            why = either(
                f"ARG {name} 写在 FROM 之前，只对 FROM 行有效，在 RUN 里是空的："
                f"在 FROM 之后再写一行 ARG {name}",
                f"ARG {name} stands before FROM, where it is for FROM lines only and empty in RUN: "
                f"write `ARG {name}` again after FROM",
            )
            lines.append(_wrong(f"ARG {name}", either("是空的", "empty"), why))
    unset = any(run.unset for run in read.runs)
    if fetch.run and not fetch.named and not unset:
        why = either("构建不知道下载哪个模型", "the build does not know which model to fetch")
        lines.append(_wrong("MODEL_ID", either("是空的", "empty"), why))
    if fetch.hub not in HUBS:
        why = either(f"只有 {' 和 '.join(HUBS)}", f"one of {' and '.join(HUBS)}")
        lines.append(_wrong(either("模型站", "model hub"), fetch.hub, why))
    if fetch.model_id and not _NAME.fullmatch(fetch.model_id):
        why = either(
            "应是模型站上的 用户名/模型名，不带网址",
            "expected the hub's OWNER/NAME, without its address",
        )
        lines.append(_wrong("MODEL_ID", fetch.model_id, why))
    told = read.stage.environment.get("MODEL_DIR", "model/served")
    place = posixpath.normpath(posixpath.join(read.stage.workdir, told))
    elsewhere = any(copy.of for copy in read.stage.copies)  # it may be copied to its place
    if fetch.out and fetch.out != place and not elsewhere:
        why = either(
            f"模型下载到 {fetch.out}，而服务在 {place} 里找它（MODEL_DIR、WORKDIR）",
            f"the model is fetched into {fetch.out}, and the service looks for it in {place} "
            "(MODEL_DIR, WORKDIR)",
        )
        lines.append(_wrong(either("模型的位置", "model's place"), fetch.out, why, place))
    return lines


def _wrong(what: str, figure: str, why: str, limit: str = "") -> Line:
    return Line("repository", what, "fail", figure, limit, "", why)


def _fetches(run: Run) -> Iterator[Fetch]:
    place, shell = run.workdir, {}
    for command in re.split(r"&&|\|\||[;\n]", run.text):
        if assigned := re.fullmatch(r"\s*(?:export\s+)?(\w+)=(\S*)\s*", command):
            shell[assigned[1]] = assigned[2].strip("\"'")
            continue
        words = _words(re.sub(r"\$\{?(\w+)\}?", lambda m: shell.get(m[1], m[0]), command))
        names = [posixpath.basename(word) for word in words]
        if names[:1] == ["cd"] and len(words) > 1:
            place = posixpath.join(place, words[1])
        elif "download_model.py" in names:
            plain, options = _parsed(words[names.index("download_model.py") + 1 :])
            if "from" not in options:
                hub = options.get("hub", "modelscope")
                yield _fetch(place, plain, options, hub, "model/served")
        elif "download" in names[1:2] and names[0] in ("modelscope", "huggingface-cli", "hf"):
            plain, options = _parsed(words[2:])
            hub = "modelscope" if names[0] == "modelscope" else "hf"
            plain = [options["model"]] if "model" in options else plain
            yield _fetch(place, plain, options, hub, options.get("local-dir", ""))
        elif names[:2] == ["git", "clone"]:
            for word in words[2:]:
                if cloned := _CLONE.match(word):
                    model = cloned[2].removeprefix("models/").removesuffix(".git").strip("/")
                    hub = "modelscope" if cloned[1].startswith("modelscope") else "hf"
                    into = words[-1] if words[-1] != word else model.rpartition("/")[2]
                    yield _fetch(place, [model], {}, hub, into)
    called = r"snapshot_download\(\s*(?:model_id\s*=\s*|repo_id\s*=\s*)?[\"']([^\"']+)[\"']([^)]*)"
    for model, rest in re.findall(called, run.text):
        into = re.search(r"local_dir\s*=\s*[\"']([^\"']+)", rest)
        hub = "hf" if "huggingface" in run.text else "modelscope"
        yield _fetch(place, [model], {}, hub, into[1] if into else "")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _fetch(place: str, plain: list[str], options: dict[str, str], hub: str, out: str) -> Fetch:
    into = options.get("out", out)
    told = (plain[0] if plain else "", options.get("revision", ""), into)
    # What a shell would have to compute is not known here.
    model, revision, into = ("" if "$" in each else each for each in told)
    whole = posixpath.normpath(posixpath.join(place, into)) if into else ""
    return Fetch(model, hub, revision, whole, named=bool(model) or "$" in told[0], run=True)


def _parsed(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """The words that belong to no option, and the options by name (`_` as `-`)."""
    plain, options, at = [], {}, 0
    while at < len(words):
        word = words[at]
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            if not equals and at + 1 < len(words):
                at, value = at + 1, words[at + 1]
            options[name.replace("_", "-")] = value
        else:
            plain.append(word)
        at += 1
    return plain, options
