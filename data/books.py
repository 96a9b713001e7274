"""Book files → Markdown text.

docx, epub and html go through mammoth and markitdown (see `omml.py`, `web.py`), PDF through pdfium
(see `pdf/`), LaTeX and other markups through pandoc (see `markup/`); Markdown loses its extensions
(see `dialects.py`), plain text gets its numbered headings marked. What of a book is not in its text
is counted and named (see `losses.py`).
"""

import bisect
import hashlib
import io
import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from common.archives import OLD_OFFICE, check_archive, read_part
from common.cli import odd_dash
from common.language import BilingualError, either
from common.text_encodings import decode
from common.word.package import plain_docx
from common.word.reader import unread_name
from data.cache import Cache
from data.dialects import included, plain_markdown
from data.front_matter import described
from data.includes import with_includes
from data.kinds import MARKDOWN, MARKUP, PAGES, SLIDES, SUFFIXES, WORD, advice, in_folder
from data.limited import Told, run_limited
from data.losses import FORMULA, TEXT, Loss, Reading, reading_from, spoken
from data.markup.parts import books_among
from data.needs import missing_package
from data.notebook import notebook_text
from data.page_parts import shown
from data.text import join_lines, tidy, without_long_gaps
from data.word_code import CodeStyle

READER_VERSION = "28"  # raise it when reading changes: cached texts are then made again
# Word styles that pandoc, LibreOffice and common templates use for code.
_CODE_STYLES = ("Source Code", "HTML Preformatted", "Preformatted Text", "Code", "代码")
_STYLE_MAP = "\n".join(f"p[style-name='{name}'] => pre:separator('\\n')" for name in _CODE_STYLES)
_NUMBERED = re.compile(
    r"^(?:(第\s*[一二三四五六七八九十百\d]+\s*[篇部])|(第\s*[一二三四五六七八九十百\d]+\s*章)"
    r"|(第\s*[一二三四五六七八九十百\d]+\s*节|\d{1,2}\.\d{1,2}(?!\.?\d)|[一二三四五六七八九十]+、)"
    r"|(\d{1,2}(?:\.\d{1,2}){2,}))\s*\S"
)


_PICTURE = re.compile(r"!\[([^\[\]\n]*)\]\([^)\n]*\)")
_BOLD_TITLE = re.compile(r"^(\d{1,2}[.、]\s*)?\*\*([^*\n]*\w[^*\n]*)\*\*$")


class BookError(BilingualError, ValueError):
    """A book that cannot be used; the message names the file and what to do."""


class EmptyBookError(BookError):
    """A book without text: one that an author began and left, that is all pictures, or that another
    file puts in, so no reason to stop among other books."""


@dataclass(frozen=True)
class Book:
    """A book's name (file name), sha256 of its file, its text as Markdown, and what that lacks.

    `pages` and `ocr_pages`: of a PDF, and how many of them came from OCR; `page_starts`:
    characters of the text where a page begins, with its number from 1.
    """

    name: str
    sha256: str
    text: str
    losses: tuple[Loss, ...] = ()
    pages: int = 0
    ocr_pages: int = 0
    page_starts: tuple[tuple[int, int], ...] = ()

    def page_at(self, character: int) -> int | None:
        """The page on which a character of the text stands; None for a book without pages."""
        before = bisect.bisect_right([start for start, _ in self.page_starts], character)
        return self.page_starts[before - 1][1] if before else None


def find_books(paths: list[Path]) -> list[Path]:
    """Files as given, folders replaced by the book files below them, in name order.

    Raises BookError when nothing is found, or a name is not there: a slip, and no book to skip.
    """
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            zh, en = f"{path}：没有这个文件", f"{path}: no such file"
            if odd_dash(str(path)):
                zh += "；选项以两个英文减号（--）开头"
                en += "; an option begins with --"
            raise BookError(zh, en)
        if path.is_dir():
            books = [each for each in in_folder(path) if each.suffix.lower() in SUFFIXES]
            found += books_among(books)[0]
        else:
            found.append(path)
    if not found:
        names = ", ".join(str(path) for path in paths)
        known = ", ".join(SUFFIXES)
        if unread := [loss.why for losses in unread_files(paths).values() for loss in losses]:
            known += f"; {unread[0]}"
        raise BookError(
            f"{names}：里面没有教材；能读的格式：{known}",
            f"{names}: no book in it; known formats: {known}",
        )
    return found


def unread_files(folders: Iterable[Path]) -> dict[str, list[Loss]]:
    """By name of each folder: its files that are not read though they may be books, and why."""
    found: dict[str, list[Loss]] = {}
    for folder in folders:
        if folder.is_dir():
            errors: list[OSError] = []
            files = in_folder(folder, errors)
            why = {path: advice(path.name) for path in files}
            why |= books_among([path for path in files if path.suffix.lower() in SUFFIXES])[1]
            why |= {Path(error.filename or folder): error.strerror or "" for error in errors}
            rows = [Loss(TEXT, str(path.relative_to(folder)), why[path]) for path in sorted(why)]
            if rows := [row for row in rows if row.why]:
                found.setdefault(folder.resolve().name, []).extend(rows)
    return found


def read_book(
    path: Path, cache: Cache | None = None, ocr: str = "auto", told: Told | None = None
) -> Book:
    """Read one book; text converted earlier from the same bytes comes from the cache.

    ocr: for PDFs, "auto" (pages without usable text), "always" or "never". told: called with the
    pages that OCR has read and is to read. Raises BookError: missing, unknown format, broken,
    encrypted, without text, or a package that its format needs is not installed.
    """
    if not path.is_file():
        raise BookError(f"{path}：没有这个文件", f"{path}: no such file")
    try:
        content = path.read_bytes()
    except OSError as error:
        why = error.strerror
        raise BookError(f"{path}：读不了：{why}", f"{path}: cannot be read: {why}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        todo = advice(path.name, named=True)
        raise BookError(
            f"{path}：不认识的格式 {suffix!r}；{todo or f'能读：{known}'}",
            f"{path}: unknown format {suffix!r}; {todo or f'known: {known}'}",
        )
    if not content.strip():
        raise EmptyBookError(f"{path}：文件是空的", f"{path}: the file is empty")
    how = f"{suffix}-{ocr}" if suffix == ".pdf" else suffix
    key = f"book/{READER_VERSION}/{how}/{sha256}"
    # Files that a page includes may have changed: it is read anew, which takes no time, and
    # `read_markup` looks at them all.
    kept = None if suffix in (*MARKDOWN, *MARKUP) else cache
    if kept and (row := kept.get(key)) is not None:
        return _book(path, sha256, reading_from(row))
    try:
        reading = _to_markdown(path, suffix, content, cache, ocr, told)
    except (ValueError, zipfile.BadZipFile) as error:
        raise BookError(f"{path}：{error}", f"{path}: {error}") from error
    except PermissionError as error:  # of a file that this one puts in
        raise BookError(f"{path}：读不了：{error}", f"{path}: cannot be read: {error}") from error
    except ModuleNotFoundError as error:
        raise BookError(f"{path}: {missing_package(error)}") from error
    if not re.search(r"\w{2}", _PICTURE.sub(r" \1 ", reading.text)):
        said = f"; {spoken(reading.losses)}" if reading.losses else ""
        raise EmptyBookError(f"{path}：里面没有文字{said}", f"{path}: no text in it{said}")
    # Pages that a missing package left unread are read once it is there.
    if kept and not any("requirements" in loss.why for loss in reading.losses):
        kept.put(key, reading.to_dict())
    return _book(path, sha256, reading)


def _book(path: Path, sha256: str, reading: Reading) -> Book:
    losses = tuple(reading.losses)
    starts = tuple((start, page) for start, page in reading.page_starts)
    return Book(path.name, sha256, reading.text, losses, reading.pages, reading.ocr_pages, starts)


def _to_markdown(
    path: Path, suffix: str, content: bytes, cache: Cache | None, ocr: str, told: Told | None
) -> Reading:
    if suffix == ".pdf":
        options = {"ocr": ocr, "cache": str(cache.path.parent) if cache else ""}
        row = run_limited("data.pdf.ocr:read_with_ocr", path, options=options, told=told)
        return reading_from(row)
    if suffix in MARKUP:
        from data.markup.reader import read_markup

        return read_markup(path, cache, READER_VERSION)
    if suffix in SLIDES:
        from data.slides import read_slides

        return read_slides(path)
    if suffix in (*WORD, ".epub"):
        return _office(path, suffix, content)
    text = without_long_gaps(decode(content))
    if suffix in PAGES:
        from data.web import prepared

        html, losses = prepared(text)
        return Reading(_convert(html, ".html"), losses)
    if suffix == ".txt":
        return Reading(text_to_markdown(text))
    losses: list[Loss] = []
    if suffix == ".ipynb":
        text, losses = notebook_text(text)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = with_includes(text, path)
    elsewhere = either("写在另一个文件里，没有读", "stands in another file, which was not read")
    losses += [Loss(TEXT, name, elsewhere) for name in included(text)]
    text, unshown = described(text, path)
    losses += unshown
    return Reading(plain_markdown(text), losses)


def _office(path: Path, suffix: str, content: bytes) -> Reading:
    if content[:8] == OLD_OFFICE:
        raise ValueError(
            either(
                "文件加了密，或是旧的 .doc：另存为不带密码的 .docx",
                "it is encrypted or an old .doc: save it as .docx without a password",
            )
        )
    if not zipfile.is_zipfile(path):
        raise ValueError(
            either(f"文件损坏，或不是 {suffix} 文件", f"it is broken, or not a {suffix} file")
        )
    check_archive(path)
    if suffix == ".epub":
        text, losses = _epub(path, content)
    else:
        from data.mathtype import mathtype_latex
        from data.omml import to_latex

        plain, unread = plain_docx(path, to_latex, mathtype_latex)
        text, losses = _convert(_docx_html(plain), ".html"), _word_losses(unread)
    if not re.search(r"^#{1,6} ", text, re.M):
        text = mark_bold(mark_headings(text))
    return Reading(text, losses)


def _epub(path: Path, content: bytes) -> tuple[str, list[Loss]]:
    from data.web import prepared_epub

    with zipfile.ZipFile(path) as archive:
        encrypted = "META-INF/encryption.xml"
        drm = encrypted in archive.namelist()
        if drm and b"xhtml" in read_part(archive, archive.getinfo(encrypted)):
            raise ValueError(
                either(
                    "文件受版权保护（DRM），读不出文字",
                    "it is protected (DRM): its text cannot be read",
                )
            )
    prepared, losses = prepared_epub(content)
    text = _convert(prepared, ".epub")
    # markitdown puts the epub's metadata above the text; it is not the book's.
    return re.sub(r"\A(?:\*\*\w+:\*\*.*\n)+\n?", "", text), losses


def _word_losses(unread: dict[str, list[int]]) -> list[Loss]:
    """What a Word file shows and its text lacks; notes are read, pictures counted as figures."""
    kept = {"footnote", "endnote", "phonetic guide", "picture", "struck-through text"}
    formulas = {
        "formula": either("留下了普通文字", "its plain text stays"),
        "drawn formula": either("MathType 之类的公式对象", "an object of MathType or its like"),
    }
    return [
        Loss(FORMULA, f"paragraph {number}", formulas[what])
        if what in formulas
        else Loss(TEXT, f"paragraph {number}", unread_name(what))
        for what, numbers in unread.items()
        if what not in kept
        for number in numbers
    ]


def _docx_html(content: bytes) -> str:
    """mammoth, the converter below markitdown, asked directly: it keeps the indentation of code."""
    import mammoth

    from data.web import prepared_word

    try:
        options = {"style_map": _STYLE_MAP, "transform_document": CodeStyle(_CODE_STYLES)}
        html = mammoth.convert_to_html(io.BytesIO(content), **options).value
        return prepared_word(html)
    except (KeyError, OSError, SyntaxError) as error:  # xml's ParseError is a SyntaxError
        raise ValueError(
            either(f"文件坏了：转换程序说 {error!r}", f"it is broken: the converter says {error!r}")
        ) from error


def _convert(content: bytes | str, suffix: str) -> str:
    """markitdown on bytes in memory, without its escapes: names keep their underscores."""
    if not content.strip():
        return ""  # of which the parser below warns
    import logging

    from markitdown import MarkItDown, MarkItDownException, StreamInfo

    logging.getLogger("pdfminer").setLevel(logging.ERROR)
    data = content.encode() if isinstance(content, str) else content
    try:
        result = MarkItDown(enable_plugins=False).convert_stream(
            io.BytesIO(data),
            stream_info=StreamInfo(extension=suffix, charset="utf-8"),
            style_map=_STYLE_MAP,
            escape_underscores=False,
            escape_asterisks=False,
        )
    except MarkItDownException as error:
        first = str(error).strip().splitlines()[-1][:200]
        raise ValueError(
            either(f"文件坏了：转换程序说 {first!r}", f"it is broken: the converter says {first!r}")
        ) from error
    return shown(result.markdown)


def mark_headings(text: str) -> str:
    """Mark short numbered lines (第一章, 1.2, 一、) as headings in a text that has none."""
    lines = []
    for line in text.split("\n"):
        bare = line.strip().strip("*").strip()
        match = _NUMBERED.match(bare)
        if match and len(bare) <= 40 and not re.search(r"[。；，,;：:]$", bare):
            level = next(i for i, group in enumerate(match.groups()) if group) + 1
            lines.append(f"\n{'#' * level} {bare}\n")
        else:
            lines.append(line)
    return "\n".join(lines)


def mark_bold(text: str) -> str:
    """Mark short lines wholly in bold as headings, where they are few: authors of Word files often
    make titles so. The first line of the text is the title above the others."""
    lines = text.split("\n")
    bold = [number for number, line in enumerate(lines) if _is_bold_title(line)]
    written = [number for number, line in enumerate(lines) if line.strip()]
    if not 2 <= len(bold) <= len(written) * 0.25 or re.search(r"(?m)^#{1,6} ", text):
        return text
    for number in bold:
        found = _BOLD_TITLE.match(lines[number].strip())
        level = "#" if number == written[0] else "##"
        lines[number] = f"\n{level} {found[1] or ''}{found[2].strip()}\n"
    return "\n".join(lines)


def _is_bold_title(line: str) -> bool:
    found = _BOLD_TITLE.match(line.strip())
    return bool(found and len(found[2]) <= 40 and not re.search(r"[。；，,;：:！？]$", found[2]))


def text_to_markdown(text: str) -> str:
    """Plain text: numbered headings marked, hard-wrapped lines joined, indented code fenced."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    if "```" in text or re.search(r"^#{1,6} \S", text, re.M):
        return text
    out: list[str] = []
    code: list[str] = []
    paragraph = ""
    widths = sorted(len(line) for line in text.split("\n") if line.strip())
    wrap = widths[int(len(widths) * 0.9)] if widths else 0

    def flush() -> None:
        nonlocal paragraph
        if paragraph:
            out.append(paragraph + "\n")
        paragraph = ""
        if code:
            out.extend(["```", *code, "```\n"])
            code.clear()

    for line in mark_headings(text).split("\n"):
        if re.match(r"(?: {4}|\t)\s*\S", line) and not re.search("[\u4e00-\u9fff]{4}", line):
            if not code:
                flush()
            code.append(line)
            continue
        bare = tidy(line)
        new = not bare or line.startswith(("#", "\u3000", "- ", "* ")) or bool(code)
        if new:
            flush()
        full = len(line) >= wrap * 0.85
        paragraph = join_lines(paragraph, bare) if paragraph else bare
        if paragraph and (bare.startswith("#") or not full):
            flush()
    flush()
    return "\n".join(out)
