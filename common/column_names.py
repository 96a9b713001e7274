"""What columns of questions and answers are called, in tables of Word files and in CSV."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_QUESTION = re.compile(
    r"(?:用户|学生|测试|评测|考试|常见|示例|test|user)?(?:问题|題目|问|題|问句|題干|问答题|题目|题干|试题|提问|指令|question|q|query|prompt|instruction)"
    r"(?:内容|描述|正文|文本|s)?"
)
_ANSWER = re.compile(
    r"(?:参考|标准|正确|示例|期望|预期|目标)?(?:答案|回答|答复|回复|解答|输出|答)"
    r"(?:内容|正文|文本|要点)?"
    r"|(?:reference|correct|standard|expected|target|gold|ideal)?(?:answer|a|response|output)s?"
    r"|reference|groundtruth"
)
_BEST_ANSWER = re.compile(
    r"(?:参考|标准|正确|期望|预期|目标)"
    r"|reference|correct|standard|expected|target|gold|ideal|groundtruth"
)
_SECTION = re.compile(r"(?:所属)?(?:章节|章|节|单元)(?:名称?)?|chapter|section")


# The Traditional characters of these words.
_TRADITIONAL = str.maketrans("問題參標準確試幹覆預節單編號", "问题参标准确试干复预节单编号")


def plain_name(text: str) -> str:
    """A column's name as it counts: 参 考 答 案（中文） and 参考答案 are one."""
    text = "".join(
        c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf"
    )
    text = text.translate(_TRADITIONAL)
    return re.sub(r"[\W_]+", "", re.split(r"[(/\[【]", text.strip("[【"), maxsplit=1)[0]).lower()


@dataclass(frozen=True)
class Roles:
    """The numbers of the columns that hold questions, answers and chapters, in their order."""

    questions: list[int]
    answers: list[int]
    sections: list[int]
    best_answer: int  # -1: none


def column_roles(names: Iterable[str]) -> Roles:
    """What the columns of these names hold. Of several answers the reference is the best; A is
    one of the choices where there is a B."""
    plain = [plain_name(name) for name in names]
    answers = [n for n, name in enumerate(plain) if _ANSWER.fullmatch(name)]
    if "b" in plain:
        answers = [n for n in answers if plain[n] != "a"]
    best = sorted(answers, key=lambda n: not _BEST_ANSWER.search(plain[n]))  # stable: else first
    return Roles(
        [n for n, name in enumerate(plain) if _QUESTION.fullmatch(name)],
        answers,
        [n for n, name in enumerate(plain) if _SECTION.fullmatch(name)],
        best[0] if best else -1,
    )
