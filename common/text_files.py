"""Rows of jsonl, JSON and CSV texts.

Lines end at "\n" alone, as JSON Lines says: U+2028 and its like are text.
"""

import contextlib
import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

from common.headed_rows import HEADER_ROWS, column_names_of, headed_rows
from common.json_values import (
    ESCAPED_SURROGATE,
    not_json,
    parsed,
    unlike_names,
    whole_characters,
)
from common.language import either
from common.nested_rows import flat_rows, is_nested
from common.row_formats import LAYOUTS
from common.row_talks import RowError

Row = tuple[str, Any]  # its place, and what stands there: a decoded row, or the RowError of it

_DELIMITERS = ",\t;"


def rows_of(text: str, suffix: str) -> Iterator[Row]:
    """The rows of a text, each with its place; `suffix` tells CSV (.csv, .tsv) from JSON."""
    if suffix in (".csv", ".tsv"):
        return _csv_rows(text)
    rows = _array_rows(text) if text.lstrip()[:1] == "[" else _line_rows(text)
    return (flat for spot, row in rows for flat in flat_rows(spot, row))


def _line_rows(text: str) -> Iterator[Row]:
    lines = text.split("\n")
    filled = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    for position, (number, line) in enumerate(filled):
        spot = f"line {number}"
        try:
            row = parsed(line.lstrip("\ufeff"))  # where files were joined that each had a mark
        except RowError as error:
            if position == 0 and (objects := _objects(text)):
                yield from objects
                return
            row = error
        yield spot, _holder_named(row) if len(filled) == 1 else row


def _objects(text: str) -> list[Row]:
    """The rows of a file whose objects are written over many lines, or with commas behind them;
    none when that is not what it holds."""
    rows = list(_json_values(text, 0, "line {line}", closing=""))
    if not rows or any(isinstance(row, RowError) for _, row in rows[:1]):
        return []
    return [(spot, _holder_named(row) if len(rows) == 1 else row) for spot, row in rows]


def _holder_named(row: Any) -> Any:
    """The only row of a file; a RowError where the rows seem to stand under a name in it."""
    if (
        isinstance(row, dict)
        and not is_nested(row)
        and not any(each.key in row for each in LAYOUTS)
    ):
        listed = [name for name, value in row.items() if isinstance(value, list)]
        if listed:
            return RowError(
                f"只有一个对象；各行好像在 {listed[0]!r} 下面：请只存那个列表",
                f"one object; its rows seem to stand under {listed[0]!r}: save that list alone",
            )
    return row


def _array_rows(text: str) -> Iterator[Row]:
    """The items of one JSON array."""
    return _json_values(text, text.index("[") + 1, "item {number} (line {line})", closing="]")


def _json_values(text: str, position: int, place: str, closing: str) -> Iterator[Row]:
    """JSON values from a position on, up to the closing bracket; without one, up to the text's
    end, where commas between them may be missing. A fault ends it: what follows cannot be told
    apart."""
    decoder = json.JSONDecoder(object_pairs_hook=unlike_names)
    space = re.compile(r"[ \t\r\n]*")
    number, line, counted = 0, 1, 0
    while True:
        position = space.match(text, position).end()
        line += text.count("\n", counted, position)
        counted = position
        if text[position : position + 1] == closing and (number == 0 or not closing):
            break
        number += 1
        spot = place.format(number=number, line=line)
        try:
            row, end = decoder.raw_decode(text, position)
            if ESCAPED_SURROGATE.search(text, position, end):
                row = whole_characters(row)
        except RowError as error:
            yield spot, error
            return
        except (ValueError, RecursionError) as error:
            yield spot, not_json(error)
            return
        yield spot, row
        position = space.match(text, end).end()
        mark = text[position : position + 1]
        if not closing:
            position += mark == ","
            continue
        position += 1
        if mark == closing:
            break
        if mark != ",":
            yield spot, not_json(either("后面应是 , 或 ]", "expected , or ] after it"))
            return
    if text[position + (number == 0) :].strip():
        yield f"item {number}", not_json(either("数组后面还有文字", "text after the array"))


def _csv_rows(text: str) -> Iterator[Row]:
    """Rows under a header line, columns parted by commas, tabs or ;. A title may stand above it,
    and Excel's `sep=;`."""
    delimiter = _delimiter(text)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    return headed_rows(_csv_cells(reader))


def _csv_cells(reader: Any) -> Iterator[tuple[str, list[Any] | RowError]]:
    start = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            told = either(
                f"不是 CSV（{error}）；是不是有引号没有闭合？",
                f"not CSV ({error}); is a quotation mark not closed?",
            )
            yield f"line {start}", RowError(told)
            return
        spot, start = f"line {start}", reader.line_num + 1
        yield spot, cells


def _delimiter(text: str) -> str:
    """What parts the columns: the mark with which one of the first rows names them."""
    for mark in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True)
        with contextlib.suppress(csv.Error):
            if any(map(column_names_of, itertools.islice(filter(None, reader), HEADER_ROWS))):
                return mark
    return _DELIMITERS[0]
