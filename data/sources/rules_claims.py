"""Rules over claims: conditions, consequences, dependence, limits, lists in a sentence."""

import re
from collections.abc import Iterator, Sequence

from data.records import CODE, TABLE, Block
from data.sources.nouns import (
    core,
    cuts_a_word,
    is_definable,
    is_owner,
    is_specific,
    is_term,
    leading_term,
    tags,
)
from data.sources.sentence import clean_sentences, is_standalone
from data.text import cjk_share

Candidate = tuple[str, str, str]

_IF = re.compile(
    r"^(?P<word>如果|若|当(?![前时地年下中初])|只要|一旦)\s*(?P<condition>[^，。；：？！]{5,45}?)(?P<when>时候?"
    r"|的时候|的话|后|以后|之后)?[，,]\s*"
    r"(?:那么|则|就|那)?\s*(?P<result>[^。？！]{8,160})[。]?$"
)
_LEADS_TO = re.compile(
    r"^(?P<x>[^，。；：？！]{2,36}?)(?:会|将|可能|往往|通常|容易|就)*(?:导致|造成|引起|引发"
    r"|带来)(?:了)?(?P<rest>[^。？！]{4,})[。]?$"
)
_DEPENDS = re.compile(
    r"^(?P<x>[^，。；：？！]{2,30}?)(?:主要|通常|一般|往往|完全|就)*(?P<verb>取决于|受限于"
    r"|依赖于|由(?=[^，。]{2,40}决定))(?P<rest>[^。？！]{3,})[。]?$"
)
_SUITS = re.compile(
    r"^(?P<x>[^，。；：？！]{2,30}?)(?:主要|通常|一般|最|更|非常|特别|比较)*(?P<verb>适合"
    r"|适用于|擅长)(?P<rest>[^。？！]{4,})[。]?$"
)
_LIMIT = re.compile(
    r"^(?P<x>[^，。；：？！]{2,26}?)(?:都|也|就|通常)*(?P<verb>只能|不能|无法|不可以"
    r"|不允许|不支持|必须)(?!使用以下)(?P<rest>[^。？！]{4,})[。]?$"
)
_ABLE = re.compile(
    r"^(?P<x>[^，。；：？！]{2,26}?)(?:还|也|都|又|就)*(?:可以|能够|可(?=在|将|把|用(?![的户性])|对)"
    r"|能(?=在|将|把|对))(?!被|由|经由|经过|来自|属于|在[^，。]{1,50}(?:找到|看到|查到|获得|得到|下载|使用)"
    r"|作为[^，。]{1,12}提供|在[^，。]{1,60}范围内|在[^，。]{1,60}(?:进行)?(?:设置|设定|修改|更改|编辑|配置|指定|完成)(?=[，。；]|$)|是|同时|一起|看|参|通过|理解|认为|参考|使用|用来|用于|用作"
    r"|分为|有|在(?:图|上|下))(?P<rest>[^。？！]{6,})[。]?$"
)
_USING = re.compile(
    r"^(?:通过|使用|利用|采用|借助|引入)\s*(?P<x>[^，。；：？！]{2,26}?)[，,]?\s*(?:我们"
    r"|程序员|开发者)?(?:就|也|还)?(?:可以|能够|能)(?P<rest>[^。？！]{6,})[。]?$"
)
_PARTS = re.compile(
    r"^(?P<x>[^，。；：？！]{2,30}?)(?:主要|通常|一般|大致|都|又|也|可以?"
    r"|常见的?)*(?P<verb>包括|包含|分为|分成|由|支持"
    r"|提供)了?(?P<rest>[^。？！：]{6,120}?)(?P<by>组成|构成)?[。]?$"
)
_SO = re.compile(
    r"^(?P<cause>[^。？！：]{10,100}?)[，；,]\s*(?:因此|所以|因而|故"
    r"|于是)[，,]?\s*(?P<effect>[^，。；？！]{6,45})(?P<rest>[，。；].*)?$"
)
_NUMBERING = re.compile(
    r"^(?:第.{1,4}[章节篇部]|附录[A-Z]?|[A-Z](?:\.\d+)+\.?(?=\s)|[\d.]+|[一二三四五六七八九十]+、|[（(]?\d+[)）.、]|※)\s*"
)


def title_term(path: Sequence[str]) -> str:
    """The innermost heading without its number, brackets and Markdown."""
    return core(_NUMBERING.sub("", path[-1]).strip("`* ")) if path else ""


def from_claims(block: Block) -> Iterator[Candidate]:
    """All rules of this module over one paragraph or list item."""
    for sentence in clean_sentences(block.text):
        if len(sentence) < 12 or sentence.endswith(("：", ":", "？", "?")):
            continue
        yield from _condition(sentence)
        yield from _consequence(sentence)
        yield from _dependence(sentence)
        yield from _limit(sentence)
        yield from _parts(sentence)


def _condition(sentence: str) -> Iterator[Candidate]:
    match = _IF.match(sentence)
    if not match:
        return
    condition = match["condition"].strip()
    condition = re.sub(r"(?<!同)时$", "", condition)
    vague = re.search(
        r"^时|会|就|即可|便可|我|你|这|那|它|他们|该|此|其(?!他|它|余)|上述|之后的|想|希望|需要注意|看|例",
        condition,
    )
    if len(condition) < 6 and not re.search("[A-Za-z]", condition):
        return  # "程序运行时": any program?
    if vague or not is_standalone(condition) or not _has_subject(condition):
        return
    if re.search(r"^(?:我|你|可以看|请|参)|什么|如何|怎|吗|多少", match["result"]):
        return
    # "如果 A，B，那么 C": B may belong to either side. "就可能出现这一情况": which one?
    if re.search(r"[，,](?:那么|则)|这一?(?:情况|现象|问题)|这些|这两", match["result"]):
        return
    ask = "应该怎么做" if re.match(r"(?:需要|应|可以|必须|要|建议)", match["result"]) else "会怎样"
    word = {"若": "如果"}.get(match["word"], match["word"])
    when = match["when"] or ""
    when = "时" if word == "当" and not when else when
    yield "condition", f"{word}{gap(condition)}{condition}{when}，{ask}", sentence


def _has_subject(condition: str) -> bool:
    head = re.sub(r"^(?:一个|某个|多个|不同的?|两个|有|存在|使用|调用)\s*", "", condition)
    return bool(leading_term(head, 24)) or bool(re.match(r"[A-Za-z_]{2,}", head))


def _consequence(sentence: str) -> Iterator[Candidate]:
    if match := _LEADS_TO.match(sentence):
        subject = match["x"].strip()
        if is_term(subject, 30) and is_definable(subject.split("的")[-1], 30):
            yield "consequence", f"{core(subject)}会导致什么", sentence
    match = _USING.match(sentence)
    if match and not cuts_a_word(sentence, match.end("x")) and is_definable(match["x"]):
        yield "purpose", f"使用{gap(match['x'])}{core(match['x'])}有什么作用", sentence
    match = _ABLE.match(sentence)
    if match and cuts_a_word(sentence, match.end("x")):  # "侦探功|能在…"
        match = None
    if match and is_specific(match["x"]) and is_owner(match["x"]) and not _pointing(sentence):
        yield "ability", f"{core(match['x'])}可以做什么", sentence
    match = _SO.match(sentence)
    if match and not re.match(r"由于|因为|为了|如果|当", sentence):
        effect = re.sub(r"^(?:就|才|也|都)", "", match["effect"]).strip()
        if is_owner(leading_term(effect, 20)) and is_standalone(effect) and not _pointing(sentence):
            yield "cause", f"为什么{gap(effect)}{effect}", sentence


def _dependence(sentence: str) -> Iterator[Candidate]:
    match = _DEPENDS.match(sentence)
    if match and is_owner(match["x"]):
        ask = "由什么决定" if match["verb"] == "由" else f"{match['verb']}什么"
        yield "fact", f"{core(match['x'])}{ask}", sentence
    match = _SUITS.match(sentence)
    if match and is_definable(match["x"], 26):
        ask = "擅长什么" if match["verb"] == "擅长" else "适合用在什么情况下"
        yield "fact", f"{core(match['x'])}{ask}", sentence


def _limit(sentence: str) -> Iterator[Candidate]:
    match = _LIMIT.match(sentence)
    sized = match and re.search(r"(?:大小|长度|数量|个数)$", match["x"])
    if (
        match
        and is_specific(match["x"])
        and not sized
        and is_owner(match["x"])
        and not _pointing(sentence)
    ):
        ask = "需要满足什么要求" if match["verb"] == "必须" else "有什么限制"
        yield "limit", f"{core(match['x'])}{ask}", sentence


def _parts(sentence: str) -> Iterator[Candidate]:
    """ "X 包括 A、B 和 C。" written in one sentence."""
    match = _PARTS.match(sentence)
    if not match or not is_definable(match["x"], 26):
        return
    named = match["rest"].split("，")[0]
    listed = len(re.findall(r"、|和|以及|及|与", named))
    several = named.count("、") >= 1 or re.match(r"[两二三四五六\d]\s*[个种类级层]", match["rest"])
    if not listed or not several:
        return
    subject, verb = core(match["x"]), match["verb"]
    if verb == "由":
        if match["by"]:
            yield "enumeration", f"{subject}由哪些部分组成", sentence
        return
    if match["by"]:
        return
    if verb in ("分为", "分成"):
        unit = re.match(r"(?:[两二三四五六七八\d]+)\s*([种类级层个])", match["rest"])
        yield "enumeration", f"{subject}分为哪几{unit.group(1) if unit else '种'}", sentence
    else:
        yield "enumeration", f"{subject}{verb}哪些内容", sentence


def _pointing(sentence: str) -> bool:
    return bool(
        re.search(r"这[个种样些里]|那[个种样些]|我们|咱们|它们?|其中[一之]|同样的", sentence)
    )


def from_section_intro(blocks: Sequence[Block], index: int) -> Iterator[Candidate]:
    """The first paragraph of a section that opens with the section's own term."""
    block = blocks[index]
    if (index and blocks[index - 1].path == block.path) or block.kind in (CODE, TABLE):
        return
    term = title_term(block.path)
    if not is_definable(term, 20) or block.text.rstrip().endswith(("：", ":")):
        return
    found = clean_sentences(block.text)
    opening = found[0] if found else ""
    if not 0 <= opening.lower().find(term.lower()) <= 6 or not is_standalone(opening):
        return
    first = tags(opening)[0][1] if opening else ""
    if (
        re.match(r"在|当|如果|若|为了|由于|请|将|把", opening)
        or (opening.lower().startswith(f"{term.lower()}，"))
        or (first.startswith("v") and not opening.lower().startswith(term.lower()))
    ):
        return  # the term is part of a circumstance or an order, not what the sentence is about
    answer = ""
    for sentence in found:
        if len(answer) + len(sentence) > 260 or not sentence.endswith(("。", "！")):
            break
        if answer and not is_standalone(re.sub(r"^(?:它|其|该|这|此)", "", sentence)):
            break
        answer += sentence
    if len(answer) >= 40 and cjk_share(answer) > 0.3:
        yield "explain", f"请简要介绍{gap(term)}{term}", answer


def gap(text: str) -> str:
    """The space that parts Chinese from an ASCII word after it, or none."""
    return " " if re.match(r"[A-Za-z_<]", text.strip()) else ""
