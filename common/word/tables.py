"""What tables of a Word file say: columns of questions and answers, or labels inside cells."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from common.word import labels
from common.word.text import Cell, Line, Table

_QUESTION = re.compile(
    r"(?:问题|題目|问|題|问句|題干|问答题|题目|题干|试题|提问|question|q|query|prompt|instruction)"
    r"(?:内容|描述|正文|文本|s)?"
)
_ANSWER = re.compile(
    r"(?:参考|标准|正确|示例)?(?:答案|回答|答复|解答|答)(?:内容|正文|文本|要点)?"
    r"|(?:reference|correct|standard)?(?:answer|a|response|output)s?|reference"
)
_BEST_ANSWER = re.compile(r"(?:参考|标准|正确)|reference|correct|standard")
_SECTION = re.compile(r"(?:所属)?(?:章节|章|节|单元)(?:名称?)?|chapter|section")
_COUNT = re.compile(r"序号|编号|题号|号|序|no|num|number|index|id|")
_ONLY_NUMBER = re.compile(r"[\s(（第#№]*\d+[\s)）题.．、:：]*")
_HEADER_ROWS = 3  # a title may stand above the names of the columns


@dataclass(frozen=True)
class _Columns:
    """The grid columns of a table of questions; `other` are names of columns that are not read."""

    header: int
    question: range
    answer: range
    section: range | None
    other: list[str]


def lines_of(blocks: Iterable[Line | Table]) -> tuple[list[Line], list[str]]:
    """All lines in order, those of tables with the role that their column gives; warnings."""
    lines: list[Line] = []
    warnings: list[str] = []
    for block in blocks:
        if isinstance(block, Line):
            lines.append(block)
        elif columns := _columns(block):
            lines += _question_rows(block, columns)
            if columns.other:
                names = ", ".join(columns.other)
                warnings.append(f"paragraph {block.number}, table: not read: column {names}")
        else:
            lines += _other_rows(block)
    return lines, warnings


def _columns(table: Table) -> _Columns | None:
    """The columns, when one of the first rows names questions and answers."""
    for number, row in enumerate(table.rows[:_HEADER_ROWS]):
        names = [(_plain(cell.text), cell) for cell in row]
        questions = [cell for name, cell in names if _QUESTION.fullmatch(name)]
        answers = [(name, cell) for name, cell in names if _ANSWER.fullmatch(name)]
        if not questions or not answers or number + 1 == len(table.rows):
            continue
        answers.sort(key=lambda each: not _BEST_ANSWER.search(each[0]))  # stable: else the first
        sections = [cell for name, cell in names if _SECTION.fullmatch(name)]
        used = [questions[0], answers[0][1], *sections[:1]]
        other = [c.text for n, c in names if c not in used and not _COUNT.fullmatch(n)]
        section = sections[0].columns if sections else None
        return _Columns(number, questions[0].columns, answers[0][1].columns, section, other)
    return None


def _plain(text: str) -> str:
    """A column's name as it counts: 参 考 答 案（中文） and 参考答案 are one."""
    text = "".join(
        c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf"
    )
    return re.sub(r"[\W_]+", "", re.split(r"[(/\[【]", text.strip("[【"), maxsplit=1)[0]).lower()


def _question_rows(table: Table, columns: _Columns) -> Iterator[Line]:
    header = [cell.text for cell in table.rows[columns.header]]
    for number, row in enumerate(table.rows, 1):
        if number <= columns.header + 1 or [cell.text for cell in row] == header:
            continue  # a header is repeated where a table was put together from several
        if not any(cell.text for cell in row):
            continue
        place = Line(table.number, "", row=number)
        question, answer = _at(row, columns.question), _at(row, columns.answer)
        if question is answer:  # one cell over all columns, or none at all
            if question and question.text:
                yield replace(place, text=question.text, role="section")
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
    return next((cell for cell in row if columns.start in cell.columns), None)


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
    firsts = {labels.bare_label(row[0].text) for row in table.rows if len(row) > 1}
    for number, row in enumerate(table.rows, 1):
        role = labels.bare_label(row[0].text) if len(row) > 1 else ""
        if role and {"question", "answer"} <= firsts:
            yield Line(table.number, "", role=role, row=number)
            row = row[1:]
        asks = any(labels.question_form(line.text) is not None for c in row for line in c.lines)
        for cell in row:
            if not (asks and _ONLY_NUMBER.fullmatch(cell.text)):
                yield from (replace(line, number=table.number, row=0) for line in cell.lines)
