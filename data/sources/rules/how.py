"""How something is done: 为了…可以…, X 可以通过…来…."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import core, is_owner
from data.sources.rules.phrases import is_action, is_telling, spaced
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule

_IN_ORDER_TO = re.compile(
    r"^为了(?P<goal>[^，。；：]{4,30})[，,](?!包括|即|也就是|以及|特别是)(?P<how>[^。？！]{8,})[。]?$"
)
_BY = re.compile(
    r"^(?P<who>[^，。；：]{0,20}?)(?:可以|能够|可)(?:通过|使用|利用"
    r"|借助)(?:调用)?(?P<tool>[^，。；：]{2,40}?)\s*(?:函数|变量|指令)?\s*(?:来"
    r"|以)(?P<goal>[^，。；：]{4,30})(?=[，。；]|$)"
)
_VIA = re.compile(
    r"^(?P<x>[^，。；：]{2,24}?)(?:可以|能够|可)(?:使用|通过|用|借助"
    r"|利用)(?P<tool>[^，。；：]{2,40}?)(?:来进行|进行"
    r"|来)(?P<verb>[\u4e00-\u9fff]{2,6})(?=[，。；]|$)"
)


@rule(
    "how",
    kinds=("how",),
    patterns=(_IN_ORDER_TO, _BY, _VIA),
    good=[
        Good(
            "为了避免存储体冲突，可以给数组的每一行加一列填充。",
            "为了避免存储体冲突，可以怎么做？",
        ),
        Good("主机程序可以通过事件来测量核函数的执行时间。", "主机程序如何测量核函数的执行时间？"),
        Good("设备内存可以使用 cudaFree 函数来释放。", "设备内存如何释放？"),
    ],
    bad=[Bad("为了解决这个问题，可以给数组的每一行加一列填充。", "这个: which one?")],
)
def _how(at: Place) -> Iterator[Candidate]:
    sentence = at.sentence
    if match := _IN_ORDER_TO.match(sentence):
        goal = match["goal"].strip()
        does = re.search(
            r"可以|需要|应|通过|采用|使用|利用|将|把|必须|要|引入|添加|划分", match["how"]
        )
        vague = re.search(r"需要(?:一些|某些|几个)", match["how"])
        if does and not vague and is_action(goal) and is_telling(goal):
            yield Candidate("how", f"为了{spaced(goal)}，可以怎么做", sentence)
    match = _VIA.match(sentence)
    if match and is_owner(match["x"]) and is_action(match["verb"] + "参数"):
        yield Candidate("how", f"{core(match['x'])}如何{match['verb']}", sentence)
    elif match := _BY.match(sentence):
        who, goal = match["who"].strip(), match["goal"].strip()
        after = bool(re.fullmatch(r"[^，我你这那它]{2,8}[后时]", who))
        if is_action(goal) and is_telling(goal) and (not who or after or is_owner(who)):
            yield Candidate("how", f"{core(who)}如何{spaced(goal)}", sentence)
