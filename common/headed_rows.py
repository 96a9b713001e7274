"""Rows under a line of column names, of CSV and of workbooks."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from common.column_names import column_roles
from common.json_values import parsed
from common.language import either
from common.row_formats import LAYOUTS
from common.row_talks import RowError

HEADER_ROWS = 3  # a title may stand above the names of the columns, or Excel's sep=;
_JSON_COLUMNS = ("messages", "conversations", "conversation", "history", "rephrasings", "wordings")


def headed_rows(lines: Iterator[tuple[str, list[str] | RowError]]) -> Iterator[tuple[str, Any]]:
    """The rows of (place, cells or their error) by the names of their columns."""
    names: list[str] = []
    above: list[str] = []  # the places of titles
    for spot, cells in lines:
        if isinstance(cells, RowError):
            yield spot, cells
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = column_names_of(cells)
            double = [name for name, n in Counter(filter(None, names)).items() if n > 1]
            if double:
                told = either(f"有两列都叫 {double[0]!r}", f"two columns are named {double[0]!r}")
                yield spot, RowError(told)
                return
            if names:
                continue
            above.append(spot)
            if len(above) == HEADER_ROWS:
                break
            continue
        yield spot, _row(names, cells)
    if above and not names:
        yield above[0], _no_header()


def _no_header() -> RowError:
    return RowError(
        "没有写着 问题 和 答案（或 question 和 answer）的标题行",
        "no header line with question and answer (or 问题 and 答案)",
    )


def column_names_of(cells: Sequence[str]) -> list[str]:
    """The columns by the names of a layout's fields; none where the row does not name them."""
    names = [cell.strip().casefold() for cell in cells]
    roles = column_roles(cells)
    known = [each for each in LAYOUTS if each.key in names]
    if not any(answer in names for each in known for answer in each.answers):
        if not roles.questions or not roles.answers:
            return names if len(names) > 1 and known else []
        names[roles.questions[0]], names[roles.best_answer] = "问题", "答案"
    if roles.sections and "section" not in names:
        names[roles.sections[0]] = "section"
    return names


def _nameless(number: int) -> str:
    """A field for a column without a name, so that its text is told of like any that is unread."""
    return either(f"没有名字的第 {number} 列", f"column {number}, which has no name")


def _row(names: list[str], cells: list[str]) -> dict[str, Any] | RowError:
    if any(cell.strip() for cell in cells[len(names) :]):
        return RowError(
            f"{len(names)} 列之下有 {len(cells)} 格；有逗号的文字要加引号",
            f"{len(cells)} cells under {len(names)} columns; quote a text that has commas",
        )
    cells = cells + [""] * (len(names) - len(cells))
    row: dict[str, Any] = {
        name or _nameless(number): cell
        for number, (name, cell) in enumerate(zip(names, cells, strict=False), 1)
        if name or cell.strip()
    }
    for name in _JSON_COLUMNS:
        cell = row.pop(name, "")
        if cell.strip():
            try:
                row[name] = parsed(cell)
            except RowError as error:
                return RowError(f"{name}：{error}", f"{name}: {error}")
    return row
