"""What tables of a Word file say: columns of questions and answers, or labels inside cells."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from common.column_names import column_roles, plain_name
from common.language import either
from common.pairs import spots
from common.word import labels
from common.word.text import Cell, Line, Table

# Names that are none of those above and may mean the same.
_LIKE_QUESTION = re.compile(r"[问題题]|question|query|prompt|input|指令|输入")
_LIKE_ANSWER = re.compile(r"答|回复|输出|answer|response|output|reply|completion")
_COUNT = re.compile(r"序号|编号|题号|号|序|no|num|number|index|id|")
_ONLY_NUMBER = re.compile(r"[\s(（第#№]*\d+[\s)）题.．、:：]*")
_HEADER_ROWS = 3  # a title may stand above the names of the columns


@dataclass(frozen=True)
class _Columns:
    """The grid columns of a table of questions; `other` are names of columns that are not read.

    `pairs` holds (question, answer), more than one where pairs stand side by side.
    """

    header: int
    pairs: list[tuple[range, range]]
    section: range | None
    other: list[str]
    names: list[str]
    width: int


def lines_of(blocks: Iterable[Line | Table]) -> tuple[list[Line], list[str]]:
    """All lines in order, those of tables with the role that their column gives; warnings."""
    lines: list[Line] = []
    notes: dict[str, list[str]] = {}  # what is to be said, of which tables
    above: _Columns | None = None  # the table of questions above, where nothing stands between
    for block in blocks:
        if isinstance(block, Line):
            lines.append(block)
            above = None if block.text.strip() else above
            continue
        columns = _columns(block) or _continued(block, above)
        if columns:
            lines += _question_rows(block, columns)
            said = _not_read(columns)
        else:
            lines += _other_rows(block)
            said = [*_perhaps_questions(block), *_rows_not_read(block)]
        place = f"paragraph {block.number}, table" if block.number else "the table on top"
        for each in said:
            notes.setdefault(each, []).append(place)
        above = columns
    mark = either("：", ": ")
    return lines, [f"{spots(places)}{mark}{note}" for note, places in notes.items()]


def _not_read(columns: _Columns) -> Iterator[str]:
    if columns.header >= 0 and columns.other:
        names = ", ".join(columns.other)
        yield either(f"没有读的列：{names}", f"not read: column {names}")


def _perhaps_questions(table: Table) -> Iterator[str]:
    names = [plain_name(cell.text) for cell in table.rows[0]] if len(table.rows) > 1 else []
    asks = [n for n in names if len(n) < 12 and _LIKE_QUESTION.search(n)]
    answers = [n for n in names if len(n) < 12 and n not in asks and _LIKE_ANSWER.search(n)]
    marked = labels.bare_label(table.rows[0][0].text) if names else ""
    if asks and answers and not marked and not any(map(labels.begins_pair, _texts(table))):
        yield either(
            f"它的列（{asks[0]}、{answers[0]}）像是问题和答案，却按正文读了；请改名为 问题 和 答案",
            f"its columns ({asks[0]}, {answers[0]}) may be questions and answers, but are read as "
            "text; name them 问题 and 答案",
        )


def _texts(table: Table) -> Iterator[str]:
    return (line.text for row in table.rows for cell in row for line in cell.lines)


def _columns(table: Table) -> _Columns | None:
    """The columns, when one of the first rows names questions and answers."""
    for number, row in enumerate(table.rows[:_HEADER_ROWS]):
        names = [(plain_name(cell.text), cell) for cell in row]
        columns = column_roles(cell.text for cell in row)
        questions, answers = [row[n] for n in columns.questions], [row[n] for n in columns.answers]
        if not questions or not answers or number + 1 == len(table.rows):
            continue
        pairs = _side_by_side(questions, answers)
        if not pairs:
            pairs = [(questions[0], row[columns.best_answer])]
        sections = [row[n] for n in columns.sections[:1]]
        used = [*(cell for pair in pairs for cell in pair), *sections]
        return _Columns(
            number,
            [(question.columns, answer.columns) for question, answer in pairs],
            sections[0].columns if sections else None,
            [c.text for n, c in names if c not in used and not _COUNT.fullmatch(n)],
            [cell.text for cell in row],
            _width(table),
        )
    return None


def _side_by_side(questions: list[Cell], answers: list[Cell]) -> list[tuple[Cell, Cell]]:
    """问题 | 答案 | 问题 | 答案: the pairs of columns; none for other orders."""
    if len(questions) != len(answers) or len(questions) < 2:
        return []
    pairs = list(zip(questions, answers, strict=True))
    order = [cell.columns.start for pair in pairs for cell in pair]
    return pairs if order == sorted(order) else []


def _continued(table: Table, above: _Columns | None) -> _Columns | None:
    """The columns of the table above, of which this one is the next part (on a new page)."""
    own_labels = any(map(labels.begins_pair, _texts(table)))
    if above is None or own_labels or _width(table) != above.width:
        return None
    return replace(above, header=-1)


def _width(table: Table) -> int:
    return max((cell.columns.stop for row in table.rows for cell in row), default=0)


def _question_rows(table: Table, columns: _Columns) -> Iterator[Line]:
    for number, row in enumerate(table.rows, 1):
        if number <= columns.header + 1 or [cell.text for cell in row] == columns.names:
            continue  # a header is repeated where a table was put together from several
        if not any(cell.text for cell in row):
            continue
        place = Line(table.number, "", row=number)
        for asked, answered in columns.pairs:
            question, answer = _at(row, asked), _at(row, answered)
            if question is answer:  # one cell over all columns, or none at all
                if question and question.text:
                    yield replace(place, text=question.text, role="section")
                continue
            if not (question or answer) or not any(c.text for c in (question, answer) if c):
                continue
            section = _at(row, columns.section) if columns.section else None
            if section and section.text and not section.continued:
                yield replace(place, text=section.text, role="section")
            if not (question and question.continued):
                yield from _column(question, place, "question", labels.after_question)
                yield from _column(answer, place, "answer", labels.after_first_answer)
            elif answer:  # another row of the answer to the question above
                yield from (replace(line, number=table.number, row=number) for line in answer.lines)
    yield Line(table.number, "", role="end")


def _at(row: Sequence[Cell], columns: range) -> Cell | None:
    """What stands under these grid columns; where a name spans several, without a bare number."""
    found = [cell for cell in row if set(cell.columns) & set(columns)]
    if len(found) > 1:
        found = [cell for cell in found if not _ONLY_NUMBER.fullmatch(cell.text)] or found
    if len(found) < 2:
        return next(iter(found), None)
    return replace(found[0], lines=[line for cell in found for line in cell.lines])


def _column(cell: Cell | None, place: Line, role: str, after) -> Iterator[Line]:  # noqa: ANN001
    """A cell's lines, the first one with the role and without a label that repeats it."""
    first, *rest = (cell.lines if cell else []) or [place]
    text = after(first.text, labels.LOOSEST - 1)
    first = replace(first, text=first.text if text is None else text, role=role, label="")
    for line in (first, *rest):
        yield replace(line, number=place.number, row=place.row)


def _other_rows(table: Table) -> Iterator[Line]:
    """A table without named columns: its cells row by row.

    Where a cell is nothing but a label (问题 | 什么是甲？), the next one is what it marks; a number
    beside a question is the row's, not the answer's above it.
    """
    labelled = _is_card(table)
    rows = iter(enumerate(table.rows, 1))
    for number, row in rows:
        role = labels.bare_label(row[0].text) if len(row) > 1 and labelled else ""
        below = table.rows[number] if number < len(table.rows) else []
        if role == "question" and _turned(row, below):
            yield from _turned_rows(table.number, number, row, below)
            next(rows)
            continue
        if role:
            yield Line(table.number, "", role=role, row=number)
            row = row[1:]
        elif labelled and _is_aside(row):
            yield Line(table.number, "", role="end", row=number)
            continue
        elif labelled and len(row) > 1 and not row[0].text:
            row = row[1:]
        asks = any(labels.question_form(line.text) is not None for c in row for line in c.lines)
        for cell in row:
            if not (asks and _ONLY_NUMBER.fullmatch(cell.text)):
                yield from (replace(line, number=table.number, row=0) for line in cell.lines)


def _is_card(table: Table) -> bool:
    """Whether its first column holds bare labels: 问题 | 什么是甲？ over 答案 | 乙。"""
    firsts = {labels.bare_label(row[0].text) for row in table.rows if len(row) > 1}
    return {"question", "answer"} <= firsts


def _is_aside(row: Sequence[Cell]) -> bool:
    """A card's row of something else: 难度 | 易. A blank first cell goes on the row above."""
    name = row[0].text if len(row) > 1 else ""
    return bool(name) and not row[0].continued and not labels.bare_label(name)


def _rows_not_read(table: Table) -> Iterator[str]:
    names = [row[0].text for row in table.rows if _is_aside(row)] if _is_card(table) else []
    names = [name for name in dict.fromkeys(names) if not _COUNT.fullmatch(plain_name(name))]
    if names:
        listed = ", ".join(names)
        yield either(f"没有读的行：{listed}", f"not read: rows {listed}")


def _turned(row: Sequence[Cell], below: Sequence[Cell]) -> bool:
    """Whether two rows are 问题 | 甲？ | 丙？ over 答案 | 乙。 | 丁。: a pair in each column."""
    answers = bool(below) and labels.bare_label(below[0].text) == "answer"
    return answers and len(row) == len(below) > 2


def _turned_rows(
    paragraph: int, number: int, row: Sequence[Cell], below: Sequence[Cell]
) -> Iterator[Line]:
    for question, answer in zip(row[1:], below[1:], strict=True):
        if question.text or answer.text:
            yield from _column(question, Line(paragraph, "", row=number), "question", _as_it_is)
            yield from _column(answer, Line(paragraph, "", row=number + 1), "answer", _as_it_is)
    yield Line(paragraph, "", role="end")


def _as_it_is(text: str, form: int) -> None:
    """No label to take off: the row has named it."""
