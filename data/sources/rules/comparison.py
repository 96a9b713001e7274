"""How two things differ: X 和 Y 的区别在于…, 与 Y 相比，X…, X…，而 Y…."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import core, cuts_a_word, is_definable, is_term, leading_term, tags
from data.sources.rules.phrases import says_enough
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule

_DIFFERENCE = re.compile(
    r"^(?P<x>[^，。；：的]{1,24}?)\s*(?:和|与|跟|同)\s*(?P<y>[^，。；：的]{1,24}?)\s*(?:的"
    r"|之间的?)?(?:主要|本质|最大|根本)?(?:的)?(?:区别|差别|差异|不同(?:之处"
    r"|点)?)(?:主要)?(?:在于|是|就是|有)(?P<rest>.{6,})$"
)
_COMPARED = re.compile(
    r"^(?:与|和|同|跟|相比于?|相较于|相对于|对比)\s*(?P<y>[^，。；：]{2,24}?)\s*(?:相比|比较"
    r"|相较|对比|而言|来说)?[，,](?P<rest>[^。？！]{8,})[。]?$"
)
_CONTRAST = re.compile(
    r"^(?P<first>[^。；？！：]{8,80})[，；,;]\s*而\s*(?P<second>[^。；？！：]{8,80})[。]?$"
)


@rule(
    "comparison",
    kinds=("comparison",),
    patterns=(_DIFFERENCE, _COMPARED, _CONTRAST),
    good=[
        Good("进程和线程的区别在于线程共享同一个地址空间。", "进程和线程有什么区别？"),
        Good(
            "与全局内存相比，共享内存的延迟要低得多。", "与全局内存相比，共享内存的延迟有什么特点？"
        ),
        Good(
            "静态链接库由链接器装入可执行文件，而动态链接库由加载器装入可执行文件所在的内存。",
            "静态链接库和动态链接库有什么不同？",
        ),
    ],
    bad=[
        Bad("两者的区别在于线程共享同一个地址空间。", "两者: which two?"),
        Bad("甲流程和乙流程的区别在于两者的结束方式不同。", "which ways?"),
        Bad("line 和 fill 分别给出边的颜色，而 color 给出边的颜色和底色。", "of one command"),
        Bad("与前者相比，它的延迟要低得多。", "前者, 它: neither is in the sentence"),
    ],
)
def _comparison(at: Place) -> Iterator[Candidate]:
    sentence = at.sentence
    match = _DIFFERENCE.match(sentence)
    if match and (len(match["rest"]) < 12 or re.search("[上中]。?$|方式|不同", match["rest"])):
        return  # "在于结束的方式不同": which ways?
    if match and is_term(match["x"]) and is_term(match["y"]):
        asked = f"{core(match['x'])}和{core(match['y'])}有什么区别"
        yield Candidate("comparison", asked, at.continued)
        return
    match = _COMPARED.match(sentence)
    if match and is_term(match["y"]):
        subject = leading_term(match["rest"], 20)
        verb = re.match(
            r"\s*(?:的|是|更|有|可以|能|会|不|没|需|要|在|具|拥|通常|往往|明显|只)",
            match["rest"][len(subject) :],
        )
        if re.search("相反|类似|相同|不同|一样", match["y"]) or not says_enough(match["rest"]):
            return
        if subject and verb and core(subject) != core(match["y"]):
            asked = f"与{core(match['y'])}相比，{core(subject)}有什么特点"
            yield Candidate("comparison", asked, sentence)
            return
    match = _CONTRAST.match(sentence)
    if match and not re.search("因为|由于|如果|可能", match["first"]):
        first, second = leading_term(match["first"], 16), leading_term(match["second"], 16)
        rest = [
            {w for w, _ in tags(match[side]) if len(w) > 1 and w not in first + second}
            for side in ("first", "second")
        ]
        numbers = re.search(r"\d", match["first"] + match["second"])  # of one data set
        if first and second and core(first) != core(second) and len(rest[0] & rest[1]) >= 2:
            if numbers or not (
                _is_whole(first, match["first"]) and _is_whole(second, match["second"])
            ):
                return
            asked = f"{core(first)}和{core(second)}有什么不同"
            yield Candidate("comparison", asked, sentence)


def _is_whole(term: str, clause: str) -> bool:
    """One thing with a name, whole: not "draw 和 fill", not "ctex 文档" of "ctex 文档类"."""
    if re.search(r"[红黄蓝绿黑白左右上下]|曲线|直线", term):
        return False  # of a figure
    if re.search(r"[和与或及、⟨\\@]|[一-鿿] [A-Za-z]|[A-Za-z] ?[一-鿿]{3,}", term):
        return False
    named = len(core(term)) >= 4 or bool(re.match("[A-Z]", core(term)))
    return named and is_definable(term, 16) and not cuts_a_word(clause, len(term))
