"""From the model's text to the judge's: think blocks and control tokens that are no answer go."""

import re

_EMPTY_BLOCK = re.compile(r"\A\s*<think>\s*</think>")
_THINK_BLOCK = re.compile(r"<think>.*?</think>", re.DOTALL)
_THINK_END = re.compile(r"\A.*</think>", re.DOTALL)
_MARKS = re.compile(r"</?think>|<\|[a-z_]+\|>")
# A question that spells such a mark, or names them, is asking about them.
_ABOUT_MARKS = re.compile(
    r"</?think>|<\|[a-z_]+\|>|\bim_(start|end)\b|\bendoftext\b|chatml|chat[ _]?template"
    r"|(special|control)[ _]tokens?|(特殊|控制|结束|对话)\s*(标记|符|字符|词元|token)"
    r"|\b[be]os\b|(结束|终止|停止|起始|开始)\s*(标志|标识|标记|词元|token)"
    r"|(推理|思维链|reasoning)\s*(块|标记|标签|tag|token)"
    r"|思考(块|标记|标签)|think\s*(块|标记|标签|block|tag)|(对话|聊天)模板",
    re.IGNORECASE,
)


def clean(text: str, question: str = "") -> str:
    """The answer as the judge gets it: no reasoning, no control tokens, no outer whitespace.

    A `</think>` without its opening ends reasoning, too. Where the question is about such marks
    they are the answer's content and stay, but for an empty think block at its head, which is the
    chat template's. Never empty because of that: when nothing else is left, the reasoning stays.
    """
    text = _EMPTY_BLOCK.sub("", text)
    if _ABOUT_MARKS.search(question):
        return text.strip()
    answer = _THINK_END.sub("", _THINK_BLOCK.sub("", text))
    return _MARKS.sub("", answer).strip() or _MARKS.sub("", text).strip()
