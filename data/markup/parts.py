"""Files that LaTeX, reStructuredText and AsciiDoc put into a book: which of a folder they are."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from common.text_encodings import decode
from data.includes import root_of
from data.kinds import ASCIIDOC, LATEX, REST
from data.text import CJK

MAX_BYTES = 8 << 20
_PROSE = 80  # Chinese characters that make a file without headings a chapter
TEX_INCLUDE = re.compile(
    r"\\(?:input|include|subfile|subfileinclude|loadchapter)\s*\{([^{}\n]+)\}"
    r"|\\(?:sub)?(?:import|inputfrom|includefrom)\*?\s*\{([^{}\n]*)\}\s*\{([^{}\n]+)\}"
    r"|\\input\s+([^\s{}\\%]+)"
)
_REST_INCLUDE = re.compile(r"(?m)^[ \t]*\.\. include::[ \t]*(\S+)")
_ADOC_INCLUDE = re.compile(r"(?m)^include::([^\[\n]+)\[([^\]\n]*)\][ \t]*$")
_PICTURE = re.compile(
    r"\\(?:includegraphics|includepdf|pgfdeclareimage|includesvg)\s*(?:\[[^\]]*\])*"
    r"(?:\s*\{[^{}]*\}(?=\{))?\s*\{([^{}\n]+)\}"
)
_FIGURES = re.compile(r"(?i)(?:fig|figure|img|image|graphic|pic|picture|logo|plot)s?")
_TEX_COMMENT = re.compile(r"(?m)(?<!\\)((?:\\\\)*)%.*$")


def found_file(
    name: str, folders: Iterable[Path], suffixes: tuple[str, ...] = ("",)
) -> Path | None:
    """The first file of that name below one of the folders, with one of the suffixes.

    Nothing outside the root of the first folder's book is taken, nor from hidden folders.
    """
    name = name.strip().strip('"')
    if not name or "://" in name or name.startswith("~"):
        return None
    folders = [folder.resolve() for folder in folders]
    root = root_of(folders[0] / "x")
    for folder in folders:
        for suffix in suffixes:
            try:
                path = (folder / (name.lstrip("/") + suffix)).resolve()
                inside = path.is_relative_to(root) and not any(
                    part.startswith(".") for part in path.relative_to(root).parts
                )
                if inside and path.is_file() and path.stat().st_size <= MAX_BYTES:
                    return path
            except (OSError, ValueError):  # a name too long, or with a NUL
                continue
    return None


def tex_names(found: re.Match[str]) -> tuple[str, str]:
    """(folder, file) that an including command names; "" for the folder of the file itself."""
    plain, folder, name, bare = found.groups()
    return (folder or "", name) if name else ("", plain or bare)


def books_among(paths: list[Path]) -> list[Path]:
    """The files of a folder that are books by themselves.

    Not those whose text stands in another of them, pictures (drawn by TeX, or PDFs that it puts
    in), what a LaTeX file was printed to, or signatures.
    """
    parts: set[Path] = set()
    pictures: set[str] = set()
    for path in paths:
        if path.suffix.lower() in (*LATEX, *REST, *ASCIIDOC):
            parts.update(each for each in _included(path) if each != path.resolve())
        if path.suffix.lower() in LATEX:
            pictures |= _pictures(path)
    printed = {path.with_suffix(".pdf") for path in paths if path.suffix.lower() in LATEX}

    def is_picture(path: Path) -> bool:
        return (
            path.suffix.lower() == ".pdf"
            and bool(printed)
            and (
                path in printed
                or path.stem in pictures
                or bool(_FIGURES.fullmatch(path.parent.name))
            )
        )

    return [
        path
        for path in paths
        if path.resolve() not in parts and not _no_book(path) and not is_picture(path)
    ]


def _pictures(path: Path) -> set[str]:
    """Names of the pictures that a LaTeX file, or a style beside it, puts in."""
    found: set[str] = set()
    for file in [path, *path.parent.glob("*.sty"), *path.parent.glob("*.cls")]:
        with suppress(OSError, ValueError):
            found.update(Path(name).stem for name in _PICTURE.findall(decode(file.read_bytes())))
    return found


def _no_book(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix not in (*LATEX, *ASCIIDOC, ".typ"):
        return False
    try:
        text = decode(path.read_bytes())
    except (OSError, ValueError):
        return False  # reading says what is wrong
    if suffix in ASCIIDOC:
        return text.startswith("-----BEGIN PGP")
    if suffix == ".typ":
        return not re.search(r"(?m)^=+ \S", text)
    text = _TEX_COMMENT.sub(r"\1", text)
    if re.search(r"\\documentclass\s*(?:\[[^\]]*\])?\s*\{standalone\}", text):
        return True
    headed = re.search(r"\\begin\{document\}|\\(?:part|chapter|section)\*?\s*[\[{]", text)
    return not headed and len(re.findall(f"[{CJK}]", text)) < _PROSE


def _included(path: Path) -> Iterator[Path]:
    suffix = path.suffix.lower()
    try:
        text = decode(path.read_bytes())
    except (OSError, ValueError):
        return
    folders = [path.parent]
    root = root_of(path)
    if suffix in LATEX:
        # A file that is included names others from where the main file stands, above it.
        folders += [each for each in path.resolve().parent.parents if each.is_relative_to(root)]
        for found in TEX_INCLUDE.finditer(_TEX_COMMENT.sub(r"\1", text)):
            folder, name = tex_names(found)
            places = [each / folder for each in folders]
            if part := found_file(name, places, (".tex", "", ".latex")):
                yield part
    else:
        pattern = _REST_INCLUDE if suffix in REST else _ADOC_INCLUDE
        for found in pattern.finditer(text):
            if part := found_file(found.group(1), [path.parent, root]):
                yield part
