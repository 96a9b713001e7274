"""Files that LaTeX, reStructuredText and AsciiDoc put into a book: which of a folder they are."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from common.language import either
from common.text_encodings import decode
from data.includes import root_of
from data.kinds import ASCIIDOC, LATEX, REST
from data.prose import by_name, no_prose
from data.text import CJK

MAX_BYTES = 8 << 20
_PROSE = 80  # Chinese characters that make a file without headings a chapter
TEX_INCLUDE = re.compile(
    r"\\(?:input|include|subfile|subfileinclude|loadchapter)\s*\{([^{}\n]+)\}"
    r"|\\(?:sub)?(?:import|inputfrom|includefrom)\*?\s*\{([^{}\n]*)\}\s*\{([^{}\n]+)\}"
    r"|\\input\s+([^\s{}\\%]+)"
)
_TYPST_IMPORT = re.compile(r"""(?m)^\s*#import\s+"([^"\n:]+\.typ)\"""")
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


def books_among(paths: list[Path]) -> tuple[list[Path], dict[Path, str]]:
    """The files of a folder that are books by themselves, and why others are none.

    Neither: those that another of them puts in, whose text or picture stands there, and signatures.
    """
    parts: set[Path] = set()
    pictures: set[str] = set()
    for path in paths:
        if path.suffix.lower() in (*LATEX, *REST, *ASCIIDOC, ".typ"):
            parts.update(each for each in _included(path) if each != path.resolve())
        if path.suffix.lower() in LATEX:
            pictures |= _pictures(path)
    printed = {path.with_suffix(".pdf"): path for path in paths if path.suffix.lower() in LATEX}
    books: list[Path] = []
    left_out: dict[Path, str] = {}
    for path in paths:
        suffix = path.suffix.lower()
        drawn = suffix in (".pdf", *LATEX) and path.stem in pictures
        if path.resolve() in parts or (suffix == ".pdf" and drawn) or _is_signature(path):
            continue
        if why := _no_book(path):
            if not drawn:
                left_out[path] = why
        elif path in printed:
            name = printed[path].name
            left_out[path] = either(
                f"由 {name} 排成，读了后者", f"printed from {name}, which is read"
            )
        elif suffix == ".pdf" and printed and _FIGURES.fullmatch(path.parent.name):
            left_out[path] = either(
                "在图的目录里，当作图；要读就单独给出这个文件",
                "taken for a picture, by its folder; to read it, name the file itself",
            )
        else:
            books.append(path)
    return books, left_out


def _pictures(path: Path) -> set[str]:
    """Names of the pictures that a LaTeX file, or a style beside it, puts in."""
    found: set[str] = set()
    for file in [path, *path.parent.glob("*.sty"), *path.parent.glob("*.cls")]:
        with suppress(OSError, ValueError):
            found.update(Path(name).stem for name in _PICTURE.findall(decode(file.read_bytes())))
    return found


def _is_signature(path: Path) -> bool:
    if path.suffix.lower() not in ASCIIDOC:
        return False
    with suppress(OSError):
        return path.read_bytes().startswith(b"-----BEGIN PGP")
    return False


def _no_book(path: Path) -> str:
    """Why a LaTeX, Typst or text file is no book; "" for one that may be, or another kind."""
    suffix = path.suffix.lower()
    if suffix == ".txt":
        return no_prose(path)
    if suffix not in (*LATEX, ".typ"):
        return ""
    try:
        text = decode(path.read_bytes())
    except (OSError, ValueError):
        return ""  # reading says what is wrong
    if suffix == ".typ":
        bare = either("没有标题", "it has no heading")
        return "" if re.search(r"(?m)^=+ \S", text) else f"{bare}{by_name()}"
    text = _TEX_COMMENT.sub(r"\1", text)
    if re.search(r"\\documentclass\s*(?:\[[^\]]*\])?\s*\{standalone\}", text):
        return either("TeX 画的图（standalone）", "a drawing by TeX (standalone)")
    headed = re.search(r"\\begin\{document\}|\\(?:part|chapter|section)\*?\s*[\[{]", text)
    if headed or len(re.findall(f"[{CJK}]", text)) >= _PROSE:
        return ""
    few = either("没有标题，汉字也少", "it has no heading and few Chinese characters")
    return f"{few}{by_name()}"


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
    elif suffix == ".typ":  # what is imported are definitions
        for name in _TYPST_IMPORT.findall(text):
            if part := found_file(name, [path.parent, root]):
                yield part
    else:
        pattern = _REST_INCLUDE if suffix in REST else _ADOC_INCLUDE
        for found in pattern.finditer(text):
            if part := found_file(found.group(1), [path.parent, root]):
                yield part
