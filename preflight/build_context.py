"""What the build would find of the commit: the files that .dockerignore lets in, copied as COPY
and ADD say. RUN is not run, and nothing of other images is fetched.
"""

import posixpath
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from common.language import either
from common.safetensors_header import LFS_MAGIC
from preflight.dockerfile_reader import Copy, Stage
from preflight.lines import Line

IGNORE_FILES = ("Dockerfile.dockerignore", ".dockerignore")  # BuildKit prefers the first


def put_together(context: Path, files: Sequence[str], stage: Stage, image: Path) -> list[Line]:
    """Copy into `image`, which is the image's root, what the stage would have of the context.

    files: the commit's, relative to `context`. Returns a line on what is not there to be copied,
    and on what is a Git LFS pointer.
    """
    (image / stage.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
    ignored = _ignored(context)
    kept = [path for path in files if not ignored(path)]
    missing = []
    for copy in stage.copies:
        for name, text in copy.inline.items():
            target = copy.target + name if copy.target.endswith("/") else copy.target
            path = image / target.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if copy.of:
            continue
        found = [(source, list(_matching(source, kept))) for source in copy.sources]
        missing += [
            f"{copy.written}: {_why_not(source, files)}"
            for source, taken in found
            if not taken and not _remote(source) and not _wild(source)
        ]
        if found and all(_wild(source) and not taken for source, taken in found):
            missing.append(f"{copy.written}: {_why_not(copy.sources[0], files)}")
        for source, taken in found:
            _place(context, image, copy, source, taken)
    return [*_missing(missing), *_pointers(context, kept)]


def _missing(told: list[str]) -> list[Line]:
    if not told:
        return []
    figure = either(f"{len(told)} 处没有", f"{len(told)} missing")
    return [
        Line(
            "repository",
            either("COPY 的文件", "files of COPY"),
            "fail",
            figure,
            "0",
            "",
            "; ".join(told),
        )
    ]


def _pointers(context: Path, kept: Sequence[str]) -> list[Line]:
    found = [path for path in kept if _starts_with(context / path, LFS_MAGIC)]
    if not found:
        return []
    names = ", ".join(found[:3]) + (" …" if len(found) > 3 else "")
    why = either(
        f"{names}：仓库里只有 Git LFS 指针；评测机克隆时若没有 git-lfs，镜像里就是这几行字。"
        "小文件直接提交，权重放到模型站",
        f"{names}: the repository holds Git LFS pointers; where the judge clones without git-lfs, "
        "the image has these lines of text. Commit small files as they are, put weights on the hub",
    )
    return [
        Line(
            "repository",
            "Git LFS",
            "warn",
            either(f"{len(found)} 个指针", f"{len(found)} pointers"),
            why=why,
        )
    ]


def _starts_with(path: Path, magic: bytes) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(magic)) == magic


def _why_not(source: str, files: Sequence[str]) -> str:
    clean = _clean(source)
    if clean.startswith("../"):
        return either(
            f"{source} 在仓库外面，构建看不到", f"{source} lies outside of the repository"
        )
    if any(True for _ in _matching(source, files)):
        return either(
            f"{source} 被 .dockerignore 挡在外面：加一行 !{clean}",
            f"{source} is left out by .dockerignore: add a line !{clean}",
        )
    return either(
        f"{source} 不在这个提交里（没有 git add，或被 .gitignore 忽略？）",
        f"{source} is not in the commit (never added, or in .gitignore?)",
    )


def _clean(source: str) -> str:
    return posixpath.normpath(source.lstrip("/") or ".")


def _wild(source: str) -> bool:
    return any(sign in source for sign in "*?[")


def _remote(source: str) -> bool:
    return bool(re.match(r"(https?|git|ssh)://|git@", source))


def _matching(source: str, files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(file, its path below what `source` names) of each file that it brings."""
    clean = _clean(source)
    if clean == ".":
        yield from ((path, path) for path in files)
        return
    pattern = re.compile(_regex(clean) if _wild(clean) else re.escape(clean))
    depth = clean.count("/") + 1
    for path in files:
        parts = path.split("/")
        if pattern.fullmatch("/".join(parts[:depth])):
            yield path, "/".join(parts[depth:])


def _place(
    context: Path, image: Path, copy: Copy, source: str, taken: list[tuple[str, str]]
) -> None:
    place = image / copy.target.lstrip("/")
    into = copy.target.endswith("/") or place.is_dir()
    for path, below in taken:
        # A directory's contents go into the target, a file under its own name or as the target.
        name = below or (posixpath.basename(path) if into else "")
        target = place / name if name else place
        target.parent.mkdir(parents=True, exist_ok=True)
        if copy.written.startswith("ADD") and not below and tarfile.is_tarfile(context / path):
            with tarfile.open(context / path) as archive:
                archive.extractall(place, filter="data")
        elif not target.is_dir():
            shutil.copy2(context / path, target)


def _ignored(context: Path) -> Callable[[str], bool]:
    """Whether .dockerignore leaves a path out: by the last pattern that fits it or a folder above
    it, as in Docker (moby/patternmatcher)."""
    rules: list[tuple[bool, re.Pattern[str]]] = []
    file = next((context / name for name in IGNORE_FILES if (context / name).is_file()), None)
    text = file.read_bytes().decode("utf-8-sig", errors="replace") if file else ""
    for line in map(str.strip, text.splitlines()):
        if not line or line.startswith("#"):
            continue
        negated = line.startswith("!")
        pattern = posixpath.normpath(line[negated:].strip()).lstrip("/")
        if pattern not in (".", ""):
            rules.append((negated, re.compile(_regex(pattern))))

    def ignored(path: str) -> bool:
        parts = path.split("/")
        above = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        out = False
        for negated, rule in rules:
            if out == negated and any(map(rule.fullmatch, above)):
                out = not negated
        return out

    return ignored


def _regex(pattern: str) -> str:
    """Go's filepath.Match with Docker's `**`, as a regular expression."""
    out, at = "", 0
    while at < len(pattern):
        sign = pattern[at]
        if pattern.startswith("**", at):
            at += 2 + (pattern[at + 2 : at + 3] == "/")
            out += ".*" if at >= len(pattern) else "(?:.*/)?"
            continue
        if sign == "[" and (end := pattern.find("]", at + 2)) > 0:
            out += pattern[at : end + 1]
            at = end + 1
            continue
        if sign == "\\" and at + 1 < len(pattern):
            at += 1
            sign = ""
        out += {"*": "[^/]*", "?": "[^/]", "": re.escape(pattern[at])}.get(sign, re.escape(sign))
        at += 1
    return out
