"""Rows like a target's: `data build --like TESTSET` measures the set and leans the rows towards it.

Only numbers are taken from the test set: lengths, words that count, shares of kinds and of code,
how far answers restate their question. Its questions and answers stay excluded. The numbers
become the length and style words of a model's prompt, and decide which rows are left out where
the rows have too many of a sort.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from common.language import either
from common.question_kinds import kind_of
from data.answer_profile import AnswerProfile, measure
from data.code_lines import has_code
from data.records import digest
from data.sources.prompts import Style
from data.text import CJK
from judging.scoring import judge_tokens

# Upper ends of the bins that answers are counted in, the last one open.
CHAR_EDGES = (20, 40, 80, 120, 180, 260, 400, 700)
WORD_EDGES = (1, 3, 6, 12, 20, 32, 50, 80)
RESTATED_CHARS = 60  # where an answer restates its question, if it does


@dataclass(frozen=True)
class Target:
    """What a test set is like, in numbers. chars_low, chars_high: the middle half of its answers.

    char_shares, word_shares: what each bin of CHAR_EDGES and WORD_EDGES holds. kinds: shares by
    `kind_of`. tokens: mean of an answer, None without a tokenizer.
    """

    name: str
    answers: AnswerProfile
    tokens: float | None
    chars_low: int
    chars_high: int
    char_shares: dict[int, float]
    word_shares: dict[int, float]
    kinds: dict[str, float]
    restated: float


Rows = Sequence[tuple[str, str]]  # (question, answer)
Tokens = Callable[[Sequence[str]], list[int]] | None


def target_of(name: str, rows: Rows, tokens: Tokens = None) -> Target:
    """The numbers of these rows. Raises ValueError for none."""
    if not rows:
        raise ValueError(
            either(f"--like {name}：里面没有问题", f"--like {name}: no question in it")
        )
    answers = [answer for _, answer in rows]
    chars = sorted(map(len, answers))
    words = [len(judge_tokens(answer)) for answer in answers]
    return Target(
        name=name,
        answers=measure(answers),
        tokens=round(mean(tokens(answers)), 1) if tokens else None,
        chars_low=_quantile(chars, 0.25),
        chars_high=_quantile(chars, 0.75),
        char_shares=_bins(chars, CHAR_EDGES),
        word_shares=_bins(words, WORD_EDGES),
        kinds=_shares(Counter(kind_of(question).key for question, _ in rows)),
        restated=round(mean(restated(*row) for row in rows), 3),
    )


def style_of(target: Target) -> Style:
    """The length and style words of a model's prompt."""
    words = round(target.answers.latin_words_mean)
    low, high = _round(target.chars_low), max(_round(target.chars_high), 20)
    length = f"答案一般 {low} 到 {high} 字，写出约 {words} 个英文词、标识符或数字"
    if target.restated >= 0.5:
        length = f"答案第一句完整复述问题的主语，直接给出结论；{length[2:]}"
    share = round(100 * target.answers.code_share)
    code = "只有问题要求写代码时，答案才给代码：给出片段中的核心代码，保持缩进。"
    if share >= 20:
        code = (
            f"片段里有相关代码时，约 {share}% 的答案在说明之后另起一段给出片段中的核心代码，"
            "保持缩进，不改标识符。"
        )
    common = sorted(target.kinds.items(), key=lambda item: -item[1])
    kinds = "、".join(f"{kind} {share:.0%}" for kind, share in common if share >= 0.05)
    kinds = f"各题型的比例大致是：{kinds}。"
    return Style(length=f"{length}。", code=code, kinds=kinds, chars=(low, high))


def select(pairs: Sequence[Any], target: Target, least: float) -> list[Any]:
    """The pairs, without those of sorts that the target has fewer of; in their order.

    Greedy: while the distance shrinks, a pair of the sort whose loss helps most goes, and at least
    the share `least` of all stays. Sorts: bins of characters and of words, with code or without,
    and kind. The same pairs give the same choice.
    """
    cells: dict[tuple[Any, ...], list[int]] = {}
    order = sorted(range(len(pairs)), key=lambda i: digest(pairs[i].question, pairs[i].answer))
    for i in order:
        cells.setdefault(_cell(pairs[i].question, pairs[i].answer), []).append(i)
    counts = {cell: len(members) for cell, members in cells.items()}
    distance = _distance(counts, target)
    for _ in range(len(pairs) - max(1, round(least * len(pairs)))):
        found = min(
            ((_distance({**counts, cell: counts[cell] - 1}, target), cell) for cell in counts),
            key=lambda item: (item[0], str(item[1])),
        )
        if found[0] >= distance:
            break
        distance, cell = found
        counts[cell] -= 1
        cells[cell].pop()
        if not counts[cell]:
            del counts[cell]
    kept = {i for members in cells.values() for i in members}
    return [pair for i, pair in enumerate(pairs) if i in kept]


def distance(rows: Rows, target: Target) -> float:
    """How far rows are from the target, 0 to 1: the mean over characters, words, code and kinds of
    the total variation distance, the share that would have to change its bin."""
    return round(_distance(Counter(_cell(q, a) for q, a in rows), target), 3)


def compared(rows: Rows, target: Target, tokens: Tokens = None) -> dict[str, Any]:
    """Both distributions side by side, for the report."""
    own = target_of("rows", rows, tokens)
    return {
        "name": target.name,
        "distance": distance(rows, target),
        "figures": {
            name: [_figure(own, name), _figure(target, name)]
            for name in (*asdict(target.answers), "tokens", "restated")
            if name != "count" and _figure(target, name) is not None
        },
        "characters": _table(own.char_shares, target),
        "kinds": {
            kind: [own.kinds.get(kind, 0.0), target.kinds.get(kind, 0.0)]
            for kind in sorted({*own.kinds, *target.kinds})
        },
    }


def restated(question: str, answer: str) -> float:
    """Share of a question's Chinese character pairs and words that stand in its answer's opening,
    0 to 1."""
    terms = _terms(question)
    opening = _terms(answer[:RESTATED_CHARS])
    return len(terms & opening) / len(terms) if terms else 0.0


def _terms(text: str) -> set[str]:
    found = set()
    for run in re.findall(f"[{CJK}]+", text):
        found |= {run[i : i + 2] for i in range(len(run) - 1)}
    return found | set(judge_tokens(text))


def _cell(question: str, answer: str) -> tuple[Any, ...]:
    return (
        _bin(len(answer), CHAR_EDGES),
        _bin(len(judge_tokens(answer)), WORD_EDGES),
        has_code(answer),
        kind_of(question).key,
    )


def _distance(counts: Any, target: Target) -> float:
    total = sum(counts.values())
    if not total:
        return 1.0
    sums: list[Counter[Any]] = [Counter() for _ in range(4)]
    for cell, count in counts.items():
        for place, value in enumerate(cell):
            sums[place][value] += count
    code = target.answers.code_share
    wanted: list[dict[Any, float]] = [
        target.char_shares,
        target.word_shares,
        {True: code, False: 1 - code},
        target.kinds,
    ]
    return mean(
        sum(abs(own[key] / total - goal.get(key, 0.0)) for key in {*own, *goal}) / 2
        for own, goal in zip(sums, wanted, strict=True)
    )


def _quantile(ordered: Sequence[int], share: float) -> int:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _bin(value: int, edges: tuple[int, ...]) -> int:
    return next((n for n, edge in enumerate(edges) if value < edge), len(edges))


def _bins(values: Sequence[int], edges: tuple[int, ...]) -> dict[int, float]:
    return _shares(Counter(_bin(value, edges) for value in values))


def _table(own: dict[int, float], target: Target) -> dict[str, list[float]]:
    edges, wanted = CHAR_EDGES, target.char_shares
    names = [f"<{edges[0]}", *(f"{a}–{b - 1}" for a, b in zip(edges, edges[1:], strict=False))]
    names.append(f"≥{edges[-1]}")
    return {
        name: [round(own.get(n, 0.0), 3), round(wanted.get(n, 0.0), 3)]
        for n, name in enumerate(names)
        if n in own or n in wanted
    }


def _figure(target: Target, name: str) -> float | None:
    return getattr(target.answers, name, None) if name not in vars(target) else vars(target)[name]


def _shares(counts: Counter[Any]) -> dict[Any, float]:
    total = sum(counts.values())
    return {key: round(count / total, 4) for key, count in sorted(counts.items())}


def _round(value: int) -> int:
    """To tens, as a person would say it."""
    return max(10, round(value, -1))
