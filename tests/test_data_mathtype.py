"""Formulas that MathType drew into Word files: MTEF records → LaTeX."""

import struct
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.books import read_book
from data.mathtype import mathtype_latex

END, NULL = b"\x00", b"\x01\x01"
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def chars(text: str, face: int = 3) -> bytes:
    return b"".join(b"\x02\x00" + bytes([128 + face]) + struct.pack("<H", ord(c)) for c in text)


def line(*inside: bytes) -> bytes:
    return b"\x01\x00" + b"".join(inside) + END


def template(selector: int, *slots: bytes, variation: int = 0) -> bytes:
    return bytes([3, 0, selector, variation, 0]) + b"".join(slots) + END


def matrix(rows: int, columns: int, *cells: bytes) -> bytes:
    parts = bytes((rows + 4) // 4 + (columns + 4) // 4)
    return bytes([5, 0, 0, 0, 0, rows, columns]) + parts + b"".join(cells) + END


def records(*inside: bytes) -> bytes:
    """A stream "Equation Native": header, application, preferences, one line."""
    preferences = b"\x12\x00\x02\x21\x2f\x45\x8f\x01\x21\xf0\x03\x01\x00\x00\x02\x01"
    names = b"\x13WinAllCodePages\x00\x11\x05Symbol\x00"
    return bytes(28) + b"\x05\x01\x00\x06\x09DSMT6\x00\x01" + names + preferences + b"\x0a" + line(
        *inside
    ) + END  # fmt: skip


def ole(stream: bytes) -> bytes:
    """A compound file of one stream, long enough to need no ministream."""
    stream = stream.ljust(4096, b"\x00")
    sectors = len(stream) // 512

    def entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
        wide = name.encode("utf-16-le") + b"\x00\x00"
        links = struct.pack("<BBIII", kind, 1, 0xFFFFFFFF, 0xFFFFFFFF, child)
        place = struct.pack("<II", start, size) + bytes(4)
        return wide.ljust(64, b"\x00") + struct.pack("<H", len(wide)) + links + bytes(36) + place

    table = [0xFFFFFFFD, 0xFFFFFFFE, *range(3, sectors + 2), 0xFFFFFFFE]
    fat = struct.pack(f"<{len(table)}I", *table).ljust(512, b"\xff")
    folder = entry("Root Entry", 5, 1, 0xFFFFFFFE, 0)
    folder += entry("Equation Native", 2, 0xFFFFFFFF, 2, len(stream))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<5H6x", 0x3E, 3, 0xFFFE, 9, 6)
    head += struct.pack("<9I", 0, 1, 1, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    head += struct.pack("<I", 0) + b"\xff" * (512 - len(head) - 4)
    return head + fat + folder.ljust(512, b"\x00") + stream


SUM = template(16, line(chars("x")), line(chars("i=1")), line(chars("n")))


@pytest.mark.parametrize(
    ("inside", "latex"),
    [
        (chars("a+b"), "a+b"),
        (chars("x") + template(27, line(chars("k")), NULL), "x_{k}"),
        (chars("x") + template(29, line(chars("k")), line(chars("2"))), "x_{k}^{2}"),
        (template(11, line(chars("1")), line(chars("n"))), r"\frac{1}{n}"),
        (template(10, line(chars("2")), line(chars("3"))), r"\sqrt[3]{2}"),
        (SUM, r"\sum_{i=1}^{n} x"),
        (template(1, line(chars("a")), chars("("), variation=3), r"\left(a\right)"),
        (template(2, line(chars("a")), variation=1), r"\left\{a\right."),
        (matrix(1, 2, line(chars("a")), line(chars("b"))), r"\begin{matrix} a & b \end{matrix}"),
        (b"\x04\x00\x01\x01" + line(chars("a")) + line(chars("b")) + END,
         r"\begin{aligned} a \\ b \end{aligned}"),
        (chars("lim", 2) + chars("x"), r"\operatorname{lim}x"),
        (b"\x02\x01\x83y\x00\x06\x00\x09" + END, r"\hat{y}"),
    ],
)  # fmt: skip
def test_records_are_latex(inside, latex):
    assert mathtype_latex(ole(records(inside))) == latex


A, B = line(chars("a")), line(chars("b"))


@pytest.mark.parametrize(
    ("selector", "variation", "slots", "latex"),
    [
        (9, 0x12, (A,), r"\left[a\right)"),
        (9, 0x30, (A,), r"\left(a\right]"),
        (12, 1, (A,), r"\underline{\underline{a}}"),
        (14, 0x28, (NULL, A), r"\xrightarrow[a]{}"),
        (14, 0x24, (A, NULL), r"\xrightarrow{a}"),
        (14, 0x3C, (A, B), r"\xleftrightarrow[b]{a}"),
        (14, 0x16, (A, NULL), r"\overset{a}{\rightleftharpoons}"),
        (21, 0x70, (A, B, NULL), r"\int_{b} a"),
        (22, 0x70, (A, B, A), r"\sum_{b}^{a} a"),
        (24, 1, (A, B), r"\overbrace{a}^{b}"),
        (24, 0, (A, B), r"\underbrace{a}_{b}"),
        (25, 0, (A, NULL), r"\underbracket{a}"),
        (26, 1, (A, B), r"\overset{b}{\overline{\left)a\right.}}"),
        (27, 1, (A, NULL), r"{}_{a}"),
        (28, 0, (NULL, A), r"^{a}"),
        (30, 3, (A, B), r"\left\langle a\right|\left|b\right\rangle"),
        (31, 2, (A,), r"\vec{a}"),
        (31, 3, (A,), r"\overleftrightarrow{a}"),
        (31, 5, (A,), r"\underleftarrow{a}"),
        (31, 10, (A,), r"\overset{\rightharpoonup}{a}"),
        (36, 6, (A,), r"\xcancel{a}"),
        (37, 30, (A,), r"\boxed{a}"),
    ],
)
def test_rarer_templates_are_latex(selector, variation, slots, latex):
    inside = template(selector, *slots, variation=variation)
    assert mathtype_latex(ole(records(inside))) == latex


@pytest.mark.parametrize("tag", [b"\x07", b""])
def test_a_line_may_have_a_ruler_with_or_without_its_tag(tag):
    ruled = b"\x01\x02" + tag + b"\x01\x00\x80\x0a" + chars("a") + END
    assert mathtype_latex(ole(records(ruled))) == "a"


def test_an_unknown_sign_matters_in_the_formula_and_not_as_its_fence():
    unknown = chars("\uec07", 11)
    fence = template(33, line(chars("a")), unknown)
    assert mathtype_latex(ole(records(fence))) == r"\hat{a}"
    with pytest.raises(ValueError, match="unknown character ec07"):
        mathtype_latex(ole(records(chars("x"), unknown)))


def integral(variation: int) -> bytes:
    """With its variation in one byte, or in two."""
    high = [variation & 0x7F | 0x80, variation >> 8] if variation > 0x7F else [variation]
    slots = line(chars("x")) + line(chars("a")) + line(chars("b"))
    return bytes([3, 0, 15, *high, 0]) + slots + END


@pytest.mark.parametrize(
    ("variation", "sign"),
    [
        (0x00, r"\int"),
        (0x01, r"\int"),
        (0x31, r"\int"),
        (0x131, r"\int"),
        (0x12, r"\iint"),
        (0x103, r"\iiint"),
        (0x04, r"\oint"),
        (0x15, r"\oint"),
        (0x09, r"\oint"),
        (0x0D, r"\oint"),
        (0x06, r"\oiint"),
        (0x07, r"\oiiint"),
    ],
)
def test_an_integral_has_its_signs_and_its_loop(variation, sign):
    assert mathtype_latex(ole(records(integral(variation)))) == f"{sign}_{{a}}^{{b}} x"


@pytest.mark.parametrize("variation", [0x0A, 0x0F, 0x201])
def test_an_unknown_integral_is_not_guessed(variation):
    with pytest.raises(ValueError, match="unknown integral"):
        mathtype_latex(ole(records(integral(variation))))


def docx(path, *objects: bytes):
    shown = "".join(
        f"<w:r><w:t>式{n}是</w:t></w:r><w:r><w:object><o:OLEObject ProgID='Equation.DSMT4'"
        f" r:id='rId{n}'/></w:object></w:r>"
        for n in range(len(objects))
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", (
            "<Types xmlns='http://schemas.openxmlformats.org/package/2006/content-types'>"
            "<Default Extension='rels' ContentType='application/vnd.openxmlformats-package."
            "relationships+xml'/><Override PartName='/word/document.xml' ContentType='application/"
            "vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml'/></Types>"
        ))  # fmt: skip
        space = "http://schemas.openxmlformats.org/package/2006/relationships"
        links = "".join(
            f"<Relationship Id='rId{n}' Type='{R}/oleObject' Target='embeddings/o{n}.bin'/>"
            for n in range(len(objects))
        )
        archive.writestr("word/_rels/document.xml.rels", f"<Relationships xmlns='{space}'>{links}"
                         "</Relationships>")  # fmt: skip
        archive.writestr("_rels/.rels", (
            f"<Relationships xmlns='{space}'><Relationship Id='r' Type='{R}/officeDocument'"
            " Target='word/document.xml'/></Relationships>"
        ))  # fmt: skip
        archive.writestr("word/document.xml", (
            f"<w:document xmlns:w='{W}' xmlns:r='{R}' xmlns:o='urn:schemas-microsoft-com:office:"
            f"office'><w:body><w:p>{shown}<w:r><w:t>。</w:t></w:r></w:p></w:body></w:document>"
        ))  # fmt: skip
        for number, content in enumerate(objects):
            archive.writestr(f"word/embeddings/o{number}.bin", content)
    return path


def test_a_formula_stands_in_its_sentence_and_an_unknown_one_leaves_a_mark(tmp_path):
    good = ole(records(template(11, line(chars("1")), line(chars("n")))))
    bad = ole(records(template(99, line(chars("a")))))
    book = read_book(docx(tmp_path / "b.docx", good, bad))
    assert r"式0是$\frac{1}{n}$式1是[formula]。" in book.text
    assert [(loss.kind, loss.place) for loss in book.losses] == [("formula", "paragraph 1")]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 5000))
def test_damage_is_a_value_error(noise, place):
    whole = ole(records(SUM))
    with suppress(ValueError):
        mathtype_latex(whole[:place] + noise + whole[place + len(noise) :])
