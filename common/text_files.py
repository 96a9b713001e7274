"""Rows of jsonl, JSON and CSV texts.

Lines end at "\n" alone, as JSON Lines says: U+2028 and its like are text.
"""

import contextlib
import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from common.column_names import column_roles
from common.language import either
from common.row_formats import LAYOUTS
from common.row_talks import RowError

Row = tuple[str, Any]  # its place, and what stands there: a decoded row, or the RowError of it

_JSON_COLUMNS = ("messages", "conversations", "conversation", "history", "rephrasings", "wordings")
_DELIMITERS = ",\t;"
_HEADER_ROWS = 3  # a title may stand above the names of the columns, or Excel's sep=;
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


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
    if isinstance(row, dict) and not any(layout.key in row for layout in LAYOUTS):
        listed = [name for name, value in row.items() if isinstance(value, list)]
        if listed:
            return RowError(
                either(
                    f"只有一个对象；各行好像在 {listed[0]!r} 下面：请只存那个列表",
                    f"one object; its rows seem to stand under {listed[0]!r}: save that list alone",
                )
            )
    return row


def _array_rows(text: str) -> Iterator[Row]:
    """The items of one JSON array."""
    return _json_values(text, text.index("[") + 1, "item {number} (line {line})", closing="]")


def _json_values(text: str, position: int, place: str, closing: str) -> Iterator[Row]:
    """JSON values from a position on, up to the closing bracket; without one, up to the text's
    end, where commas between them may be missing. A fault ends it: what follows cannot be told
    apart."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
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
            if _ESCAPED_SURROGATE.search(text, position, end):
                row = _whole_characters(row)
        except RowError as error:
            yield spot, error
            return
        except (ValueError, RecursionError) as error:
            yield spot, _not_json(error)
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
            yield spot, _not_json(either("后面应是 , 或 ]", "expected , or ] after it"))
            return
    if text[position + (number == 0) :].strip():
        yield f"item {number}", _not_json(either("数组后面还有文字", "text after the array"))


def _not_json(reason: object) -> RowError:
    return RowError(either(f"不是 JSON（{reason}）", f"not JSON ({reason})"))


def _parsed(line: str) -> Any:
    """One JSON value. Raises RowError."""
    try:
        row = json.loads(line, object_pairs_hook=_object)
    except RowError:
        raise
    except (ValueError, RecursionError) as error:
        raise _not_json(error) from None
    return _whole_characters(row) if _ESCAPED_SURROGATE.search(line) else row


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(fields)
    if len(found) < len(fields):
        double = next(name for name, n in Counter(name for name, _ in fields).items() if n > 1)
        raise RowError(
            either(f"{double}：在一个对象里出现两次", f"{double}: stands twice in one object")
        )
    return found


def _whole_characters(row: Any) -> Any:
    """The row itself. Raises RowError where a text of it has half a surrogate pair."""
    waiting: list[tuple[str, Any]] = [("", row)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{key}" if name else key, each) for key, each in value.items()]
            waiting += [(name or either("字段名", "a field's name"), key) for key in value]
        elif isinstance(value, list):
            waiting += [(name, each) for each in value]
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                where = _printable(name)
                raise RowError(
                    either(
                        f"{where}：第 {error.start} 个字符是半个代理对",
                        f"{where}: half a surrogate pair at character {error.start}",
                    )
                ) from None
    return row


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _csv_rows(text: str) -> Iterator[Row]:
    """Rows under a header line, columns parted by commas, tabs or ;. A title may stand above it,
    and Excel's `sep=;`."""
    delimiter = _delimiter(text)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    names: list[str] = []
    above: list[str] = []  # the places of titles
    start = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            if above and not names:
                yield above[0], _no_header()
            return
        except csv.Error as error:
            told = either(
                f"不是 CSV（{error}）；是不是有引号没有闭合？",
                f"not CSV ({error}); is a quotation mark not closed?",
            )
            yield f"line {start}", RowError(told)
            return
        spot, start = f"line {start}", reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = _column_names(cells)
            double = [name for name, n in Counter(filter(None, names)).items() if n > 1]
            if double:
                told = either(f"有两列都叫 {double[0]!r}", f"two columns are named {double[0]!r}")
                yield spot, RowError(told)
                return
            if names:
                continue
            above.append(spot)
            if len(above) == _HEADER_ROWS:
                yield above[0], _no_header()
                return
            continue
        yield spot, _csv_row(names, cells)


def _no_header() -> RowError:
    return RowError(
        either(
            "没有写着 问题 和 答案（或 question 和 answer）的标题行",
            "no header line with question and answer (or 问题 and 答案)",
        )
    )


def _delimiter(text: str) -> str:
    """What parts the columns: the mark with which one of the first rows names them."""
    for mark in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True)
        with contextlib.suppress(csv.Error):
            if any(map(_column_names, itertools.islice(filter(None, reader), _HEADER_ROWS))):
                return mark
    return _DELIMITERS[0]


def _column_names(cells: Sequence[str]) -> list[str]:
    """The columns by the names of a layout's fields; none where the row does not name them."""
    names = [cell.strip().casefold() for cell in cells]
    for layout in LAYOUTS:
        if layout.key in names and any(answer in names for answer in layout.answers):
            return names
    roles = column_roles(cells)
    if not roles.questions or not roles.answers:
        return names if len(names) > 1 and any(each.key in names for each in LAYOUTS) else []
    names[roles.questions[0]], names[roles.best_answer] = "问题", "答案"
    if roles.sections and "section" not in names:
        names[roles.sections[0]] = "section"
    return names


def _csv_row(names: list[str], cells: list[str]) -> dict[str, Any] | RowError:
    if any(cell.strip() for cell in cells[len(names) :]):
        return RowError(
            either(
                f"{len(names)} 列之下有 {len(cells)} 格；有逗号的文字要加引号",
                f"{len(cells)} cells under {len(names)} columns; quote a text that has commas",
            )
        )
    cells = cells + [""] * (len(names) - len(cells))
    row: dict[str, Any] = {name: cell for name, cell in zip(names, cells, strict=False) if name}
    for name in _JSON_COLUMNS:
        cell = row.pop(name, "")
        if cell.strip():
            try:
                row[name] = _parsed(cell)
            except RowError as error:
                return RowError(either(f"{name}：{error}", f"{name}: {error}"))
    return row
