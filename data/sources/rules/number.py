"""How many: one number with its unit in a sentence's first clause."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import is_owner, is_term, leading_term
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import is_standalone

_UNITS = (
    r"个|位|次|条|种|类|块|倍|字节|比特|核|层|级|维|周期|时钟周期|KB|MB|GB|TB|KiB|MiB|GiB"
    r"|GB/s|MB/s|TB/s|GFLOPS|TFLOPS"
    r"|GHz|MHz|Hz|ns|us|μs|µs|ms|秒|毫秒|微秒|纳秒|bit|Byte|Bytes|W|nm|%"
)
_AMOUNT = re.compile(
    r"(?P<before>(?:多达|最多|至少|约|大约|高达|只有|共|共有)?\s*)"
    r"(?P<n>(?<![\w.+\-*/×=^])\d[\d,]*(?:\.\d+)?|[两三四五六七八九十](?=个|种|类|级|层|部分))"
    rf"\s*(?P<unit>{_UNITS})(?![A-Za-z/²])"
)
_MEASURES = r"[A-Za-zμµ/%]+|倍|字节|比特|位|秒|毫秒|微秒|纳秒|周期|时钟周期"
_VERB = re.compile(
    r"(?:由|包含|包括|含有|拥有|有|为|可达|达到|达|运行|执行|分为|提供|支持|需要"
    r"|占用?|可以?|到|配备)(?:了|着)?$"
)


@rule(
    "number",
    kinds=("number",),
    patterns=(_AMOUNT,),
    good=[
        Good("一个线程束包含 32 个线程。", "一个线程束包含多少个线程？"),
        Good("每个线程块的共享内存为 48 KB。", "每个线程块的共享内存为多少 KB？"),
        Good("计算机的存储系统分为三级：寄存器、缓存和主存。", "计算机的存储系统分为几级？"),
    ],
    bad=[
        Bad("本例中一共启动了 256 个线程。", "speaks of one example"),
        Bad("循环里的两次同步都不能少，否则结果不对。", "which loop was said earlier"),
        Bad("WorkQueue 结构体包含 3 个成员，最后一个是锁。", "of one program"),
    ],
)
def _number(at: Place) -> Iterator[Candidate]:
    clause = re.split(r"[，。；：？！]", at.sentence)[0]
    clause = re.sub(r"\s*[（(][^（）()]*[)）]", "", clause)
    numbers = list(re.finditer(r"\d[\d,.]*", clause))
    match = _AMOUNT.search(clause)
    if not match or len(numbers) > 1 or not 8 <= len(clause) <= 50:
        return
    head = clause[: match.start()].rstrip()
    tail = re.split(r"且|并且|以及|，|并(?=[会在将])", clause[match.end() :])[0]
    if not _VERB.search(head) or re.search(r"[\"“”]", clause):
        return
    if re.search(r"第$|[A-Za-z.\-_]$|而|并(?!行|发)|且", head):
        return
    subject = leading_term(
        re.sub(r"^(?:在[^，]{2,16}[中上里]\s*|每一?个\s*|一个\s*|单个\s*)", "", head), 24
    )
    if not is_owner(subject) or not is_standalone(clause):
        return
    vague = r"[a-z][A-Z]|_|里|时|存在|所有|一般|很容易|实质|都|特殊|比较"
    if len(subject) < 3 or re.search(vague, head):
        return  # a structure of one program, "都有两个", "实现了所有三个"
    listed = re.search("[：:、]|分别", at.sentence[match.end() :])
    fixed = re.fullmatch(_MEASURES, match["unit"]) or re.fullmatch(r"\d{2,}", match["n"])
    if not listed and not fixed:
        return  # how many, but not which
    if not re.search(r"[。；，：]$", tail) and tail and not is_term(tail.strip(), 16):
        return
    if "用于" in tail or (
        not tail.strip() and "分为" not in head and re.search("种|个|类", match["unit"])
    ):
        return
    if re.match(r"\s*不同", tail) or re.search(
        r"简化为|扩展到|实质|很容易|一类是|跨度为|仍|依然|还(?:是|有)", head
    ):
        return  # "是两种不同的算法"
    small = re.fullmatch("[两三四五六七八九十]", match["n"])
    if small and match["unit"] not in ("级", "层") and not tail.startswith("部分"):
        return  # "生活有两种活动": an enumeration that leaves out its things
    unit = match["unit"]
    if unit.isascii() and unit.isalpha() and not small:
        asked = f"{head}多少 {unit}{tail}"
    else:
        asked = f"{head}{'几' if small else '多少'}{unit}{tail}"
    yield Candidate("number", asked, at.sentence)
