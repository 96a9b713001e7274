"""Rules over running text: definitions, causes, purposes, comparisons, facts, the book's questions.

Every function takes sentences and yields (kind, question, answer); it is silent unless the
sentence names its subject itself.
"""

import re
from collections.abc import Iterator, Sequence

from data.records import CODE, Block
from data.sources.nouns import (
    core,
    cuts_a_word,
    is_definable,
    is_defined_name,
    is_owner,
    is_specific,
    is_term,
    leading_term,
    tags,
)
from data.sources.sentence import clean_sentences, is_standalone, strip_lead, with_continuation

Candidate = tuple[str, str, str]

_ENGLISH = r"(?:\s*[（(][^（）()]{1,60}[)）])?"
_DEFINITION = re.compile(
    rf"^(?P<x>[^，。；：？！,;:?!]{{1,40}}?{_ENGLISH})\s*，?\s*"
    r"(?P<verb>是指(?![针向令数])|指的是|指的就是|就是指"
    r"|[就也]?是一[种个类套条块组门段项份](?:种|个)?|即(?![使将可时便刻兴令])为?|定义为"
    r"|全称[为是]|即为|又称|也称|指(?=[^令针向数标出的定示导引点明派责挥望]))"
    r"(?P<rest>.{6,})$"
)
_IS = re.compile(
    rf"^(?P<x>[^，。；：？！,;:?!]{{1,30}}?{_ENGLISH})\s*(?:就是|是(?!否|不|什么|因为|由于"
    rf"|如何|为了|可以|必须|非常|很|最|更|较|比较|用|使用|让|在|从|的|通过|将|把|对|如|相同|一样))"
    r"(?P<rest>[^，；。]{1,60}的(?P<noun>[^，。的]{2,14}))(?=[，。；]|$)"
)
_CALLED = re.compile(
    r"(?:^|[，；])(?P<what>[^，。；：？！]{2,40}?)(?:被|通常|也|又|一般)*(?<!就)(?:称为|称作"
    r"|称之为|叫做|叫作)\s*"
    rf"(?P<x>[^，。；：？！、]{{2,30}}?{_ENGLISH})(?=[，。；]|$)"
)
_USED_FOR = re.compile(
    rf"^(?P<x>[^，。；：？！,;:?!]{{1,40}}?{_ENGLISH})\s*(?:函数限定符|函数|关键字|限定符"
    rf"|修饰符|变量|命令|接口|指令)?\s*"
    r"(?:主要|通常|一般|专门|可以|可)?(?:用于|用来|用作|负责)(?P<rest>.{4,})$"
)
_API = re.compile(
    r"^(?P<x>[A-Za-z_][\w.:]*(?:<<<.{0,12}>>>)?(?:\([^()]{0,30}\))?)\s*(?:这个)?(?:函数"
    r"|关键字|限定符|修饰符|变量|命令|接口|指令|宏|对象)?\s*"
    r"(?:则|主要|通常|可以|能够?|会|将)*(?:充当|返回|等待|负责|表示|指定|提供|允许|阻塞|分配"
    r"|释放|同步|控制|接受|接收|获取|声明|定义|申请|标识|告诉|查询|复制|拷贝|传输"
    r"|是一?个?(?=.{2,30}(?:函数|变量|关键字|接口|指令|命令|类型|结构体|限定符)))(?!的)",
    re.ASCII,
)
_ATTRIBUTE = re.compile(
    rf"^(?P<x>[^，。；：？！,;:?!]{{1,30}}?{_ENGLISH})\s*的(?P<a>[^，。；：的是为]{{2,12}}?)"
    r"(?:必须|只能|通常|一般|默认|主要|都|就|大约|约)*(?:是|为|有|叫)(?P<rest>.{2,})$"
)
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
_UNITS = (
    r"个|位|次|条|种|类|块|倍|字节|比特|核|层|级|维|周期|时钟周期|KB|MB|GB|TB|KiB|MiB|GiB"
    r"|GB/s|MB/s|TB/s|GFLOPS|TFLOPS"
    r"|GHz|MHz|Hz|ns|us|μs|µs|ms|秒|毫秒|微秒|纳秒|bit|Byte|Bytes|W|nm|%"
)
_NUMBER = re.compile(
    rf"(?P<before>(?:多达|最多|至少|约|大约|高达|只有|共"
    rf"|共有)?\s*)(?P<n>(?<![\w.+\-*/×=^]){{0}}\d[\d,]*(?:\.\d+)?|[两三四五六七八九十](?=个"
    rf"|种|类|级|层|部分))\s*(?P<unit>{_UNITS})(?![A-Za-z/²])".replace("{0}", "")
)
_QUESTION_WORD = re.compile(r"什么|为何|如何|怎[么样]|哪|多少|几|吗|呢|是否|区别")


def from_paragraph(block: Block) -> Iterator[Candidate]:
    """All rules over one paragraph or list item."""
    found = clean_sentences(block.text)
    for index, sentence in enumerate(found):
        answer = with_continuation(found, index)
        if len(sentence) < 10 or sentence.endswith(("：", ":")):
            continue
        if sentence.endswith(("？", "?")):
            yield from _asked(found, index)
            continue
        yield from _definition(sentence, answer)
        yield from _use(sentence, answer)
        yield from _api(sentence, answer)
        yield from _attribute(sentence)
        yield from _cause(found, index)
        yield from _goal(sentence)
        yield from _comparison(sentence, answer)
        yield from _amount(sentence)


def _definition(sentence: str, answer: str) -> Iterator[Candidate]:
    match = _DEFINITION.match(sentence)
    if match and cuts_a_word(sentence, match.start("verb")):
        match = None
    if match and match["verb"] in ("又称", "也称") and len(match["rest"]) < 20:
        return  # another name, and nothing about what it is
    strong = match and not match["verb"].lstrip("就也").startswith(("是一", "即"))
    if match and not strong and (_EVALUATES.match(match["rest"]) or _is_quoted(match["x"])):
        return
    if match and (is_definable(match["x"]) or (strong and is_defined_name(match["x"]))):
        yield "definition", f"什么是{_spaced(core(match['x']))}", answer
        return
    match = _IS.match(sentence)
    if match and (_EVALUATES.match(match["rest"]) or _is_quoted(match["x"])):
        return
    if match and cuts_a_word(sentence, match.end("x")):
        return
    if match and is_definable(match["x"], 16) and is_term(match["noun"], 16):
        yield "definition", f"什么是{_spaced(core(match['x']))}", answer
        return
    for match in _CALLED.finditer(sentence):
        if core(match["x"]).lower() in match["what"].lower():
            continue
        if is_definable(match["x"], 20) and _is_named(match["what"]):
            yield "definition", f"什么是{_spaced(core(match['x']))}", answer


# "X 是最基础的方法", "X 是一个非常好的选择": a judgement, which does not say what X is.
_EVALUATES = re.compile(
    r"(?:一[个种])?\s*(?:非常|很|十分|相当|最|更|较|比较|好|不错|重要|关键)"
    r"|[^，。；]{0,40}的好[\u4e00-\u9fff]{1,4}(?=[，。；]|$)"
)


def _is_quoted(text: str) -> bool:
    """A word in quotes before 是 is mostly a file or a value of one example."""
    return bool(re.match(r"[\"“‘'`「]", text.strip()))


def _is_named(what: str) -> bool:
    """Does the left side of 称为 say what it is, by a term in front or at its end?"""
    if re.search(r"这|那|它|该|此|我们|上述", what):
        return False
    _, of, last = what.rpartition("的")
    return bool(leading_term(what)) or bool(of and is_term(last))


def _use(sentence: str, answer: str) -> Iterator[Candidate]:
    match = _USED_FOR.match(sentence)
    # "列出用于…的字词" is an order: its first word is a verb, not a thing.
    if match and cuts_a_word(sentence, match.end("x")):
        return
    if match and is_specific(match["x"]) and is_definable(match["x"], 30):
        yield "purpose", f"{core(match['x'])}的作用是什么", answer


def _api(sentence: str, answer: str) -> Iterator[Candidate]:
    """A sentence that opens with an identifier and says what it does."""
    match = _API.match(sentence)
    if match and re.search(r"[_()<.]|[a-z][A-Z]", match["x"]):
        yield "api", f"{match['x'].strip()}的作用是什么", answer


def _attribute(sentence: str) -> Iterator[Candidate]:
    match = _ATTRIBUTE.match(sentence)
    if not match or not is_owner(match["x"]) or not is_term(match["a"], 12):
        return
    if [flag for _, flag in tags(match["x"])][:2] == ["v", "eng"]:
        return  # "输入 E1 的公式": an order
    flags = [flag[0] for _, flag in tags(match["a"])]
    if flags[-1] == "v" or "nvn" in "".join(flags):  # "政策要求软件包" is a clause
        return
    if re.match(r"(?:不|什么|如何|否|由于|因为|了|按|放|在|可|从|通过|对)", match["rest"]):
        return
    if re.match(
        r"\S{1,6}的\s*(?:[（(，。：]|$)", match["rest"]
    ):  # "是异步的" describes, names nothing
        return
    # "是以压缩包的格式提供的" says how, not what.
    if re.match(
        r"(?:都|均)?\s*(?:以|用|由|从|按|在|通过|根据)?[^，。；]*的\s*(?:[，。；]|$)", match["rest"]
    ):
        return
    sized = re.search(r"大小|长度|数量|个数|值$", match["a"]) and re.match(r"\s*\d", match["rest"])
    if sized and not re.search("通常|一般|默认", sentence):
        return
    # "= BM * BK" holds in one program only; the question would not say which.
    if re.match(r"\s*[\[($]*\s*[A-Za-z_]\w*\$?\s*(?:[*/+\-,]|\\)", match["rest"]):
        return
    ask = "有哪些" if sentence[: match.start("rest")].endswith("有") else "是什么"
    if ask == "有哪些" and not re.match(r"[两三四五六七八九十几多\d].*[：:、]", match["rest"]):
        return
    yield "fact", f"{core(match['x'])}的{match['a']}{ask}", sentence


def _cause(found: Sequence[str], index: int) -> Iterator[Candidate]:
    sentence = found[index]
    if match := _BECAUSE.match(sentence):
        effect = match["effect"].strip()
        if _is_claim(effect):
            yield "cause", f"为什么{_spaced(effect)}", sentence
    elif match := _REASON_AFTER.match(sentence):
        effect = match["effect"].split("，")[-1]
        if _is_claim(effect) and not re.match(r"(?:之所以)", sentence):
            yield "cause", f"为什么{_spaced(effect)}", sentence
    following = found[index + 1] if index + 1 < len(found) else ""
    if _REASON_NEXT.match(following) and len(sentence) <= 70:
        effect = sentence.rstrip("。；;").strip()
        if _is_claim(effect) and "，" not in effect:
            yield "cause", f"为什么{_spaced(effect)}", sentence + following


def _goal(sentence: str) -> Iterator[Candidate]:
    if match := _IN_ORDER_TO.match(sentence):
        goal = match["goal"].strip()
        does = re.search(
            r"可以|需要|应|通过|采用|使用|利用|将|把|必须|要|引入|添加|划分", match["how"]
        )
        if does and _is_action(goal):
            yield "how", f"为了{_spaced(goal)}，可以怎么做", sentence
    match = _VIA.match(sentence)
    if match and is_owner(match["x"]) and _is_action(match["verb"] + "参数"):
        yield "how", f"{core(match['x'])}如何{match['verb']}", sentence
    elif match := _BY.match(sentence):
        who, goal = match["who"].strip(), match["goal"].strip()
        after = bool(re.fullmatch(r"[^，我你这那它]{2,8}[后时]", who))
        if _is_action(goal) and (not who or after or is_owner(who)):
            yield "how", f"{core(who)}如何{_spaced(goal)}", sentence


def _comparison(sentence: str, answer: str) -> Iterator[Candidate]:
    match = _DIFFERENCE.match(sentence)
    if match and is_term(match["x"]) and is_term(match["y"]):
        yield "comparison", f"{core(match['x'])}和{core(match['y'])}有什么区别", answer
        return
    match = _COMPARED.match(sentence)
    if match and is_term(match["y"]):
        subject = leading_term(match["rest"], 20)
        if subject and core(subject) != core(match["y"]):
            yield "comparison", f"与{core(match['y'])}相比，{core(subject)}有什么特点", sentence
            return
    match = _CONTRAST.match(sentence)
    if match and not re.search("因为|由于|如果|可能", match["first"]):
        first, second = leading_term(match["first"], 16), leading_term(match["second"], 16)
        rest = [
            {w for w, _ in tags(match[side]) if len(w) > 1 and w not in first + second}
            for side in ("first", "second")
        ]
        if first and second and core(first) != core(second) and len(rest[0] & rest[1]) >= 2:
            yield "comparison", f"{core(first)}和{core(second)}有什么不同", sentence


def _amount(sentence: str) -> Iterator[Candidate]:
    """One number with its unit in the first clause becomes 多少 (or 几)."""
    clause = re.split(r"[，。；：？！]", sentence)[0]
    clause = re.sub(r"\s*[（(][^（）()]*[)）]", "", clause)
    numbers = list(re.finditer(r"\d[\d,.]*", clause))
    match = _NUMBER.search(clause)
    if not match or len(numbers) > 1 or not 8 <= len(clause) <= 50:
        return
    head = clause[: match.start()].rstrip()
    tail = re.split(r"且|并且|以及|，|并(?=[会在将])", clause[match.end() :])[0]
    verb = re.search(
        r"(?:由|包含|包括|含有|拥有|有|为|是|可达|达到|达|运行|执行|分为|提供|支持|需要"
        r"|占用?|可以?|到|配备)(?:了|着)?$",
        head,
    )
    if not verb or re.search(r"[\"“”]", clause):
        return
    if re.search(r"第$|[A-Za-z.\-_]$|而|并(?!行|发)|且", head):
        return
    subject = leading_term(
        re.sub(r"^(?:在[^，]{2,16}[中上里]\s*|每一?个\s*|一个\s*|单个\s*)", "", head), 24
    )
    if not is_owner(subject) or not is_standalone(clause):
        return
    small = re.fullmatch("[两三四五六七八九十]", match["n"])
    unit = match["unit"]
    if unit.isascii() and unit.isalpha() and len(unit) > 0 and not small:
        asked = f"{head}多少 {unit}{tail}"
    else:
        asked = f"{head}{'几' if small else '多少'}{unit}{tail}"
    yield "number", asked, sentence


def _asked(found: Sequence[str], index: int) -> Iterator[Candidate]:
    """A question of the book, answered by the sentences after it."""
    question = strip_lead(found[index]).rstrip("？?")
    question = re.sub(r"(?:呢|吧|呀|啊)$", "", question)
    question = re.split(r"[。；：]", question)[-1]
    if not 6 <= len(question) <= 50 or not _QUESTION_WORD.search(question):
        return
    if re.search(r"是不是|吗$|呢", question) or not _names_something(question):
        return
    answer = _following(found[index + 1 :])
    if answer and _mentions(answer, question):
        yield "asked", question, answer


def _following(rest: Sequence[str], limit: int = 300) -> str:
    answer = ""
    for sentence in rest:
        if sentence.endswith(("？", "?", "：", ":")) or len(answer) + len(sentence) > limit:
            break
        answer += sentence
    # What is to be run stands in the code after it, which the answer would lack.
    if re.search(r"(?:执行|运行|输入|键入|使用)[。.]?$", answer):
        return ""
    return answer if len(answer) >= 20 else ""


def from_heading(blocks: Sequence[Block], index: int) -> Iterator[Candidate]:
    """A heading that is a question, answered by the first paragraph under it."""
    block = blocks[index]
    first = index == 0 or blocks[index - 1].path != block.path
    if not first or not block.path or block.kind == CODE:
        return
    title = re.sub(
        r"^(?:第.{1,4}[章节]|[\d.]+|[一二三四五六七八九十]+、|[（(]?\d+[)）.、])\s*",
        "",
        block.path[-1],
    )
    question = title.rstrip("？? ")
    starts = re.match(r"什么是|为什么|为何|如何|怎[么样]|何时|何谓", question)
    ends = re.search(r"是什么|有哪些|是怎样的|有什么(?:区别|不同|用|好处)$", question)
    if not (starts or ends) or not _names_something(question) or len(question) > 40:
        return
    answer = _following(clean_sentences(block.text))
    if answer and not block.text.rstrip().endswith(("：", ":")):
        yield "asked", question, answer


def _mentions(answer: str, question: str) -> bool:
    """Does the answer take up most of the things that the question names?"""
    named = {w.lower() for w, flag in tags(question) if flag[0] in "nx" or flag == "eng"}
    named = {word for word in named if len(word) > 1}
    found = sum(1 for word in named if word in answer.lower())
    return bool(named) and found / len(named) > 0.6 and found >= 2


def _names_something(question: str) -> bool:
    """Does a question say what it is about, without pronouns?"""
    if re.search(r"这|那|它|该|此|我们|上面|下面|其[中他]|两者", question):
        return False
    return bool(re.search(r"[A-Za-z]{2,}", question)) or any(
        flag[0] == "n" and len(word) > 1 for word, flag in tags(question)
    )


def _is_claim(text: str) -> bool:
    """A clause with its own subject, fit to stand after 为什么."""
    if re.match(r"\S{1,4}[了着]", text) or re.search(r"这[个种些样]|它|我们", text):
        return False
    return is_owner(leading_term(text, 20)) and is_standalone(text)


def _is_action(text: str) -> bool:
    """A verb phrase without pronouns, fit to stand after 如何."""
    words = tags(text)
    return (
        bool(words)
        and words[0][1][0] in "vd"
        and is_standalone(text)
        and not re.search(r"这|它|我们|该|其(?!他)|此", text)
        and _names_something(text)
    )


def _spaced(text: str) -> str:
    """A space between Chinese and an ASCII word, as the books of this field print it."""
    return f" {text}" if re.match(r"[A-Za-z_<]", text) else text
