"""The contest's docx layout: `问题：…` and `答案：…` in paragraphs that are all of style Normal.

An answer may run over many paragraphs, code lines among them, and ends at the next question or at
the section heading before it. Telling a heading from a caption inside an answer decides scores: a
heading glued to the answer before it adds words that no model would say.
"""

import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docx
from docx.opc.exceptions import PackageNotFoundError
from docx.oxml.exceptions import XmlchemyError
from lxml.etree import LxmlError

from common.archives import check_archive
from judging.testset import Question, TestSetError

# \s covers full-width and no-break spaces, but not zero-width ones and byte-order marks.
_LEAD = r"^[\s\u200b\ufeff]*"
_NUMBER = r"(?:\s*[(（]?\d+[)）]?)?"
# From the contest's own form to looser ones. The first one in a file says how loose it is, so that
# a line "问题2：显存不足" in an answer does not start a question where questions say "问题：".
_QUESTION_FORMS = [
    re.compile(rf"{_LEAD}问题\s*[:：]"),
    re.compile(rf"{_LEAD}(?:\d+[.．、]\s*)?问题{_NUMBER}\s*[:：]"),
    re.compile(rf"{_LEAD}(?:\d+[.．、]\s*)?问题?{_NUMBER}\s*[:：]"),
]
_ANSWER = re.compile(rf"{_LEAD}(?:参考)?答案{_NUMBER}\s*[:：]")
# Right after a question the short form can be nothing else; inside an answer it can.
_FIRST_ANSWER = re.compile(rf"{_LEAD}(?:参考)?答案?{_NUMBER}\s*[:：]")

_CHINESE_NUMBER = "〇零一二三四五六七八九十百两"
_HEADINGS = {
    "chapter": re.compile(rf"^第\s*[{_CHINESE_NUMBER}\d]+\s*(?:章|节|篇|编|单元|部分|讲|课)"),
    "appendix": re.compile(r"^附录"),
    "latin": re.compile(r"^(?:chapter|section|part|unit|appendix)\s+\w+", re.IGNORECASE),
    "一、": re.compile(rf"^[{_CHINESE_NUMBER}]+[、.．]"),
    "（一）": re.compile(rf"^[(（][{_CHINESE_NUMBER}]+[)）]"),
    "1.1.1": re.compile(r"^\d+(?:[.．]\d+){2,}[.．、]?\s*(?=[^\d\s])"),
    "1.1": re.compile(r"^\d+[.．]\d+[.．、]?\s*(?=[^\d\s.．])"),
}
_LIST_KINDS = {"一、", "（一）", "1.1.1", "1.1"}  # answers number their points like this, too
_LONGEST_HEADING = 60  # characters
_SENTENCE_ENDS = "。；;，,！!：:"


@dataclass(frozen=True)
class Line:
    """One line of a paragraph; `outline` says that Word's outline shows it as a heading."""

    number: int
    text: str
    outline: bool = False
    bold: bool = False


def read(path: Path) -> tuple[list[Question], list[str]]:
    """Questions and warnings of a docx file. Raises TestSetError when it is not a Word document."""
    try:
        check_archive(path)
        document = docx.Document(str(path))
        lines = list(_document_lines(document))
    # A damaged file shows itself anywhere between the zip directory and the last XML node.
    except (
        *(
            PackageNotFoundError,
            XmlchemyError,
            zipfile.BadZipFile,
            zlib.error,
            LxmlError,
            OSError,
            EOFError,
        ),
        *(KeyError, IndexError, ValueError, AttributeError, TypeError, NotImplementedError),
    ) as error:
        raise TestSetError(
            f"{path}: not a readable Word document ({type(error).__name__}: {error}); "
            "open it in Word or LibreOffice and save it as .docx"
        ) from error
    questions, warnings = parse_lines(lines)
    formulas = [str(n) for n, p in _numbered_paragraphs(document) if p._p.xpath(".//m:oMath")]
    if formulas:
        warnings.append(
            f"paragraph {', '.join(formulas)}: a formula is not in the text that is read; "
            "type it as text if it is to count"
        )
    return questions, warnings


def parse_lines(lines: list[Line]) -> tuple[list[Question], list[str]]:
    """Questions and warnings from a document's lines, in order."""
    form = _question_form(lines)
    headings = _headings(lines, form)
    questions: list[Question] = []
    warnings: list[str] = []
    section = ""
    question: list[Line] = []  # empty: outside any pair
    answer: list[Line] = []  # empty: the answer has not begun

    def close() -> None:
        """End the pair at hand, if any: keep it, or warn why not."""
        if question:
            place = f"paragraph {question[0].number}"
            pair = Question(_joined(question), _joined(answer), section, place)
            if not pair.question:
                warnings.append(f"{place}: an empty question, left out")
            elif not pair.reference:
                warnings.append(f"{place}: a question without an answer, left out")
            else:
                questions.append(pair)
                warnings.extend(_doubts(answer))
        question.clear()
        answer.clear()

    for index, line in enumerate(lines):
        if form and (mark := form.match(line.text)):
            close()
            question.append(Line(line.number, line.text[mark.end() :]))
        elif index in headings:
            close()
            section = line.text.strip()
        elif question and not answer and (mark := _FIRST_ANSWER.match(line.text)):
            answer.append(Line(line.number, line.text[mark.end() :], bold=line.bold))
        elif _ANSWER.match(line.text):
            close()
            warnings.append(f"paragraph {line.number}: an answer without a question, left out")
        elif answer:
            answer.append(line)
        elif question:
            question.append(line)
    close()
    return questions, warnings


def _numbered_paragraphs(document: Any) -> Iterator[tuple[int, Any]]:
    """Paragraphs in reading order, counted from 1, blank ones too.

    Those inside a table have the number of the paragraph before it.
    """
    number = 0
    for block in document.iter_inner_content():
        if hasattr(block, "rows"):
            yield from ((number, paragraph) for paragraph in _table_paragraphs(block))
        else:
            number += 1
            yield number, block


def _table_paragraphs(table: Any) -> Iterator[Any]:
    """Every paragraph of a table, row by row; a merged cell once, nested tables included."""
    seen = set()
    for row in table.rows:
        for cell in row.cells:
            if cell._tc in seen:
                continue
            seen.add(cell._tc)
            for block in cell.iter_inner_content():
                if hasattr(block, "rows"):
                    yield from _table_paragraphs(block)
                else:
                    yield block


def _document_lines(document: Any) -> Iterator[Line]:
    for number, paragraph in _numbered_paragraphs(document):
        outline = _is_outlined(paragraph)
        runs = [run for run in paragraph.runs if run.text.strip()]
        bold = bool(runs) and all(run.bold for run in runs)
        for text in paragraph.text.split("\n"):
            yield Line(number, text, outline, bold)


def _is_outlined(paragraph: Any) -> bool:
    """Whether Word's outline shows the paragraph: by its own level, or by its style."""
    levels = paragraph._p.xpath("./w:pPr/w:outlineLvl/@w:val")
    if levels:
        return levels[0] != "9"  # 9 is body text
    style = paragraph.style.name if paragraph.style is not None else None
    return (style or "").lower().startswith(("heading", "title", "标题"))


def _question_form(lines: list[Line]) -> re.Pattern[str] | None:
    """The strictest form that the file's first question has; None when there is none."""
    for line in lines:
        for form in _QUESTION_FORMS:
            if form.match(line.text):
                return form
    return None


def _headings(lines: list[Line], form: re.Pattern[str] | None) -> set[int]:
    """Indices of section headings: what looks like one and stands right before a question.

    Several may stand in a row (第2章, 2.1).
    """
    found: set[int] = set()
    start = 0  # where the answer, or whatever else stands before the question, begins
    for index, line in enumerate(lines):
        if form and form.match(line.text):
            for before in range(index - 1, start - 1, -1):
                if not lines[before].text.strip():
                    continue
                kind = _heading_kind(lines[before])
                if kind is None or _ends_a_list(lines, start, before, kind):
                    break
                found.add(before)
            start = index + 1
        elif _ANSWER.match(line.text):
            start = index
    return found


def _heading_kind(line: Line) -> str | None:
    """Which kind of heading the line looks like: a key of _HEADINGS, "outline" or None."""
    text = line.text.strip()
    if not text or len(text) > _LONGEST_HEADING or text[-1] in _SENTENCE_ENDS:
        return None
    for kind, pattern in _HEADINGS.items():
        if pattern.match(text):
            return kind
    return "outline" if line.outline else None


def _ends_a_list(lines: list[Line], start: int, index: int, kind: str) -> bool:
    """Whether a numbered line is a point of the answer: one numbered alike stands before it."""
    if kind not in _LIST_KINDS or lines[index].outline:
        return False
    before = [_ANSWER.sub("", line.text, count=1).strip() for line in lines[start:index]]
    return any(_HEADINGS[kind].match(text) for text in before)


def _joined(lines: list[Line]) -> str:
    """The lines as one text: code keeps its indentation, blank lines at both ends go."""
    texts = [line.text.rstrip() for line in lines]
    if texts:
        texts[0] = texts[0].lstrip()  # what stands between the mark and the text
    return "\n".join(texts).strip("\n")


def _doubts(answer: list[Line]) -> Iterator[str]:
    """What in an answer may not belong to it: kept, for the reader of the warnings to decide."""
    more = [line for line in answer[1:] if line.text.strip()]
    for line in more:
        if any(form.match(line.text) for form in _QUESTION_FORMS):
            yield (
                f"paragraph {line.number}: looks like a question, "
                "but the file's first one is written otherwise; kept in the answer above it"
            )
        elif _heading_kind(line) == "chapter":
            yield (
                f"paragraph {line.number}: looks like a heading, "
                "but no question follows; kept in the answer above it"
            )
    if more and more[-1].bold and not answer[0].bold and _heading_kind(more[-1]) is None:
        yield (
            f"paragraph {more[-1].number}: a bold last line, kept in the answer; "
            "number it (第2章, 一、) if it is a heading"
        )
