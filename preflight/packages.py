"""What the build installs on the judge's base image: would it replace torch, vLLM or others there?

pip itself resolves it for the image's Python, with the image's versions as constraints, then
downloads the wheels and installs them into a scratch directory, which gives bytes and seconds.
"""

import posixpath
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from common.facts import FACTS
from common.language import BilingualError, either
from preflight.dockerfile_reader import Dockerfile
from preflight.lines import Line

NO_NETWORK = ("NewConnectionError", "Temporary failure", "Network is unreachable", "ProxyError")
# Every manylinux_2_N that the image's glibc can load.
# Options of `pip install` that take a value of their own.
_OPTIONS = """-c --constraint -e --editable -t --target -i --index-url --extra-index-url -f
--find-links --prefix --root --trusted-host --retries --timeout --cache-dir --python-version
--platform"""
_WITH_VALUE = _OPTIONS.split()
GLIBC_MINORS = range(5, int(FACTS["base_image"]["glibc"].split(".")[1]) + 1)


class RequirementsError(BilingualError, ValueError):
    """A file that pip in the image cannot read; the message says so."""


def names_in(requirements: Path) -> dict[str, int]:
    """Line number of each distribution that the file, or one that it takes in with -r, names;
    names normalized as PyPI does. Raises RequirementsError."""
    found = {}
    for number, line in enumerate(_text(requirements).splitlines(), 1):
        if nested := re.match(r"\s*(?:-r|--requirement)[\s=]*(\S+)", line):
            other = requirements.parent / nested[1]
            if not other.is_file():
                raise RequirementsError(
                    f"{requirements.name} 第 {number} 行要 {nested[1]}，镜像里没有：COPY 它",
                    f"{requirements.name} line {number} takes in {nested[1]}, which the image "
                    "has not: COPY it",
                )
            found |= dict.fromkeys(names_in(other), number)
        elif match := re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line):
            found[_normal(match.group(1))] = number
    return found


def _asks(requirements: Path) -> bool:
    """Whether anything stands in it but comments."""
    lines = requirements.read_bytes().decode(errors="ignore").splitlines()
    return any(line.strip() and not line.lstrip().startswith("#") for line in lines)


def _text(requirements: Path) -> str:
    """As pip reads it: UTF-8, or whatever its byte order mark says. Raises RequirementsError."""
    data = requirements.read_bytes()
    wide = data.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequirementsError(
            f"{requirements.name} 不是 UTF-8，镜像里的 pip 读不了：请存为 UTF-8",
            f"{requirements.name} is not UTF-8, so pip in the image stops at it: save it as UTF-8",
        ) from error


@dataclass(frozen=True)
class Installs:
    """What the Dockerfile's RUN lines install by pip: requirements by file, and by name."""

    files: list[Path]
    named: list[str]


def installs_of(read: Dockerfile | None, image: Path, checkout: Path) -> Installs:
    """By the RUN lines; without one that installs, the commit's requirements.txt, if it has one."""
    files, named = [], []
    for run in read.runs if read else []:
        for words in _pip_installs(run.text):
            skip = False
            for word, following in zip(words, [*words[1:], ""], strict=True):
                if skip:
                    skip = False
                elif word in ("-r", "--requirement"):
                    files.append(image / posixpath.join(run.workdir, following).lstrip("/"))
                    skip = True
                elif word.startswith("-"):
                    skip = word in _WITH_VALUE
                elif re.match(r"[A-Za-z0-9]", word) and "/" not in word.split("@")[0]:
                    named.append(word)
    if not files and not named and (checkout / "requirements.txt").is_file():
        files = [checkout / "requirements.txt"]
    return Installs(files, named)


def _pip_installs(text: str) -> Iterator[list[str]]:
    """The words after each `pip install` of a RUN."""
    for command in re.split(r"&&|\|\||[;\n]", text):
        try:
            words = shlex.split(command)
        except ValueError:
            words = command.split()
        for at, pair in enumerate(zip(words, words[1:], strict=False)):
            if re.fullmatch(r"(?:.*/)?pip3?(?:\.\d+)?", pair[0]) and pair[1] == "install":
                yield words[at + 2 :]


def package_lines(
    checkout: Path, read: Dockerfile | None, image: Path, scratch: Path, offline: bool
) -> tuple[list[Line], tuple[int, float] | None]:
    """Lines about what the build installs by pip, and (bytes of the wheels, seconds of installing
    them), None when they were not measured. image: the root of the image's files."""
    installs = installs_of(read, image, checkout)
    files = [path for path in installs.files if path.is_file()]
    if lost := [path.name for path in installs.files if not path.is_file()]:
        why = either(
            f"RUN pip install -r {lost[0]}：镜像里没有这个文件，先 COPY 它",
            f"RUN pip install -r {lost[0]}: the image has no such file; COPY it first",
        )
        figure = either("没有", "missing")
        return [Line("repository", lost[0], "fail", figure, why=why)], None
    if not installs.named and not any(map(_asks, files)):
        figure, why = either(("没有", "没有要装的"), ("none", "nothing to install"))
        line = Line("repository", "requirements.txt", "note", figure, why=why)
        return [line], (0, 0.0)
    untouchable = set(FACTS["base_image"]["untouchable"])
    told = []
    try:
        for file in files:
            for name, number in names_in(file).items():
                if name in untouchable:
                    line = either(f"第 {number} 行", f"line {number}")
                    told.append(f"{name} ({line}, {file.name})")
    except RequirementsError as error:
        figure = either("读不懂", "cannot be read")
        return [Line("repository", "requirements.txt", "fail", figure, why=str(error))], None
    for word in installs.named:
        name = _normal(re.match(r"[A-Za-z0-9._-]+", word)[0])
        if name in untouchable:
            told.append(f"{name} (RUN pip install {word})")
    if told:
        names = ", ".join(told)
        why = either(f"写了 {names}", f"named: {names}")
        return [_replaced(why, len(told))], None
    if offline:
        figure, why = either(
            ("没有解析", "--offline：只看了文件里的名字，没有看它们会带来什么"),
            (
                "not resolved",
                "--offline: only the names in the file were looked at, not what they pull in",
            ),
        )
        return [Line("repository", "requirements.txt", "unknown", figure, why=why)], None
    every = scratch / "requirements.txt"
    every.write_text("\n".join([*(f"-r {file}" for file in files), *installs.named]) + "\n")
    problem, resolved, measured = _install(every, scratch)
    if problem and any(sign in problem for sign in NO_NETWORK):
        figure = either("pip 没有网络", "pip has no network")
        line = Line("repository", "requirements.txt", "unknown", figure, why=problem)
        return [line], None
    if problem:
        version = FACTS["base_image"]["python"]
        why = either(
            f"pip，按 Python {version}：{problem}", f"pip, for Python {version}: {problem}"
        )
        figure = either("装不上", "cannot be installed")
        return [Line("repository", "requirements.txt", "fail", figure, why=why)], None
    pulled = {name: version for name, version in resolved.items() if name in untouchable}
    if pulled:
        told = ", ".join(f"{name} {version}" for name, version in pulled.items())
        why = either(f"它要的包会带来 {told}", f"its requirements pull in {told}")
        return [_replaced(why, len(pulled))], measured
    version = FACTS["base_image"]["python"]
    why = either(f"按 Python {version} 解析：", f"resolved for Python {version}: ") + ", ".join(
        f"{name} {version}" for name, version in resolved.items()
    )
    figure = either("替换 0 个", "0 replaced")
    return [Line("repository", "requirements.txt", "ok", figure, "0", "", why)], measured


def _replaced(why: str, count: int) -> Line:
    why += either(
        "：镜像里为沐曦构建的会被换掉；请去掉它",
        ": the image's own, built for MetaX, would be replaced; take it out",
    )
    figure = either(f"替换 {count} 个", f"{count} replaced")
    return Line("repository", "requirements.txt", "fail", figure, "0", "", why)


def _install(
    requirements: Path, scratch: Path
) -> tuple[str | None, dict[str, str], tuple[int, float] | None]:
    """pip's error or None; versions by name; (bytes of wheels, seconds of installing them)."""
    wheels, target, constraints = scratch / "wheels", scratch / "site", scratch / "constraints.txt"
    constraints.write_text("\n".join(FACTS["base_image"]["constraints"]) + "\n")
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in GLIBC_MINORS] + ["manylinux2014_x86_64"]
    command = ["download", "-q", "-d", str(wheels), "-r", str(requirements), "-c", str(constraints)]
    command += ["--only-binary=:all:", "--python-version", FACTS["base_image"]["python"]]
    command += [word for platform in platforms for word in ("--platform", platform)]
    problem = _pip(*command)
    if problem:
        return problem, {}, None
    files = sorted(wheels.glob("*.whl"))
    resolved = {_normal(f.name.split("-")[0]): f.name.split("-")[1] for f in files}
    start = time.perf_counter()
    # --target and no compilation: the wheels are for the image's Python, which may not be this one.
    problem = _pip(
        "install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", str(target),
        "--python-version", FACTS["base_image"]["python"], "--only-binary=:all:",
        *[word for platform in platforms for word in ("--platform", platform)], *map(str, files),
    )  # fmt: skip
    seconds = time.perf_counter() - start
    return problem, resolved, (sum(f.stat().st_size for f in files), seconds)


def _pip(*arguments: str) -> str | None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
    lines = errors or done.stderr.strip().splitlines() or ["no message"]
    signs = [sign for sign in NO_NETWORK if sign in done.stderr]
    return " ".join([*signs, lines[-1]])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
