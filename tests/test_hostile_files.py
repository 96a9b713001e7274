"""Files made to hurt: bombs, endless pages, names and links that lead out, XML entities.

Each is refused with a message that names the file and the reason, in bounded time and memory.
"""

import random
import stat
import time
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import docx
import openpyxl
import pptx
import pytest

from common import archives
from common.pairs import PairsError
from common.read_pairs import read_pairs
from data.books import BookError, read_book
from data.limited import run_limited

pytestmark = pytest.mark.clock  # what it waits for is told by the clock


def good_docx(path: Path) -> Path:
    document = docx.Document()
    document.add_paragraph("问题：什么是 warp？")
    document.add_paragraph("答案：32 个线程。")
    document.save(str(path))
    return path


def add_part(path: Path, name: str, content: bytes, link: bool = False) -> Path:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        part = zipfile.ZipInfo(name)
        part.compress_type = zipfile.ZIP_DEFLATED
        if link:
            part.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(part, content)
    return path


def replace_body(path: Path, body: bytes) -> Path:
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**parts, "word/document.xml": body}.items():
            archive.writestr(name, content)
    return path


LAUGHS = (
    b'<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "ha">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
    + b"]><d>&j;</d>"
)
FILES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "bomb": (lambda p: add_part(p, "word/media.xml", bytes(50 << 20)), "zip bomb"),
    "huge part": (lambda p: add_part(p, "word/a.xml", bytes(65 << 20)), "over 64 MB"),
    "out": (lambda p: add_part(p, "../../etc/cron.d/x", b"x"), "leads out of the archive"),
    "root": (lambda p: add_part(p, "/etc/x", b"x"), "leads out of the archive"),
    "link": (lambda p: add_part(p, "word/x", b"/etc/passwd", link=True), "symbolic link"),
    "laughs": (lambda p: replace_body(p, LAUGHS), "declares XML entities"),
    "laughs in UTF-16": (
        lambda p: replace_body(p, LAUGHS.decode().encode("utf-16")),
        "declares XML entities",
    ),
    "file entity": (
        lambda p: replace_body(
            p, b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><d>&x;</d>'
        ),
        "declares XML entities",
    ),
}


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("suffix", [".docx", ".epub"])
def test_a_hostile_archive_is_refused_and_says_why(tmp_path: Path, kind: str, suffix: str) -> None:
    make, reason = FILES[kind]
    path = make(good_docx(tmp_path / f"book{suffix}"))
    began = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(BookError, match=reason) as caught:
            read_book(path)
        if suffix == ".docx":
            with pytest.raises(PairsError, match=reason):
                read_pairs(path)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()
    assert str(path) in str(caught.value)
    assert time.monotonic() - began < 5


def test_xml_that_word_would_not_write_is_read_or_refused(tmp_path: Path) -> None:
    path = good_docx(tmp_path / "a.docx")
    with zipfile.ZipFile(path) as archive:
        body = archive.read("word/document.xml")
    styled = body.replace(b"<w:p>", b"<w:p><w:pPr><w:pStyle/></w:pPr>", 1)  # found by tests/fuzz.py
    assert styled != body
    assert len(read_pairs(replace_body(path, styled)).pairs) == 1  # a style without a name
    with pytest.raises(PairsError, match="not a readable Word document"):
        read_pairs(replace_body(path, body.replace(b"</w:t>", b"", 1)))
    with pytest.raises(PairsError, match="has no body"):
        read_pairs(replace_body(path, body.replace(b"w:body>", b"w:head>")))


def test_many_parts_and_a_large_sum_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = good_docx(tmp_path / "book.docx")
    archives.check_archive(path)
    monkeypatch.setattr(archives, "MAX_PARTS", 3)
    with pytest.raises(ValueError, match="parts, more than 3"):
        archives.check_archive(path)
    monkeypatch.undo()
    monkeypatch.setattr(archives, "MAX_BYTES", 1 << 10)
    with pytest.raises(ValueError, match="unpacked it is over"):
        archives.check_archive(path)


TEXT_PART = {
    ".docx": "word/document.xml",
    ".xlsx": "xl/worksheets/sheet1.xml",
    ".pptx": "ppt/slides/slide1.xml",
    ".epub": "text/ch.xhtml",
    ".odt": "content.xml",
}
FAULTS = ("deflate", "lzma", "bz2", "checksum", "method")


def damaged(path: Path, fault: str, room: int) -> Path:
    """A file whose text is packed in this way, and spoilt at its head or, with room, far behind."""
    suffix = path.suffix
    method = {"deflate": 8, "lzma": 14, "bz2": 12}.get(fault, 0)
    text = b"<p>" + random.Random(1).randbytes(room).hex().encode() + b"</p>"
    good = path.with_name(f"good{suffix}")
    if suffix == ".docx":
        good_docx(good)
    elif suffix == ".xlsx":
        openpyxl.Workbook().save(good)
    elif suffix == ".pptx":
        slides = pptx.Presentation()
        slides.slides.add_slide(slides.slide_layouts[0])
        slides.save(good)
    with zipfile.ZipFile(path, "w") as target:
        if good.exists():
            with zipfile.ZipFile(good) as source:
                for name in source.namelist():
                    if name != TEXT_PART[suffix]:
                        target.writestr(name, source.read(name))
        target.writestr(TEXT_PART[suffix], text, method)
    with zipfile.ZipFile(path) as archive:
        part = archive.getinfo(TEXT_PART[suffix])
    content = bytearray(path.read_bytes())
    if fault == "method":
        for offset in (part.header_offset + 8, content.rindex(part.filename.encode()) - 36):
            content[offset : offset + 2] = (99).to_bytes(2, "little")
    else:
        start = part.header_offset + 30 + len(part.filename) + int(part.compress_size * 0.8)
        start = start if room else start - int(part.compress_size * 0.8)
        content[start : start + 9] = b"\xff" * 9
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("room", [0, 100_000])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("suffix", TEXT_PART)
def test_a_damaged_part_is_one_line_that_names_the_file(
    tmp_path: Path, suffix: str, fault: str, room: int
) -> None:
    path = damaged(tmp_path / f"书{suffix}", fault, room)
    for reader in (read_book,) * (suffix != ".xlsx") + (read_pairs,) * (
        suffix in (".docx", ".xlsx")
    ):
        with pytest.raises((BookError, PairsError)) as caught:
            reader(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
        assert str(caught.value).count("broken") == 1


def pdf_file(path: Path, content: bytes, kids: bytes = b"3 0 R") -> Path:
    """A PDF of one page with this content stream, deflated."""
    packed = zlib.compress(content, 9)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[" + kids + b"]>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R"
        b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Courier>>>>>>>>",
        b"<</Filter/FlateDecode/Length %d>>stream\n%s\nendstream" % (len(packed), packed),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, text in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, text)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"xref\n0 5\n0000000000 65535 f \n%strailer<</Size 5/Root 1 0 R>>\n" % table
    path.write_bytes(out + b"startxref\n%d\n%%%%EOF\n" % (len(out) - len(table) - 62))
    return path


LETTERS = b"BT /F 12 Tf 50 700 Td (A book about warps) Tj ET\n"


def read_pdf(path: Path, **bounds: float) -> str:
    options = {"ocr": "never"}
    return run_limited("data.pdf.ocr:read_with_ocr", path, options=options, **bounds)["text"]


def test_a_pdf_within_the_bounds_is_read(tmp_path: Path) -> None:
    assert "A book about warps" in read_book(pdf_file(tmp_path / "a.pdf", LETTERS)).text


def test_a_pdf_page_without_end_meets_the_time_limit(tmp_path: Path) -> None:
    path = pdf_file(tmp_path / "endless.pdf", LETTERS * 1_000_000)
    began = time.monotonic()
    with pytest.raises(ValueError, match="takes over 3 s"):
        read_pdf(path, seconds=3)
    assert time.monotonic() - began < 6


def test_a_pdf_stream_that_unpacks_without_end_meets_the_memory_limit(tmp_path: Path) -> None:
    path = pdf_file(tmp_path / "bomb.pdf", bytes(700 << 20))
    assert path.stat().st_size < 2 << 20
    with pytest.raises(ValueError, match="takes over 768 MB of memory"):
        read_pdf(path, memory=768 << 20)


def test_pdf_pages_that_contain_themselves_end(tmp_path: Path) -> None:
    path = pdf_file(tmp_path / "loop.pdf", LETTERS, kids=b"2 0 R 3 0 R 2 0 R")
    assert "A book about warps" in read_pdf(path, seconds=30)
