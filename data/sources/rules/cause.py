"""Why something is so, and what it leads to: 因为…所以…, …因此…, X 导致…."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import core, is_definable, is_owner, is_term, leading_term
from data.sources.rules.phrases import is_claim, refers_to_unseen, says_something, spaced
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import is_standalone

_BECAUSE = re.compile(
    r"^(?:因为|由于)(?P<cause>[^。？！]{4,80}?)[，,]\s*(?:所以|因此|因而|故|从而"
    r"|于是)?\s*(?P<effect>[^，。；？！]{6,50})(?P<rest>[，。；].*)?$"
)
_REASON_AFTER = re.compile(
    r"^(?P<effect>[^。？！；]{6,50}?)[，,]\s*(?:这|主要|其)?(?:就|正)?(?:是|都是)?(?:因为"
    r"|由于|原因是|原因在于)(?P<cause>.{6,})$"
)
_REASON_NEXT = re.compile(
    r"^(?:这|其)(?:主要|就|正)?(?:是)?(?:因为|由于|原因是|的原因是)(?P<cause>.{6,})$"
)
_THEREFORE = re.compile(
    r"^(?P<cause>[^。？！：]{10,100}?)[，；,]\s*(?:因此|所以|因而|故"
    r"|于是)[，,]?\s*(?P<effect>[^，。；？！]{6,45})(?P<rest>[，。；].*)?$"
)
_LEADS_TO = re.compile(
    r"^(?P<x>[^，。；：？！]{2,36}?)(?:会|将|可能|往往|通常|容易|就)*(?:导致|造成|引起|引发"
    r"|带来)(?:了)?(?P<rest>[^。？！]{4,})[。]?$"
)


@rule(
    "cause",
    kinds=("cause",),
    patterns=(_BECAUSE, _REASON_AFTER, _REASON_NEXT),
    good=[
        Good(
            "由于共享内存在芯片上，所以共享内存的延迟比全局内存低得多。",
            "为什么共享内存的延迟比全局内存低得多？",
        ),
        Good("全局内存的访问很慢，因为它在芯片之外的显存里。", "为什么全局内存的访问很慢？"),
        Good(
            "线程束的切换几乎没有开销。这是因为每个线程的寄存器一直留在芯片上。",
            "为什么线程束的切换几乎没有开销？",
        ),
    ],
    bad=[Bad("由于上述原因，我们需要换一种方法。", "上述, 我们: neither is in the sentence")],
)
def _cause(at: Place) -> Iterator[Candidate]:
    sentence = at.sentence
    if match := _BECAUSE.match(sentence):
        effect = match["effect"].strip()
        # "由于 A，B，因此 C": B is no effect, it is part of the cause.
        chained = re.match(r"[，；,]\s*(?:因此|所以|因而|故|从而|于是)", match["rest"] or "")
        if is_claim(effect) and says_something(effect) and not chained:
            yield Candidate("cause", f"为什么{spaced(effect)}", sentence)
    elif match := _REASON_AFTER.match(sentence):
        effect = match["effect"]
        fits = is_claim(effect) and says_something(effect) and "，" not in effect
        if fits and not sentence.startswith("之所以"):
            yield Candidate("cause", f"为什么{spaced(effect)}", sentence)
    following = at.following[0] if at.following else ""
    if _REASON_NEXT.match(following) and len(sentence) <= 70:
        effect = sentence.rstrip("。；;").strip()
        if is_claim(effect) and says_something(effect) and "，" not in effect:
            yield Candidate("cause", f"为什么{spaced(effect)}", sentence + following)


@rule(
    "therefore",
    kinds=("cause",),
    patterns=(_THEREFORE,),
    good=[
        Good(
            "寄存器文件的容量在芯片上是固定的，因此寄存器的数量限制了活跃线程。",
            "为什么寄存器的数量限制了活跃线程？",
        )
    ],
    bad=[Bad("它们访问的是同一块内存，因此结果不一定正确。", "它们: who?")],
)
def _therefore(at: Place) -> Iterator[Candidate]:
    match = _THEREFORE.match(at.sentence)
    if not match or re.search(r"由于|因为|为了|如果|当|假设|^请|^相反", at.sentence):
        return
    effect = re.sub(r"^(?:就|才|也|都)", "", match["effect"]).strip()
    if (
        is_owner(leading_term(effect, 20))
        and says_something(effect)
        and is_standalone(effect)
        and match["cause"].count("，") <= 2
        and not re.search(r"\d", effect)
        and not refers_to_unseen(at.sentence)
    ):
        yield Candidate("cause", f"为什么{spaced(effect)}", at.sentence)


@rule(
    "consequence",
    kinds=("consequence",),
    patterns=(_LEADS_TO,),
    good=[Good("存储体冲突会导致同一线程束的访问排队进行。", "存储体冲突会导致什么？")],
    bad=[Bad("这样做往往会导致程序的性能明显下降。", "这样: how?")],
)
def _consequence(at: Place) -> Iterator[Candidate]:
    if match := _LEADS_TO.match(at.sentence):
        subject = match["x"].strip()
        if is_term(subject, 30) and is_definable(subject.split("的")[-1], 30):
            yield Candidate("consequence", f"{core(subject)}会导致什么", at.sentence)
