"""How two things differ: X 和 Y 的区别在于…, 与 Y 相比，X…."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import core, is_term, leading_term
from data.sources.rules.phrases import says_enough
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule

_DIFFERENCE = re.compile(
    r"^(?P<x>[^，。；：的]{1,24}?)\s*(?:和|与|跟|同)\s*(?P<y>[^，。；：的]{1,24}?)\s*(?:的"
    r"|之间的?)?(?:主要|本质|最大|根本)?(?:的)?(?:区别|差别|差异|不同(?:之处"
    r"|点)?)(?:主要)?(?:在于|是(?!非常|很|不|最)|就是|有)(?P<rest>.{6,})$"
)
_COMPARED = re.compile(
    r"^(?:与|和|同|跟|相比于?|相较于|相对于|对比)\s*(?P<y>[^，。；：]{2,24}?)\s*(?:相比|比较"
    r"|相较|对比|而言|来说)?[，,](?P<rest>[^。？！]{8,})[。]?$"
)


@rule(
    "comparison",
    kinds=("comparison",),
    patterns=(_DIFFERENCE, _COMPARED),
    good=[
        Good("进程和线程的区别在于线程共享同一个地址空间。", "进程和线程有什么区别？"),
        Good(
            "与全局内存相比，共享内存的延迟要低得多。", "与全局内存相比，共享内存的延迟有什么特点？"
        ),
    ],
    bad=[
        Bad("两者的区别在于线程共享同一个地址空间。", "两者: which two?"),
        Bad("甲流程和乙流程的区别在于两者的结束方式不同。", "which ways?"),
        Bad(
            "主机端由甲编译器编译成目标文件，而设备端由乙编译器编译成目标文件。",
            "one of many sides",
        ),
        Bad(
            "与仓库的区别在于，货架只放当天要用的零件，从不按批次编号。", "no name before the comma"
        ),
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
        if re.search("相反|类似|相同|不同|一样|区别|差别", match["y"]) or not says_enough(
            match["rest"]
        ):
            return
        if subject and verb and core(subject) != core(match["y"]):
            asked = f"与{core(match['y'])}相比，{core(subject)}有什么特点"
            yield Candidate("comparison", asked, sentence)
            return
