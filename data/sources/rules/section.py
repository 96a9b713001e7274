"""A section's first paragraph that introduces the term which the heading names."""

import re
from collections.abc import Iterator

from data.sources.rules.nouns import is_definable, tags
from data.sources.rules.phrases import gap, title_term
from data.sources.rules.registry import Bad, Candidate, Good, Place, rule
from data.sources.sentence import clean_sentences, is_standalone
from data.text import cjk_share

MIN_ANSWER, MAX_ANSWER = 40, 260
_CIRCUMSTANCE = re.compile(r"在|当|如果|若|为了|由于|请|将|把")


@rule(
    "section",
    kinds=("explain",),
    patterns=(),
    good=[
        Good(
            "# 3.1 共享内存\n\n共享内存位于芯片上，由同一个线程块的全部线程共用。"
            "它的延迟远低于全局内存，适合存放反复读取的数据。",
            "请简要介绍共享内存。",
            "共享内存位于芯片上，由同一个线程块的全部线程共用。"
            "它的延迟远低于全局内存，适合存放反复读取的数据。",
        )
    ],
    bad=[
        Bad(
            "# 3.1 共享内存\n\n使用共享内存之前，先要想清楚哪些数据会被反复读取，"
            "再决定怎样分块，最后才动手写代码。",
            "the term is part of an order, not what the sentence is about",
        )
    ],
)
def _section(at: Place) -> Iterator[Candidate]:
    block = at.block
    if not at.opens_section:
        return
    term = title_term(block.path)
    if not is_definable(term, 20) or block.text.rstrip().endswith(("：", ":")):
        return
    found = clean_sentences(block.text)
    opening = found[0] if found else ""
    place = opening.lower().find(term.lower())
    if not 0 <= place <= 6 or not is_standalone(opening):
        return
    # "风格迁移的损失函数…" speaks of one; "损失函数不能…" does not introduce it.
    after = opening[place + len(term) :]
    if not re.fullmatch(r"[《“\"「`*]*|(?:一个|所谓的?|在.{1,3}中，?)", opening[:place]):
        return
    if re.match(r"\s*(?:不|没|无|也|又|的|只)", after):
        return
    first = tags(opening)[0][1] if opening else ""
    if (
        _CIRCUMSTANCE.match(opening)
        or (opening.lower().startswith(f"{term.lower()}，"))
        or (first.startswith("v") and not opening.lower().startswith(term.lower()))
    ):
        return
    answer = ""
    for sentence in found:
        if len(answer) + len(sentence) > MAX_ANSWER or not sentence.endswith(("。", "！")):
            break
        if answer and not is_standalone(re.sub(r"^(?:它|其|该|这|此)", "", sentence)):
            break
        answer += sentence
    # What the last sentence announces would be missing: "它包含两个阶段。"
    answer = re.sub(
        r"[^。]*(?:[两三四五几多]|以下|如下)(?:个|种|类|点|方面)[^。，：]{0,6}。$", "", answer
    )
    if len(answer) >= MIN_ANSWER and cjk_share(answer) > 0.3:
        yield Candidate("explain", f"请简要介绍{gap(term)}{term}", answer)
