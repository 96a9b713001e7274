"""Pairs by rules, without a model: made for precision, not volume.

Each rule looks at one block with its neighbours and yields (kind, question, answer). A rule that
is not sure stays silent. Raise VERSION whenever a rule changes: cached pairs are then made again.
"""

import re
from collections.abc import Iterator, Sequence

from data.records import CODE, ITEM, PARAGRAPH, QUOTE, TABLE, Block, Chunk, Pair, pair_at
from data.sources import Estimate, rules_claims, rules_code, rules_list, rules_prose, rules_table
from data.sources.sentence import is_standalone, polish

VERSION = "2"
SECONDS_PER_CHUNK = 0.013  # measured: 131 chunks in 1.6 s


class RulesSource:
    """The default source: deterministic, offline, about a second for a book."""

    name = "rules"
    one_batch = False
    fingerprint = f"rules/{VERSION}"

    def __init__(self) -> None:
        """Nothing to set."""
        self.notes: list[str] = []

    def pairs(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, list[Pair]]]:
        """Pairs of each chunk in order."""
        for chunk in chunks:
            yield chunk, list(chunk_pairs(chunk))

    def estimate(self, chunks: Sequence[Chunk]) -> Estimate:
        """Rules cost no calls and no tokens; the time is that of a small CPU core."""
        return Estimate(0, 0, 0, len(chunks) * SECONDS_PER_CHUNK, "a small CPU core")


_NAMELESS = re.compile(
    r"(?:[\d.]+\s*)?(?:示例|例子|样例|举例|范例|例|语法|参数|参数说明|返回值|用法)"
)


def chunk_pairs(chunk: Chunk) -> Iterator[Pair]:
    """All rules over all blocks of a chunk; a question asked twice keeps its first answer."""
    seen: set[str] = set()
    for index, block in enumerate(chunk.blocks):
        if block.kind != CODE and block.path and _NAMELESS.fullmatch(block.path[-1].strip("：: ")):
            continue  # "单元格 A1 为 2" holds in that example only, "type=0" for one function
        for kind, question, answer in _candidates(chunk.blocks, index):
            question = polish_question(question)
            answer = answer if kind in (CODE, "command") else polish(answer)
            if question in seen or not is_standalone(question) or not _is_balanced(question):
                continue
            if kind not in (CODE, "command") and not is_standalone(answer):
                continue
            seen.add(question)
            yield pair_at(chunk, question, answer, kind, RulesSource.name, block)


def _is_balanced(question: str) -> bool:
    """Quotes and brackets that open also close; one alone is a leftover of its sentence."""
    pairs = ("“”", "‘’", "「」", "『』", "（）", "《》")
    question = question.translate(str.maketrans("()", "（）"))  # a sentence may mix them
    closed = all(question.count(left) == question.count(right) for left, right in pairs)
    return closed and not (question.count('"') % 2 or question.count("`") % 2)


def polish_question(question: str) -> str:
    """One question mark at the end, no doubled spaces."""
    bare = " ".join(question.split()).rstrip("？?。，,；;：: ")
    return f"{bare}{'。' if bare.startswith(('请', '写出', '给出')) else '？'}"


def _candidates(blocks: Sequence[Block], index: int) -> Iterator[tuple[str, str, str]]:
    block = blocks[index]
    if block.kind == CODE:
        yield from rules_code.from_code(blocks, index)
    elif block.kind == TABLE:
        yield from rules_table.from_table(block)
    elif block.kind == ITEM:
        yield from rules_list.from_item(blocks, index)
        yield from rules_prose.from_paragraph(block)
        yield from rules_claims.from_claims(block)
    elif block.kind in (PARAGRAPH, QUOTE):
        yield from rules_list.from_introduction(blocks, index)
        yield from rules_prose.from_paragraph(block)
        yield from rules_claims.from_claims(block)
        yield from rules_claims.from_section_intro(blocks, index)
        yield from rules_prose.from_heading(blocks, index)
