"""Rows of jsonl, JSON and CSV files, in whatever encoding they were saved.

Lines end at "\n" alone, as JSON Lines says: U+2028 and its like are text.
"""

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from common.row_formats import LAYOUTS, RowError

Row = tuple[str, Any]  # its place, and what stands there: a decoded row, or the RowError of it

_MARKS = (  # byte order marks, the longer ones first
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_SAVE = "save it as UTF-8 (in Notepad, WPS or Excel: UTF-8 with BOM, CSV UTF-8)"
# Of the 6,763 characters of GB 2312 the 3,755 of its first level make up about 99 % of Chinese
# text; a text read in the wrong encoding shows others. Likewise Big5's frequent ones.
_LEAST_COMMON = 0.85
_JSON_COLUMNS = ("messages", "conversations", "conversation", "history", "rephrasings", "wordings")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def decode(data: bytes) -> str:
    """Text in UTF-8, UTF-16 or UTF-32 (with or without a mark) or GB 18030 (GBK, GB 2312).

    Raises ValueError, saying what to do, for anything else, and where two encodings are possible:
    a text in the wrong one would be nonsense that nobody sees.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strict(data, encoding)
    if b"\0" in data:
        return _wide(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _gb18030(data, error)
    if _could_be_gbk(data, text):
        raise ValueError(f"its bytes make sense both as UTF-8 and as GBK; {_SAVE}")
    return text


def _strict(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"it begins as {encoding.upper()}, but byte {error.start} is none of it; {_SAVE}"
        ) from error


def _wide(data: bytes) -> str:
    """UTF-16 or UTF-32 without a mark: the reading in which most characters are ASCII's."""
    readings = []
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        empty = text.count("\0")  # UTF-32 read as UTF-16 is half of these
        plain = sum(character.isascii() for character in text) - empty
        if plain > 4 * empty:
            readings.append((plain, text))
    readings.sort(reverse=True)
    if not readings or (len(readings) > 1 and readings[0][0] < 2 * readings[1][0]):
        raise ValueError(f"it holds NUL bytes and is no UTF-16: not text, or damaged; {_SAVE}")
    return readings[0][1]


def _gb18030(data: bytes, error: UnicodeDecodeError) -> str:
    """The text in GB 18030, where it is that beyond doubt."""
    high = sum(byte >= 0x80 for byte in data)
    kept = data.decode("utf-8", "ignore")
    as_utf8 = sum(len(c.encode()) for c in kept if ord(c) >= 0x800)
    if as_utf8 > high / 2:
        raise ValueError(f"not UTF-8: damaged at byte {error.start}; {_SAVE}")
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        raise ValueError(f"not UTF-8 (byte {error.start}) and not GBK; {_SAVE}") from error
    common, other_common = _common_in_gb2312(text), _common_in_big5(data)
    if common < _LEAST_COMMON or other_common > common:
        other = "Big5" if other_common > common else "another encoding"
        raise ValueError(
            f"not UTF-8 (byte {error.start}); as GBK it reads as rare characters, so it is "
            f"{other}, or damaged; {_SAVE}"
        )
    return text


def _could_be_gbk(data: bytes, text: str) -> bool:
    """Whether a valid UTF-8 text is Chinese in GBK that happens to be valid.

    That needs characters of two bytes only, common Chinese ones as GBK, and that they do not stand
    as accents do in Latin text: two in a row, one of another script (a lone "一" in GBK is a
    Cyrillic letter in UTF-8), or letters of which none has a plain letter beside it.
    """
    if text.isascii() or any(ord(c) >= 0x800 for c in text):
        return False
    accents = [c for c in text if c.isalpha() and not c.isascii()]
    beside = re.search("[A-Za-z][\u00c0-\u03ff]|[\u00c0-\u03ff][A-Za-z]", text)
    if not re.search("[\x80-\u07ff]{2}|[\u0400-\u07ff]", text) and (beside or not accents):
        return False
    try:
        other = data.decode("gb18030")
    except UnicodeDecodeError:
        return False
    return _common_in_gb2312(other) > _LEAST_COMMON


def _common_in_gb2312(text: str) -> float:
    """Share of first-level characters and punctuation of GB 2312 among what is not ASCII."""
    found = [c for c in text if not c.isascii()]
    levels = Counter(_lead(c) for c in found)
    common = sum(n for lead, n in levels.items() if 0xB0 <= lead <= 0xD7 or 0xA1 <= lead <= 0xA3)
    return common / max(1, len(found))


def _lead(character: str) -> int:
    try:
        encoded = character.encode("gb2312")
    except UnicodeEncodeError:
        return 0
    return encoded[0]


def _common_in_big5(data: bytes) -> float:
    """Share of Big5's frequent characters and punctuation; 0 where the bytes are not Big5."""
    try:
        text = data.decode("cp950")
    except UnicodeDecodeError:
        return 0.0
    found = [c.encode("cp950")[0] for c in text if not c.isascii()]
    return sum(0xA1 <= lead <= 0xA3 or 0xA4 <= lead <= 0xC6 for lead in found) / max(1, len(found))


def rows_of(text: str, suffix: str) -> Iterator[Row]:
    """The rows of a text, each with its place; `suffix` tells CSV (.csv, .tsv) from JSON."""
    if suffix in (".csv", ".tsv"):
        return _csv_rows(text)
    start = text.lstrip()[:2]
    if start[:1] == "[":
        return _array_rows(text)
    return _line_rows(text)


def _line_rows(text: str) -> Iterator[Row]:
    lines = text.split("\n")
    filled = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    for position, (number, line) in enumerate(filled):
        spot = f"line {number}"
        try:
            row = _parsed(line.lstrip("\ufeff"))  # where files were joined that each had a mark
        except RowError as error:
            if position == 0 and len(filled) > 1 and (whole := _one_object(text)) is not None:
                yield spot, whole
                return
            row = error
        yield spot, row


def _one_object(text: str) -> Any:
    """The only row of a file, written over many lines; None when that is not what it holds."""
    try:
        row = _parsed(text)
    except RowError:
        return None
    if isinstance(row, dict) and not any(layout.key in row for layout in LAYOUTS):
        listed = [name for name, value in row.items() if isinstance(value, list)]
        if listed:
            return RowError(
                f"one object; its rows seem to stand under {listed[0]!r}: save that list alone"
            )
    return row


def _array_rows(text: str) -> Iterator[Row]:
    """The items of one JSON array. A fault ends it: what follows cannot be told apart."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    space = re.compile(r"[ \t\r\n]*")
    position = space.match(text, 0).end() + 1
    number, line, counted = 0, 1, 0
    while True:
        position = space.match(text, position).end()
        line += text.count("\n", counted, position)
        counted = position
        if number == 0 and text[position : position + 1] == "]":
            break
        number += 1
        spot = f"item {number} (line {line})"
        try:
            row, end = decoder.raw_decode(text, position)
            if _ESCAPED_SURROGATE.search(text, position, end):
                row = _whole_characters(row)
        except RowError as error:
            yield spot, error
            return
        except (ValueError, RecursionError) as error:
            yield spot, RowError(f"not JSON ({error})")
            return
        yield spot, row
        position = space.match(text, end).end()
        mark = text[position : position + 1]
        position += 1
        if mark == "]":
            break
        if mark != ",":
            yield spot, RowError("not JSON (expected , or ] after it)")
            return
    if text[position + (number == 0) :].strip():
        yield f"item {number}", RowError("not JSON (text after the array)")


def _parsed(line: str) -> Any:
    """One JSON value. Raises RowError."""
    try:
        row = json.loads(line, object_pairs_hook=_object)
    except RowError:
        raise
    except (ValueError, RecursionError) as error:
        raise RowError(f"not JSON ({error})") from None
    return _whole_characters(row) if _ESCAPED_SURROGATE.search(line) else row


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(fields)
    if len(found) < len(fields):
        double = next(name for name, n in Counter(name for name, _ in fields).items() if n > 1)
        raise RowError(f"{double}: stands twice in one object")
    return found


def _whole_characters(row: Any) -> Any:
    """The row itself. Raises RowError where a text of it has half a surrogate pair."""
    waiting: list[tuple[str, Any]] = [("", row)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}" if name else key, each) for key, each in value.items()]
            waiting += [(name or "a field's name", key) for key in value]
        elif isinstance(value, list):
            waiting += [(name, each) for each in value]
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise RowError(
                    f"{_printable(name)}: half a surrogate pair at character {error.start}"
                ) from None
    return row


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _csv_rows(text: str) -> Iterator[Row]:
    """Rows under a header line, its names in any case, columns parted by commas, tabs or ;."""
    header_line = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",\t;", key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] = []
    start = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield f"line {start}", RowError(f"not CSV ({error}); is a quotation mark not closed?")
            return
        spot, start = f"line {start}", reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = [cell.strip().casefold() for cell in cells]
            double = [name for name, n in Counter(filter(None, names)).items() if n > 1]
            if double:
                yield spot, RowError(f"two columns are named {double[0]!r}")
                return
            if not any(layout.key in names for layout in LAYOUTS):
                yield spot, RowError("no header line with question and answer (or 问题 and 答案)")
                return
            continue
        yield spot, _csv_row(names, cells)


def _csv_row(names: list[str], cells: list[str]) -> dict[str, Any] | RowError:
    if any(cell.strip() for cell in cells[len(names) :]):
        return RowError(
            f"{len(cells)} cells under {len(names)} columns; quote a text that has commas"
        )
    cells = cells + [""] * (len(names) - len(cells))
    row: dict[str, Any] = {name: cell for name, cell in zip(names, cells, strict=False) if name}
    for name in _JSON_COLUMNS:
        cell = row.pop(name, "")
        if cell.strip():
            try:
                row[name] = _parsed(cell)
            except RowError as error:
                return RowError(f"{name}: {error}")
    return row
