"""What marks a question and an answer in running text, as teachers write it.

问题：, 问题1：, 【问题】, 问：, Q1. and their like, with full-width or odd colons, spaces between
their characters, bold marks of Markdown, and marks that nobody sees.
"""

import re
import unicodedata
from dataclasses import dataclass

_LOOK = 80  # characters of a line in which a label can stand
# What is not seen: format characters (Cf), variation selectors, and fillers that are letters.
_FILLERS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0" + "".join(
    map(chr, range(0xFE00, 0xFE10))
)

_COLON = "[:∶︓︰꞉ː˸]"
_DIGITS = r"(?:\d{1,4}(?:[.\-]\d{1,4})*|[〇零一二三四五六七八九十百两]{1,4})"
# NFKC has made plain digits of ①, and (1) of ⑴.
_NUMBER = rf"(?:\s*(?:第\s*)?[(\[]?\s*[#№]?\s*{_DIGITS}\s*[)\]]?(?:\s*题)?)"
_BEFORE = rf"(?:[#>*•·●■◆▪\-–—]+\s+)?(?:[(]?(?:第\s*)?{_DIGITS}(?:\s*题)?\s*[.、):]+\s*)?"
_OPEN, _CLOSE = r"[\[【〔〖「『<《(]", r"[\]】〕〗」』>》)]"
_BOLD = r"(?:\*{1,3}|_{1,3})"  # of Markdown; never a sign of the text: __global__


def _label(word: str, number: str) -> str:
    """A label in any of its dresses: 词：, **词：**, **词**：, 【词】, 【词】：."""
    mark = rf"(?:{number}\s*{_COLON}" + (rf"|{_NUMBER}\s*[.、)\]](?!\d))" if number else ")")
    boxed = rf"{_OPEN}\s*{word}{number}\s*{_COLON}?\s*{_CLOSE}"
    return (
        rf"\s*(?:{_BOLD}\s*{word}{mark}\s*{_BOLD}|{_BOLD}\s*{word}{number}\s*{_BOLD}\s*{_COLON}"
        rf"|{_BOLD}\s*{boxed}\s*{_BOLD}\s*{_COLON}?|{boxed}\s*{_COLON}?|{word}{mark})"
    )


_WENTI = r"(?:问\s*题|問\s*題)"
_ANY_QUESTION = (
    rf"(?:{_WENTI}(?:描\s*述|内\s*容)?|提\s*问|题\s*目|题\s*干|试\s*题|问|問|question|q)"
)
_DAAN = r"(?:(?:参\s*考|标\s*准|正\s*确|示\s*例|參\s*考)\s*)?答\s*案(?:\s*要\s*点)?"
_ANY_ANSWER = (
    rf"(?:{_DAAN}(?:\s*(?:解\s*析|内\s*容|如\s*下))?|参\s*考\s*回\s*答|回\s*答|解\s*答"
    r"|答\s*复|答|reference(?:\s+answer)?|answer)"
)
_N = rf"{_NUMBER}?"
_FLAGS = re.IGNORECASE

# From the contest's own form to looser ones; each holds those before it. The first one in a file
# says how loose it is, so that a line "问题2：显存不足" in an answer starts no question where
# questions say "问题：".
_FORMS = [
    re.compile(_label(_WENTI, ""), _FLAGS),
    re.compile(rf"\s*{_BEFORE}{_label(_WENTI, _N)}", _FLAGS),
    re.compile(rf"\s*{_BEFORE}{_label(_ANY_QUESTION, _N)}", _FLAGS),
    re.compile(rf"\s*{_BEFORE}(?:{_label(_ANY_QUESTION, _N)}|{_WENTI}{_N}\s+)", _FLAGS),
]
LOOSEST = len(_FORMS) - 1
_ANSWER = re.compile(rf"\s*{_BEFORE}{_label(_DAAN, _N)}", _FLAGS)
# Right after a question the short form can be nothing else; inside an answer it can.
_FIRST_ANSWER = re.compile(rf"\s*{_BEFORE}{_label(_ANY_ANSWER, _N)}", _FLAGS)
_LATIN_ANSWER = re.compile(rf"\s*{_BEFORE}{_label('a', _N)}", _FLAGS)
_BARE_ANSWER = re.compile(rf"\s*{_BEFORE}{_DAAN}{_N}\s+", _FLAGS)
_OPTION = re.compile(r"\s*b\s*[.、):∶]", _FLAGS)
# Whatever else begins like a label: not read, but told of.
_ASKERS = (
    r"(?:思考|简答|问答|练习|例|习|选择|填空)?题|题目|提问|试题|练习|用户|学生"
    r"|user|human|prompt|query"
)
_ANSWERERS = r"参考回答|回答|解答|解析|解|助手|老师|教师|assistant|response|reply|output|ans"
_SIGN = rf"{_N}\s*(?:{_COLON}|[.、)\]】]|\s)"
_LIKE_QUESTION = re.compile(
    rf"[\W_\d]*(?:{_WENTI}|问\b|q(?:uestion)?(?:\b|\d)|(?:{_ASKERS}){_SIGN})", _FLAGS
)
_LIKE_ANSWER = re.compile(
    rf"[\W_\d]*(?:{_DAAN}|答\b|a(?:nswer)?(?:\b|\d)|(?:{_ANSWERERS}){_SIGN})", _FLAGS
)
_BARE = re.compile(rf"[\W_\d]*(?:(?P<question>{_ANY_QUESTION})|{_ANY_ANSWER}|a){_N}[\W_]*", _FLAGS)
_INLINE_ANSWER = re.compile(
    rf"(?<=[\s。.!?;,])(?:[\[【])?(?:{_DAAN}|回\s*答|解\s*答|答)"
    rf"{_N}(?:\s*{_COLON}|\s*[\]】]{_COLON}?)"
)
_INLINE_LATIN = re.compile(rf"(?<=[.!?。]\s)(?:answer|a){_N}\s*{_COLON}(?!.*\bb\s*[.、):])", _FLAGS)


@dataclass(frozen=True)
class Seen:
    """The beginning of a line as it looks: NFKC, without what is invisible, single spaces.

    `ends[i]` is where the line goes on after the i-th of these characters.
    """

    text: str
    ends: list[int]

    def rest(self, line: str, end: int) -> str:
        """What of the line follows the first `end` characters seen, invisible marks gone."""
        start = self.ends[end - 1] if end else 0
        while start < len(line) and _invisible(line[start]):
            start += 1
        return line[start:]


def seen(line: str, look: int = _LOOK) -> Seen:
    """The first `look` characters of a line as they look."""
    text, ends = "", []
    for place, character in enumerate(line):
        if len(text) >= look:
            break
        if _invisible(character):
            continue
        plain = character if character == "︰" else unicodedata.normalize("NFKC", character)
        if text.strip("• ") == "" and (mark := _list_mark(character, plain)):
            plain = mark if not text else ""  # ☐ ✅ 问题：, ①问题：
        if plain.isspace() and text[-1:].isspace():
            ends[-1] = place + 1  # white space counts once: patterns have little to try
            continue
        text += plain
        ends += [place + 1] * len(plain)
    return Seen(text, ends)


def _list_mark(character: str, plain: str) -> str:
    """What a symbol or a circled number at the head of a line is read as: a list's mark."""
    kind = unicodedata.category(character)
    if kind == "No":
        return f"{plain}." if plain.isdigit() else plain
    return "• " if kind == "So" or 0x1F3FB <= ord(character) <= 0x1F3FF else ""  # skin tones


def _invisible(character: str) -> bool:
    return unicodedata.category(character) == "Cf" or character in _FILLERS


def question_form(line: str) -> int | None:
    """The strictest form in which the line begins a question, from 0; None: it begins none."""
    text = seen(line).text
    return next((n for n, form in enumerate(_FORMS) if form.match(text)), None)


def after_question(line: str, form: int) -> str | None:
    """What follows the question label of this form or a stricter one; None without a label."""
    return _after(_FORMS[form], line)


def after_answer(line: str) -> str | None:
    """What follows an answer label that counts anywhere (答案：); None without one."""
    return _after(_ANSWER, line)


def after_first_answer(line: str, form: int, following: str = "") -> str | None:
    """What follows an answer label right after a question, where the short forms count too.

    `following` is the next line: "A: 32" over "B: 64" is a choice, not an answer.
    """
    found = _after(_FIRST_ANSWER, line)
    if found is None and form >= 2 and not _OPTION.match(seen(following).text):
        found = _after(_LATIN_ANSWER, line)
    if found is None and form >= LOOSEST:
        found = _after(_BARE_ANSWER, line)
    return found


def begins_pair(line: str) -> bool:
    """Whether a line begins with a label of questions or answers (问题：, 答案：)."""
    form = question_form(line)
    return (form is not None and form < LOOSEST) or after_answer(line) is not None


def looks_like_question(line: str) -> bool:
    """Whether a line begins as a question of some other form would."""
    return bool(_LIKE_QUESTION.match(seen(line).text))


def looks_like_answer(line: str) -> bool:
    """Whether a line begins as an answer of some other form would."""
    return bool(_LIKE_ANSWER.match(seen(line).text))


def bare_label(text: str) -> str:
    """ "question" or "answer" for a text that is nothing but such a label, else ""."""
    found = _BARE.fullmatch(seen(text).text) if len(text) < _LOOK else None
    return "" if found is None else ("question" if found["question"] else "answer")


def split_inline(text: str, form: int = 0) -> tuple[str, str] | None:
    """Question and answer of a text that holds both, 什么是甲？ 答案：乙; None if it does not."""
    plain = seen(text, len(text))
    found = _INLINE_ANSWER.search(plain.text)
    if found is None and form >= 2:
        found = _INLINE_LATIN.search(plain.text)
    if found is None or found.start() == 0:
        return None
    return text[: plain.ends[found.start() - 1]].rstrip(), plain.rest(text, found.end()).lstrip()


def _after(pattern: re.Pattern[str], line: str) -> str | None:
    looked = seen(line)
    found = pattern.match(looked.text)
    return None if found is None else looked.rest(line, found.end())
