"""What a Dockerfile says of the image: base, environment, files, ports and command.

Read by Docker's own rules (docs.docker.com/reference/dockerfile): continuation lines, comments,
heredocs, quoted values, ARG and ENV in later values with the scope of each, and stages that build
on one another. RUN is not run.
"""

import json
import posixpath
import re
import shlex
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from difflib import get_close_matches

from common.language import BilingualError

_ALL = """ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN
SHELL STOPSIGNAL USER VOLUME WORKDIR"""
INSTRUCTIONS = _ALL.split()
_HEREDOC = re.compile(r"""(?:^|\s)\d*<<-?(["']?)([^\s<>"']+)\1(?=\s|$)""")


class DockerfileError(BilingualError, ValueError):
    """Docker would refuse the file; the message names the instruction."""


@dataclass
class Copy:
    """A COPY or ADD. target: an absolute path, of a directory where it ends with "/". of: the stage
    or image that it copies from, "" for the build's context. inline: files by name whose text
    stands in the Dockerfile. written: for messages."""

    sources: list[str]
    target: str
    of: str = ""
    inline: dict[str, str] = field(default_factory=dict)
    written: str = ""


@dataclass
class Run:
    """A RUN: its text, with the variables of its stage filled in, and where it runs. unset: names
    in it that had a value before the first FROM only, which Docker leaves empty here."""

    text: str
    workdir: str
    unset: list[str] = field(default_factory=list)


@dataclass
class Stage:
    """One stage. base: the image it starts from. entrypoint and command as they are written.
    arguments: its ARGs, in their scope."""

    base: str
    environment: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    ports: list[str] = field(default_factory=list)
    workdir: str = "/"
    copies: list[Copy] = field(default_factory=list)
    entrypoint: str = ""
    command: str = ""


@dataclass
class Dockerfile:
    """A whole file. stage: the final one. arguments: every ARG's default, of all stages. runs: of
    all stages, since any may fetch the model. buildkit: what an older builder would refuse."""

    stage: Stage
    arguments: dict[str, str]
    runs: list[Run]
    buildkit: list[str]


def decode_dockerfile(data: bytes) -> str:
    """The text as Docker takes it: bytes of any encoding in comments, a byte order mark of UTF-8.

    Raises DockerfileError for UTF-16, which Docker cannot read.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:200]:
        raise DockerfileError(
            "存成了 UTF-16（记事本的“Unicode”）：Docker 读不了，请存为 UTF-8",
            "saved as UTF-16 (Notepad's Unicode), which Docker cannot read: save it as UTF-8",
        )
    return data.decode("utf-8-sig", errors="replace")


def read_dockerfile(text: str) -> Dockerfile:
    """All that the file says. Raises DockerfileError."""
    before: dict[str, str] = {}  # ARGs before the first FROM: for FROM lines, and to be asked for
    read = Dockerfile(Stage(""), {}, [], [])
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for word, rest, inline in _instructions(text):
        known = {**stage.arguments, **stage.environment} if stage else before
        if inline:
            read.buildkit.append(f"{word} <<{next(iter(inline))}")
        if word == "FROM":
            stage = _from(rest, before, stages)
            read.stage = stage
        elif word == "ARG":
            for part in _words(word, rest):
                key, equals, value = part.partition("=")
                if equals:
                    (stage.arguments if stage else before)[key] = _filled(value, known)
                elif stage:  # asked for: of those before FROM, or empty unless the builder gives it
                    stage.arguments.setdefault(key, before.get(key, ""))
                own = stage.arguments if stage else before
                read.arguments[key] = own.get(key, read.arguments.get(key, ""))
        elif stage is None:
            raise DockerfileError(
                f"{word} {rest}：在第一个 FROM 之前", f"{word} {rest}: comes before the first FROM"
            )
        elif word == "RUN":
            read.runs.append(_run(rest, inline, known, before, stage.workdir))
            if flag := re.match(r"--(mount|network|security)\b", rest):
                read.buildkit.append(f"RUN {flag[0]}")
        elif word in ("COPY", "ADD"):
            stage.copies.append(_copy(word, rest, inline, known, stage.workdir))
            if flag := re.search(r"(?:^|\s)(--(?:link|chmod|parents|exclude)\b)", rest):
                read.buildkit.append(f"{word} {flag[1]}")
        else:
            _set(stage, word, rest, known)
    if stage is None:
        raise DockerfileError("没有 FROM", "there is no FROM")
    return read


def exec_form(written: str) -> list[str] | None:
    """The words of a command written as a JSON list; None for the shell form.

    Raises DockerfileError for what looks like a list and is none: Docker takes it for shell text.
    """
    if not written.startswith("["):
        return None
    try:
        words = json.loads(written)
    except ValueError:
        words = None
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise DockerfileError(
            f"{written}：不是合法的 JSON 列表，Docker 会当作 shell 命令执行：要用双引号，"
            "最后一项后面没有逗号",
            f"{written}: no JSON list, so Docker runs it as shell text: double quotes, and no "
            "comma after the last word",
        )
    return words


def fill(text: str, known: dict[str, str]) -> str:
    """`$NAME`, `${NAME}`, `${NAME:-default}` and `${NAME:+other}` replaced."""
    return _filled(text, known)


def _from(rest: str, before: dict[str, str], stages: dict[str, Stage]) -> Stage:
    words = [_filled(word, before) for word in rest.split() if not word.startswith("--")]
    if not words or not words[0]:
        raise DockerfileError(
            f"FROM {rest}：没有镜像名；变量要在它之前用 ARG 给出",
            f"FROM {rest}: no image; a variable in it needs an ARG with a value before it",
        )
    image, *name = words
    stage = deepcopy(stages.get(image.lower(), Stage(image)))
    if name:  # AS NAME
        stages[name[-1].lower()] = stage
    return stage


def _set(stage: Stage, word: str, rest: str, known: dict[str, str]) -> None:
    if word == "ENV":
        stage.environment |= {k: _filled(v, known) for k, v in _pairs(rest)}
    elif word == "EXPOSE":
        stage.ports += [_filled(port, known).removesuffix("/tcp") for port in rest.split()]
    elif word == "WORKDIR":
        stage.workdir = posixpath.normpath(posixpath.join(stage.workdir, _filled(rest, known)))
    elif word == "ENTRYPOINT":
        stage.entrypoint = rest
    elif word == "CMD":
        stage.command = rest


def _run(
    rest: str, inline: dict[str, str], known: dict[str, str], before: dict[str, str], workdir: str
) -> Run:
    text = "\n".join([rest, *inline.values()])
    used = {name for pair in re.findall(r"\$(?:(\w+)|\{(\w+))", text) for name in pair if name}
    unset = sorted(name for name in used & before.keys() if name not in known and before[name])
    known = {**known, **dict.fromkeys(unset, "")}
    return Run(_filled(text, known, keep_others=True), workdir, unset)


def _copy(
    word: str, rest: str, inline: dict[str, str], known: dict[str, str], workdir: str
) -> Copy:
    of = ""
    while flag := re.match(r"--(\w+)(?:=(\S+))?\s+", rest):
        of = _filled(flag[2] or "", known) if flag[1] == "from" else of
        rest = rest[flag.end() :]
    words = exec_form(rest) if rest.startswith("[") else _words(word, rest)
    words = [_filled(each, known) for each in words or []]
    if len(words) < 2:
        raise DockerfileError(
            f"{word} {rest}：要有来源和目标", f"{word} {rest}: needs a source and a target"
        )
    *sources, target = words
    directory = target.endswith("/") or target in (".", "..") or len(sources) > 1
    place = posixpath.normpath(posixpath.join(workdir, target))
    sources = [source for source in sources if not source.lstrip("0123456789").startswith("<<")]
    place += "/" if directory and place != "/" else ""
    return Copy(sources, place, of, inline, f"{word} {rest}")


def _instructions(text: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(instruction in capitals, its arguments on one line, the texts of its heredocs by name)."""
    lines = iter(text.splitlines())
    escape = re.escape(_escape(text))
    whole = ""
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue  # also between the lines of one instruction
        whole += line
        if re.search(rf"{escape}\s*$", line):
            whole = re.sub(rf"{escape}\s*$", " ", whole)
            continue
        yield _instruction(whole, lines)
        whole = ""
    if whole.strip():  # the last line promised another
        yield _instruction(whole, lines)


def _escape(text: str) -> str:
    """The character that continues a line, by the directive at the head of the file."""
    for line in text.splitlines():
        told = re.match(r"\s*#\s*(\w+)\s*=\s*(\S+)", line)
        if not told:
            return "\\"
        if told[1].lower() == "escape":
            return told[2]
    return "\\"


def _instruction(whole: str, following: Iterator[str]) -> tuple[str, str, dict[str, str]]:
    word, *rest = whole.strip().split(None, 1)
    name, arguments = word.upper(), rest[0].strip() if rest else ""
    if name not in INSTRUCTIONS:
        near = get_close_matches(name, INSTRUCTIONS, 1)
        zh = f"；是不是 {near[0]}？" if near else ""
        en = f"; did you mean {near[0]}?" if near else ""
        raise DockerfileError(
            f"{whole.strip()}：没有指令 {word}{zh}", f"{whole.strip()}: no such instruction{en}"
        )
    inline = {}
    if name in ("RUN", "COPY", "ADD"):
        for _, end in _HEREDOC.findall(arguments):
            inside = []
            for line in following:
                if line.strip() == end:
                    break
                inside.append(line)
            else:
                raise DockerfileError(
                    f"{name} <<{end}：没有结尾的 {end}", f"{name} <<{end}: no {end} ends it"
                )
            inline[end] = "\n".join(inside) + "\n"
    return name, arguments, inline


def _words(word: str, rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError as error:
        raise DockerfileError(f"{word} {rest}: {error}") from error


def _pairs(rest: str) -> list[tuple[str, str]]:
    """ENV's two forms: `NAME=value …`, and the old `NAME value` whose value is all the rest."""
    name, *value = rest.split(None, 1)
    if "=" not in name:
        if not value:
            raise DockerfileError(f"ENV {rest}：应写成 名=值", f"ENV {rest}: expected NAME=value")
        return [(name, value[0].strip())]
    pairs = [part.partition("=") for part in _words("ENV", rest)]
    if wrong := [name for name, equals, _ in pairs if not equals]:
        raise DockerfileError(
            f"ENV {rest}：{wrong[0]!r} 没有值", f"ENV {rest}: {wrong[0]!r} has no value"
        )
    return [(name, value) for name, _, value in pairs]


def _filled(text: str, known: dict[str, str], keep_others: bool = False) -> str:
    """See `fill`. keep_others: names that are not known stay as they are, for a shell to fill."""

    def value(match: re.Match[str]) -> str:
        name, sign, other = match["name"] or match["braced"], match["sign"], match["other"]
        if keep_others and name not in known and not sign:
            return match[0]
        found = known.get(name, "")
        if sign == "-":
            return found or other
        return (other if found else "") if sign == "+" else found

    pattern = r"\$(?:(?P<name>\w+)|\{(?P<braced>\w+)(?::(?P<sign>[-+])(?P<other>[^}]*))?\})"
    return re.sub(pattern, value, text)
