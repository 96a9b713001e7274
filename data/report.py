"""Figures of a build's report: lengths, terms, coverage, samples; and its HTML."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from common.language import either, language
from common.tokenizer_file import load_tokenizer
from data.labels import label
from data.records import Pair
from data.row_counts import explained
from data.text import ascii_terms

TEMPLATE = Path(__file__).with_name("report.html.j2")
SAMPLES = 30
_BINS = (20, 40, 60, 80, 100, 150, 200, 300, 500, 1000)


def token_counter(tokenizer: Path | None) -> Callable[[Sequence[str]], list[int]] | None:
    """Counts tokens with a model's tokenizer.json; None without one. Raises TokenizerError."""
    if tokenizer is None:
        return None
    model = load_tokenizer(tokenizer)
    return lambda texts: [
        len(e.ids) for e in model.encode_batch(list(texts), add_special_tokens=False)
    ]


def lengths(values: Sequence[int]) -> dict[str, float]:
    """Mean, median, 90 % and maximum of some lengths; all 0 for none."""
    if not values:
        return {"mean": 0, "median": 0, "p90": 0, "max": 0}
    ordered = sorted(values)
    return {
        "mean": round(mean(ordered), 1),
        "median": median(ordered),
        "p90": ordered[min(int(len(ordered) * 0.9), len(ordered) - 1)],
        "max": ordered[-1],
    }


def histogram(values: Iterable[int]) -> dict[str, int]:
    """Counts by length: "<20", "20–39", …"""
    counts = Counter(next((b for b in _BINS if value < b), 0) for value in values)
    names = [f"<{_BINS[0]}"] + [f"{a}–{b - 1}" for a, b in zip(_BINS, _BINS[1:], strict=False)]
    found = {name: counts.get(b, 0) for name, b in zip(names, _BINS, strict=True)}
    return {**found, f"≥{_BINS[-1]}": counts.get(0, 0)}


def ascii_density(texts: Iterable[str]) -> dict[str, float]:
    """ASCII terms per 100 characters, and the share of texts without any.

    The judge's ROUGE-L sees these terms only: a text without one scores 0 whatever it says.
    """
    terms = chars = empty = count = 0
    for text in texts:
        found = len(ascii_terms(text))
        terms, chars, count = terms + found, chars + len(text), count + 1
        empty += not found
    return {
        "per_100_chars": round(100 * terms / chars, 2) if chars else 0.0,
        "without_any": round(empty / count, 4) if count else 0.0,
    }


def describe(
    rows: Sequence[tuple[str, str]],
    tokens: Callable[[Sequence[str]], list[int]] | None = None,
) -> dict[str, Any]:
    """Length and term figures of (question, answer) rows; used by `stats` and the report."""
    questions, answers = [q for q, _ in rows], [a for _, a in rows]
    found: dict[str, Any] = {
        "pairs": len(rows),
        "distinct_questions": len(set(questions)),
        "distinct_answers": len(set(answers)),
        "question_chars": lengths([len(q) for q in questions]),
        "answer_chars": lengths([len(a) for a in answers]),
        "answer_histogram": histogram(len(a) for a in answers),
        "ascii_terms_in_answers": ascii_density(answers),
    }
    if tokens:
        found["question_tokens"] = lengths(tokens(questions))
        found["answer_tokens"] = lengths(tokens(answers))
    return found


def coverage(
    sections: Mapping[tuple[str, ...], int],
    parts: Mapping[str, Sequence[tuple[str, ...]]],
    pairs: Sequence[Pair],
) -> dict[str, Any]:
    """Which sections with text gave a kept pair, and how many pairs there are to their length.

    `sections` maps (book, headings…) to characters, `parts` a chunk's id to its sections: a pair
    that knows only its chunk counts for each of them.
    """
    kept: set[tuple[str, ...]] = set()
    for pair in pairs:
        section = (pair.book, *pair.path)
        kept.update([section] if section in sections else parts.get(pair.chunk, []))
    empty = [" › ".join(section) for section in sections if section not in kept]
    chars = sum(sections.values())
    covered = sum(size for section, size in sections.items() if section in kept)
    return {
        "sections": len(sections),
        "with_pairs": len(sections) - len(empty),
        "share": round(1 - len(empty) / len(sections), 4) if sections else 0.0,
        "share_of_characters": round(covered / chars, 4) if chars else 0.0,
        "pairs_per_1000_characters": round(1000 * _from_books(pairs) / chars, 2) if chars else 0.0,
        "without_pairs": empty,
    }


def _from_books(pairs: Sequence[Pair]) -> int:
    """Pairs that were made from a book's chunks: merged ones have none."""
    return sum(bool(pair.chunk) for pair in pairs)


def samples(pairs: Sequence[Pair], count: int = SAMPLES) -> list[dict[str, Any]]:
    """A fixed sample spread over kinds: always the same one for the same pairs."""
    by_kind: dict[str, list[Pair]] = defaultdict(list)
    for pair in sorted(pairs, key=lambda p: hashlib.sha256(p.id.encode()).digest()):
        by_kind[pair.kind].append(pair)
    chosen: list[Pair] = []
    while len(chosen) < min(count, len(pairs)):
        for kind in sorted(by_kind):
            if by_kind[kind] and len(chosen) < count:
                chosen.append(by_kind[kind].pop(0))
    return [{"question": p.question, "answer": p.answer, **p.provenance()} for p in chosen]


def render_html(report: Mapping[str, Any]) -> str:
    """The report as one HTML file without outside parts."""
    from jinja2 import Environment

    template = TEMPLATE.read_text(encoding="utf-8")
    return (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(template)
        .render(r=report, either=either, label=label, explained=explained, language=language())
    )
