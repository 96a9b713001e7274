"""What happens, or is to be done, under a condition: 如果…, 当…时, 只要…, 一旦…."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import leading_term, tags
from data.sources.rules.phrases import spaced
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import is_standalone

_IF = re.compile(
    r"^(?P<word>如果|若|当(?![前时地年下中初])|只要|一旦)\s*(?P<condition>[^，。；：？！]{5,45}?)(?P<when>时候?"
    r"|的时候|的话|后|以后|之后)?[，,]\s*"
    r"(?:那么|则|就|那)?\s*(?P<result>[^。？！]{8,160})[。]?$"
)
_VAGUE = re.compile(
    r"^时|会|就|即可|便可|我|你|这|那|它|他们|该|此|其(?!他|它|余)|上述|之后的|想|希望|宁愿|需要注意|看|例|人们|有人|第一次|^用户"
)


@rule(
    "condition",
    kinds=("condition",),
    patterns=(_IF,),
    good=[
        Good("如果多个线程写同一个地址，结果就是不确定的。", "如果多个线程写同一个地址，会怎样？"),
        Good(
            "一旦线程块用完了共享内存，需要减少每块的线程数。",
            "一旦线程块用完了共享内存，应该怎么做？",
        ),
    ],
    bad=[
        Bad("如果守护进程退出，日志不再写入，那么缓冲区会保留。", "日志…: condition or result?"),
        Bad("如果两个版本混用，就可能出现这一情况。", "这一情况: which one?"),
        Bad("当前项目向测试分支提供安全更新，但不向开发分支提供。", "当前 is no condition"),
    ],
)
def _condition(at: Place) -> Iterator[Candidate]:
    match = _IF.match(at.sentence)
    if not match:
        return
    condition = re.sub(r"(?<!同)时$", "", match["condition"].strip())
    if not _is_owned(condition) or re.search(r"[$\\<>=（()）]", condition):
        return  # "程序运行时": any program?
    if _VAGUE.search(condition) or not is_standalone(condition) or not _has_subject(condition):
        return
    if re.search(r"^(?:我|你|可以看|请|参)|什么|如何|怎|吗|多少|^最后一", match["result"]):
        return
    # "当 A 时，或 B 时，…": what follows still belongs to the condition.
    if re.match(r"(?:或|并|且|而|但|同时|尤其|特别|即|也就是|例如|比如|[（(])", match["result"]):
        return
    if match["result"].count("，") > 1 or len(match["result"]) > 90:
        return
    # "如果 A，B，那么 C": B may belong to either side. "就可能出现这一情况": which one?
    if re.search(r"[，,](?:那么|则)|这一?(?:情况|现象|问题)|这些|这两", match["result"]):
        return
    ask = "应该怎么做" if re.match(r"(?:需要|应|可以|必须|要|建议)", match["result"]) else "会怎样"
    word = {"若": "如果"}.get(match["word"], match["word"])
    when = match["when"] or ""
    when = "时" if word == "当" and not when else when
    yield Candidate("condition", f"{word}{spaced(condition)}{when}，{ask}", at.sentence)


def _is_owned(condition: str) -> bool:
    """Does a condition name more than plain words: an identifier, or a longer term?"""
    bare = re.sub(r"^(?:使用|调用|在)", "", condition)
    if re.search(r"(?:支持|需要|使用|非零|存在)$", bare):
        return False  # supports what?
    if re.search(r"[a-z]_[a-z]|[a-z][A-Z]|\(\)|::|__", bare):
        return True
    if len(bare) < 10:
        return False
    if re.search(r"[A-Za-z]{3,}", bare) or any(len(run) >= 4 for run in _nouns(bare)):
        return True
    return len({word for word, flag in tags(bare) if flag[0] == "n" and len(word) > 1}) > 1


def _nouns(text: str) -> list[str]:
    """Runs of nouns: 共享内存, 主机内存."""
    runs, run = [], ""
    for word, flag in tags(text):
        if flag[0] == "n" or flag in ("vn", "eng", "l", "b"):
            run += word
        else:
            runs.append(run)
            run = ""
    return [*runs, run]


def _has_subject(condition: str) -> bool:
    head = re.sub(r"^(?:一个|某个|多个|不同的?|两个|有|存在|使用|调用)\s*", "", condition)
    return bool(leading_term(head, 24)) or bool(re.match(r"[A-Za-z_]{2,}", head))
