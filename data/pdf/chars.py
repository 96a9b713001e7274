"""Characters of a PDF page with font, size and place, as pdfium gives them."""

import ctypes
import math
import re
import unicodedata
from typing import Any, NamedTuple

from data.code_lines import FIXED

BOLD = re.compile(r"bold|black|heavy|-bd|cmbx|lmbx|medium-h", re.I)
MATH = re.compile(
    r"math|cmmi|cmsy|cmex|lmmi|lmsy|lmex|msam|msbm|eufm|eurm|rsfs|stix|symbol|[np]xmi|[np]xsy|[tp]xex"
    r"|mtmi|mtsy|mtex|euler|mt2|wasy|esint",
    re.I,
)
_CJK_FACE = re.compile(
    r"song|sim|hei|kai|fang|ming|noto.?s.*cjk|source ?han|gothic|cjk|wenquan|wqy|fandol|gb|pmingliu"
    r"|st(heiti|kaiti)",
    re.I,
)
_FORCE_BOLD = 1 << 18
# Look-alikes that some producers write for the usual characters: ligatures, radicals,
# compatibility ideographs, the italic and bold letters of formulas.
_LOOKALIKE = re.compile("[\ufb00-\ufb06\u2e80-\u2fdf\uf900-\ufaff\U0001d400-\U0001d7ff]")
# Radicals that have no normal form.
_RADICALS = str.maketrans(
    "⺠⻁⻄⻅⻆⻉⻋⻓⻔⻘⻙⻚⻛⻜⻝⻢⻣⻤⻥⻦⻧⻨⻩⻬⻮⻰⻳",
    "民虎西见角贝车长门青韦页风飞食马骨鬼鱼鸟卤麦黄齐齿龙龟",
)


class Char(NamedTuple):
    """One character: text, advance box (points, y downwards), baseline, size, font flags."""

    text: str
    left: float
    right: float
    base: float
    size: float
    mono: bool
    bold: bool
    math: bool
    broken: bool  # the font does not say which character it is
    spaced: bool = False  # the file has a space behind it


class Font(NamedTuple):
    """What the characters of one text object share."""

    name: str
    size: float
    angle: float
    mono: bool
    bold: bool
    math: bool


def page_chars(page: Any, textpage: Any) -> tuple[list[Char], int]:
    """The characters of a page read upright, and how many are turned otherwise.

    Coordinates are those of the page as it is shown, in points from its upper left corner.
    """
    from pypdfium2 import raw

    count = textpage.count_chars()
    box = raw.FS_RECTF()
    x, y = ctypes.c_double(), ctypes.c_double()
    fonts: dict[int, Font] = {}
    rows: list[list[Any]] = []
    high = 0
    for index in range(count):
        if raw.FPDFText_IsGenerated(textpage, index) == 1:
            continue
        code = raw.FPDFText_GetUnicode(textpage, index)
        if 0xD800 <= code < 0xDC00:
            high = code
            continue
        if 0xDC00 <= code < 0xE000:
            code = 0x10000 + ((high - 0xD800) << 10) + code - 0xDC00
        broken = (
            code in (0, 0xFFFD, 0xFFFE) or raw.FPDFText_HasUnicodeMapError(textpage, index) == 1
        )
        text = "-" if code == 2 else chr(code) if 0 < code < 0x110000 else "\ufffd"
        if text.isspace():
            if rows:
                rows[-1][-1] = True
            continue
        handle = raw.FPDFText_GetTextObject(textpage, index)
        key = ctypes.cast(handle, ctypes.c_void_p).value or 0
        font = fonts.get(key)
        if font is None:
            font = fonts[key] = _font(raw, textpage, index, handle)
        if not raw.FPDFText_GetLooseCharBox(textpage, index, box):
            continue
        raw.FPDFText_GetCharOrigin(textpage, index, x, y)
        edges = (box.left, box.right, box.bottom, box.top)
        if rows and _same_glyph(rows[-1], text, edges):
            continue
        rows.append([text, *edges, y.value, x.value, font, broken, False])
    return _upright(page, rows)


def _same_glyph(before: list[Any], text: str, edges: tuple[float, ...]) -> bool:
    """macOS names one glyph by all its code points: the radical ⾼ and 高 are one 高."""
    known = before[0]
    if text == known or tuple(before[1:5]) != edges:
        return False
    return _usual(text) == _usual(known)


def _usual(text: str) -> str:
    """A character for its look-alike."""
    text = unicodedata.normalize("NFKC", text) if _LOOKALIKE.match(text) else text
    return text.translate(_RADICALS)


def unread_objects(page: Any) -> int:
    """Texts of a page that pdfium makes nothing of: single characters, or spaces, in a font that
    the file lacks and this machine as well."""
    from pypdfium2 import raw

    count = 0
    for thing in page.get_objects(filter=(raw.FPDF_PAGEOBJ_TEXT,)):
        left, _, right, _ = thing.get_bounds()
        font = raw.FPDFTextObj_GetFont(thing) if left == right else None
        count += font is not None and raw.FPDFFont_GetIsEmbedded(font) == 0
    return count


def _font(raw: Any, textpage: Any, index: int, handle: Any) -> Font:
    buffer, flags = ctypes.create_string_buffer(256), ctypes.c_int()
    raw.FPDFText_GetFontInfo(textpage, index, buffer, 256, flags)
    name = buffer.value.decode("utf-8", errors="replace").partition("+")[2] or buffer.value.decode(
        "utf-8", errors="replace"
    )
    matrix = raw.FS_MATRIX()
    raw.FPDFText_GetMatrix(textpage, index, matrix)
    size = raw.FPDFText_GetFontSize(textpage, index) * math.hypot(matrix.c, matrix.d)
    angle = math.degrees(math.atan2(matrix.b, matrix.a))
    weight = raw.FPDFText_GetFontWeight(textpage, index)
    bold = bool(BOLD.search(name)) or bool(flags.value & _FORCE_BOLD) or weight >= 700
    # Word makes Chinese faces bold, which have no bold of their own, by drawing their outline too.
    stroked = raw.FPDF_TEXTRENDERMODE_FILL_STROKE
    bold = bold or raw.FPDFTextObj_GetTextRenderMode(handle) == stroked
    # Chinese faces call themselves fixed-width: every character is one em.
    mono = bool(FIXED.search(name) or flags.value & 1 and not _CJK_FACE.search(name))
    return Font(name, round(size, 1), angle, mono, bold, bool(MATH.search(name)))


def _upright(page: Any, rows: list[Any]) -> tuple[list[Char], int]:
    """Turn the page so that most of its text reads from left to right."""
    if not rows:
        return [], 0
    turns = [round(row[7].angle / 90) % 4 for row in rows]
    turn = max(set(turns), key=turns.count)
    left, bottom, right, top = page.get_bbox()
    found, other = [], 0
    for row, own in zip(rows, turns, strict=True):
        text, x0, x1, y0, y1, base_y, base_x, font, broken, spaced = row
        if own != turn or abs(font.angle - round(font.angle / 90) * 90) > 8:
            other += 1
            continue
        if turn == 0:
            place = (x0 - left, x1 - left, top - base_y)
        elif turn == 1:
            place = (y0 - bottom, y1 - bottom, base_x - left)
        elif turn == 2:
            place = (right - x1, right - x0, base_y - bottom)
        else:
            place = (top - y1, top - y0, right - base_x)
        text = _usual(text)
        size = font.size or max(y1 - y0, 1.0)
        found.append(Char(text, *place, size, font.mono, font.bold, font.math, broken, spaced))
    return found, other
