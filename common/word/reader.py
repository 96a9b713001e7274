"""Pairs of a Word file: `问题：…` and `答案：…` in paragraphs, or tables with these columns.

An answer may run over many paragraphs, code lines among them, and ends at the next question or at
the section heading before it. Telling a heading from a caption inside an answer decides scores: a
heading glued to the answer before it adds words that no model would say.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from common.language import either
from common.pairs import Pair, PairFile, PairsError, Place, placed, spots
from common.row_talks import INVISIBLE
from common.word import labels
from common.word.package import DocxError, open_docx
from common.word.tables import lines_of
from common.word.text import Line, read_blocks

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
# What of a document is not in the text that is read, by the names that clean.py gives it.
_CHINESE_NAMES = {
    **{
        "formula": "公式",
        "raised or lowered text": "上标或下标",
        "struck-through text": "删除线",
        "placeholder": "没有填的内容控件",
    },
    **{"picture": "图片", "chart": "图表", "diagram": "SmartArt 图", "drawing": "图形里的文字"},
    **{"embedded object": "嵌入的对象", "drop-down field": "下拉列表", "check box": "复选框"},
    **{"footnote": "脚注", "endnote": "尾注", "inserted file": "插入的文件", "symbol": "符号"},
    "field that draws its text": "画出来的域",
}
_NOT_READ = {
    "formula": (
        "读到的文字里没有公式；要计分就改成文字",
        "a formula is not in the text that is read; type it as text if it is to count",
    ),
    "list number": (
        "读到的文字里没有列表编号；要计分就把编号打出来",
        "a list number is not in the text that is read; type it if it is to count",
    ),
    "raised or lowered text": (
        "上标或下标当作普通文字读了",
        "raised or lowered text is read as if it stood on the line",
    ),
    "phonetic guide": (
        "拼音指南只读了下面的文字",
        "of a phonetic guide only the text below it is read",
    ),
    "struck-through text": (
        "划了删除线的文字也读了；不要就删掉",
        "struck-through text is read; delete it if it is not meant",
    ),
    "placeholder": (
        "内容控件还没有填，提示文字不算",
        "a control that nobody has filled; its placeholder is not read",
    ),
}


def read_docx(path: Path) -> PairFile:
    """Pairs and warnings of a Word file. Raises PairsError when it is no readable one."""
    try:
        document = open_docx(path)
        blocks = list(read_blocks(document))
    except DocxError as error:
        raise PairsError(
            f"{path}：不是能读的 Word 文档（{error}）；请用 Word、WPS 或 LibreOffice 打开，"
            "另存为 .docx",
            f"{path}: not a readable Word document ({error}); "
            "open it in Word or LibreOffice and save it as .docx",
        ) from error
    lines, warnings = lines_of(blocks)
    pairs, doubts = parse_lines(lines, path.name)
    warnings += doubts
    unread = dict(document.unread)
    for what, numbers in unread.items():
        places = [f"paragraph {n}" if n else "the table on top" for n in sorted(numbers)]
        warnings.append(_said(spots(places), *not_read(what)))
    return PairFile(path, pairs, warnings)


def unread_name(what: str) -> str:
    """The name of something visible that no text holds ("picture"), in the reader's language."""
    return either(_CHINESE_NAMES.get(what, what), what)


def not_read(what: str) -> tuple[str, str]:
    """What is to be said of something visible that no text holds, in Chinese and in English."""
    usual = (
        f"读到的文字里没有{_CHINESE_NAMES.get(what, what)}",
        f"{_article(what)} {what} is not in the text that is read",
    )
    return _NOT_READ.get(what, usual)


def _article(what: str) -> str:
    return "an" if what[0] in "aeiou" else "a"


def _said(spot: str, zh: str, en: str) -> str:
    """A warning: the place, and what is to be said about it."""
    return either(f"{placed(spot)}：{zh}", f"{spot}: {en}")


def parse_lines(lines: Sequence[Line], file: str = "") -> tuple[list[Pair], list[str]]:
    """Pairs and warnings from a document's lines, in order."""
    lines = [_with_label(line) for line in lines]
    form = _file_form(lines)
    found = _Parser(file, form or 0)
    headings = _headings(lines, form)
    for index, line in enumerate(lines):
        following = lines[index + 1].text if index + 1 < len(lines) else ""
        if line.role:
            found.take_role(line)
        elif form is not None and (rest := labels.after_question(line.text, form)) is not None:
            found.question_begins(line, rest)
        elif index in headings:
            found.section_begins(line)
        elif found.waits_for_answer and (
            (rest := labels.after_first_answer(line.text, form or 0, following)) is not None
        ):
            found.answer_begins(line, rest)
        elif form is not None and _starts_another_pair(lines, index):
            zh, en = "与第一题写法不同的问题", "a question written otherwise than the first one"
            found.warnings.append(_said(line.spot, zh, en))
            found.question_begins(line, labels.after_question(line.text, labels.LOOSEST) or "")
        elif labels.after_answer(line.text) is not None:
            found.answer_alone(line)
        else:
            if found.outside and _perhaps_pair(lines, index):
                zh = "像是问题，但写法不认得，没有读"
                en = "looks like a question, but in no form that is known: not read"
                found.warnings.append(_said(line.spot, zh, en))
            found.text(line)
    found.close()
    if found.numbered:
        found.warnings.append(_said(spots(found.numbered), *_NOT_READ["list number"]))
    return found.pairs, found.warnings


class _Parser:
    """The pair at hand, and what came of those before it."""

    def __init__(self, file: str, form: int) -> None:
        self.pairs: list[Pair] = []
        self.warnings: list[str] = []
        self.numbered: list[str] = []
        self._file, self._form = file, form
        self._section = ""
        self._question: list[Line] = []  # empty: outside any pair
        self._answer: list[Line] = []  # empty: the answer has not begun

    @property
    def waits_for_answer(self) -> bool:
        return bool(self._question) and not self._answer

    @property
    def outside(self) -> bool:
        """Whether no pair is at hand: text there is read by nobody."""
        return not self._question

    def question_begins(self, line: Line, rest: str) -> None:
        self.close()
        self._question.append(replace(line, text=rest))

    def answer_begins(self, line: Line, rest: str) -> None:
        self._answer.append(replace(line, text=rest))

    def section_begins(self, line: Line) -> None:
        self.close()
        self._section = line.text.strip()

    def answer_alone(self, line: Line) -> None:
        perhaps = len([each for each in self._answer if each.text.strip()]) > 1
        self.close()
        zh, en = "没有问题的答案，不用", "an answer without a question, left out"
        if perhaps:
            zh += "；上一行是它的问题吗？那一行留在了前一个答案里"
            en += "; is the line above, kept in the answer before it, its question?"
        self.warnings.append(_said(line.spot, zh, en))

    def text(self, line: Line) -> None:
        if self._answer:
            self._answer.append(line)
        elif self._question:
            self._question.append(line)

    def take_role(self, line: Line) -> None:
        """What a table's column has decided."""
        if line.role == "question":
            self.question_begins(line, line.text)
        elif line.role == "section":
            self.section_begins(line)
        elif line.role == "end":
            self.close()
        elif line.role == "answer" and self._question:
            self.answer_begins(line, line.text)
        elif line.role == "answer" and line.text.strip():
            self.answer_alone(line)

    def close(self) -> None:
        """End the pair at hand, if any: keep it, or warn why not."""
        if self._question:
            self._keep()
        self._question, self._answer = [], []

    def _keep(self) -> None:
        spot = self._question[0].spot
        question, answer = _joined(self._question), _joined(self._answer)
        if not self._answer and (both := labels.split_inline(question, self._form)):
            question, answer = both
        if not question:
            self.warnings.append(_said(spot, "空的问题，不用", "an empty question, left out"))
        elif not answer:
            zh, en = "没有答案的问题，不用", "a question without an answer, left out"
            self.warnings.append(_said(spot, zh, en))
        else:
            place = Place(self._file, spot)
            self.pairs.append(Pair(question, answer, self._section, place=place))
            self.warnings += _doubts(self._answer)
            self.numbered += [line.spot for line in self._answer if line.label]


def _perhaps_pair(lines: Sequence[Line], index: int) -> bool:
    """Whether a line begins as a question of some form would, and one below it as an answer."""
    below = [line.text for line in lines[index + 1 : index + 6] if line.text.strip()][:3]
    asks = labels.looks_like_question(lines[index].text)
    return asks and any(map(labels.looks_like_answer, below))


def _with_label(line: Line) -> Line:
    """A list number that marks a question, an answer or a chapter is part of the text."""
    if not line.label:
        return line
    shown = f"{line.label} {line.text}"
    marks = labels.question_form(shown) is not None or labels.after_answer(shown) is not None
    chapter = any(_HEADINGS[kind].match(line.label) for kind in ("chapter", "appendix"))
    unmarked = labels.question_form(line.text) is None and labels.after_answer(line.text) is None
    if (marks and unmarked) or chapter:
        return replace(line, text=shown, label="")
    return replace(line, label="") if marks else line


def _file_form(lines: Sequence[Line]) -> int | None:
    """How loosely the file's questions are marked: the form of the first that has an answer.

    None: it marks none. Labels without any sign behind them (问题 什么是…) count in a file that has
    no other.
    """
    forms = [(n, labels.question_form(line.text)) for n, line in enumerate(lines) if not line.role]
    marked = [(n, form) for n, form in forms if form is not None]
    chosen = [each for each in marked if each[1] < labels.LOOSEST] or marked
    for index, form in chosen:
        for line in lines[index + 1 :]:
            if labels.question_form(line.text) is not None:
                break
            if labels.after_first_answer(line.text, form) is not None:
                return form
    return chosen[0][1] if chosen else None


def _starts_another_pair(lines: Sequence[Line], index: int) -> bool:
    """Whether a question in another form than the file's stands there: 问题2：, below it 答案2：.

    A list of problems in an answer has no such lines, and 问： … 答： may be a talk that it quotes.
    """
    form = labels.question_form(lines[index].text)
    if form not in (1, labels.LOOSEST):
        return False
    for line in lines[index + 1 :]:
        if line.role or labels.question_form(line.text) is not None:
            return False
        if labels.after_answer(line.text) is not None:
            return form == 1
    return False


def _headings(lines: Sequence[Line], form: int | None) -> set[int]:
    """Indices of section headings: what looks like one and stands right before a question.

    Several may stand in a row (第2章, 2.1).
    """
    found: set[int] = set()
    start = 0  # where the answer, or whatever else stands before the question, begins
    for index, line in enumerate(lines):
        asks = line.role == "question"
        if not line.role and form is not None:
            asks = labels.after_question(line.text, form) is not None
        if asks:
            for before in range(index - 1, start - 1, -1):
                if not lines[before].text.strip():
                    continue
                kind = _heading_kind(lines[before])
                if kind is None or _ends_a_list(lines, start, before, kind):
                    break
                found.add(before)
            start = index + 1
        elif labels.after_answer(line.text) is not None:
            start = index
    return found


def _heading_kind(line: Line) -> str | None:
    """Which kind of heading the line looks like: a key of _HEADINGS, "outline" or None."""
    text = line.text.strip()
    if line.role or not text or len(text) > _LONGEST_HEADING or text[-1] in _SENTENCE_ENDS:
        return None
    for kind, pattern in _HEADINGS.items():
        if pattern.match(text):
            return kind
    return "outline" if line.outline else None


def _ends_a_list(lines: Sequence[Line], start: int, index: int, kind: str) -> bool:
    """Whether a numbered line is a point of the answer: one numbered alike stands before it."""
    if kind not in _LIST_KINDS or lines[index].outline:
        return False
    before = [_without_answer_label(line.text) for line in lines[start:index]]
    return any(_HEADINGS[kind].match(text) for text in before)


def _without_answer_label(text: str) -> str:
    rest = labels.after_answer(text)
    return (text if rest is None else rest).strip()


def _joined(lines: Sequence[Line]) -> str:
    """The lines as one text: code keeps its indentation, blank lines at both ends go."""
    texts = [line.text.rstrip() for line in lines]
    if texts:
        texts[0] = texts[0].lstrip()  # what stands between the mark and the text
    return "\n".join(texts).strip("\n").rstrip(INVISIBLE)


def _doubts(answer: Sequence[Line]) -> Iterator[str]:
    """What in an answer may not belong to it: kept, for the reader of the warnings to decide."""
    more = [line for line in answer[1:] if line.text.strip()]
    for position, line in enumerate(more):
        below = more[position + 1 : position + 4]
        form = labels.question_form(line.text)
        sure = form is not None and form < labels.LOOSEST
        answered = any(labels.looks_like_answer(each.text) for each in below)
        if sure or (answered and labels.looks_like_question(line.text)):
            yield _said(
                line.spot,
                "像是问题，但写法与第一题不同；留在前一个答案里",
                "looks like a question, "
                "but the file's first one is written otherwise; kept in the answer above it",
            )
        elif _heading_kind(line) == "chapter":
            yield _said(
                line.spot,
                "像是标题，但后面没有问题；留在前一个答案里",
                "looks like a heading, but no question follows; kept in the answer above it",
            )
    if more and more[-1].bold and not answer[0].bold and _heading_kind(more[-1]) is None:
        yield _said(
            more[-1].spot,
            "加粗的最后一行留在答案里；是标题就给它编号（第2章、一、）",
            "a bold last line, kept in the answer; number it (第2章, 一、) if it is a heading",
        )
