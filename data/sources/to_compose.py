"""Questions that are answered anew afterwards (`--to-compose`, then `data compose`).

What counts is only a question that stands alone and can be answered from its place in the book. So
the whole book is asked about, in coarse stretches (stretches.py), each by several demands; the
model's own answer from the stretch stands in until `data compose` writes better ones. An answer
with a fault makes a pair for training alone.
"""

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from common.language import either
from data.dedupe import NearIndex
from data.filters import Filters
from data.labels import label
from data.records import Block, Chunk, pair_at
from data.sources.asking import ANSWER_TOKENS, Ask, Chat, chat_of
from data.sources.book_answers import (
    NO_QUESTION,
    QUESTION_TOKENS,
    WORDINGS_TEMPERATURE,
    question_chat,
    questions_in,
)
from data.sources.demands import demands_for
from data.sources.faults import OF_QUESTIONS, Told, fault_of, reason, without_numbering
from data.sources.prompts import ModelSettings, load_prompts
from data.sources.spans import Span
from data.sources.stretches import stretches, terms_of
from retrieval.passages import Passage

# Times what is wanted: 12 asked for 1,000 characters came to 6.1 pairs in use; 18 to 7.6, and what
# is trained on those was no better (bench/results/tuning_again_h100.json).
ASKED_MORE = 2.0
# A section that came to no question is asked once more, by so many draws for its first plans.
AGAIN_PLANS, AGAIN_DRAWS = 3, 4
# Further draws of each question, of which one stands in where the first has a fault; as measured.
SPARE = 2
SAME = 0.85  # likeness from which two questions to one chunk are one
TOO_SHORT = either("太短，或只有图和链接", "too short, or only pictures and links")
ASKED_BEFORE = either("已经问过", "asked before")
NO_ANSWER = either("没有答出来", "no answer to it")


Section = tuple[str, ...]  # a book and the headings of one of its sections


@dataclass(frozen=True)
class Plan:
    """One question to be asked: about a stretch of a chunk, what for."""

    chunk: int
    span: Span
    demand: str
    term: str


def plans_of(chunks: Sequence[Chunk], settings: ModelSettings) -> tuple[list[Plan], list[int]]:
    """What is to be asked about each chunk, and how many of its parts say too little."""
    plans, short = [], []
    for number, chunk in enumerate(chunks):
        spans, left = stretches(chunk)
        short.append(left)
        asked: set[str] = set()
        for span in spans:
            count = max(2, round(ASKED_MORE * settings.per_chunk * len(span.text) / 1000))
            for demand, term in demands_for(span, terms_of(span, chunk), count, asked):
                plans.append(Plan(number, span, demand, term))
                asked.add(term)
    return plans, short


def open_replies(chunks: Sequence[Chunk], settings: ModelSettings, ask: Ask) -> list[str]:
    """The reply of each chunk as `read_reply` reads it, with `unused` as of `book_replies`."""
    filters = Filters(frozenset(settings.filters_off))
    plans, short = plans_of(chunks, settings)
    chats = [_chat(chunks[plan.chunk], plan, settings) for plan in plans]
    first = ask(chats, QUESTION_TOKENS, 1, 0.0)
    more = ask(chats, QUESTION_TOKENS, max(settings.wordings, SPARE), WORDINGS_TEMPERATURE)
    known = [NearIndex(SAME) for _ in chunks]
    found: list[tuple[Plan, list[str]]] = []
    without: dict[int, str] = {}  # a plan's number: why there is no question

    def take(number: int, texts: Sequence[str]) -> None:
        plan = plans[number]
        chunk = chunks[plan.chunk]
        questions, why = _sound(questions_in(texts, plan.span), chunk, plan.span, filters)
        if questions and known[plan.chunk].near(questions[0]):
            questions, why = [], ASKED_BEFORE
        if not questions:
            without[number] = why
            return
        without.pop(number, None)
        known[plan.chunk].add(len(found), questions[0])
        # Draws of the same plan need not ask the same.
        found.append((plan, questions[: 1 + settings.wordings]))

    for number, (one, others) in enumerate(zip(first, more, strict=True)):
        take(number, [*one, *others])
    again = _silent(plans, chunks, {_section(chunks, plan) for plan, _ in found})
    if again:
        texts = ask([chats[n] for n in again], QUESTION_TOKENS, AGAIN_DRAWS, WORDINGS_TEMPERATURE)
        for number, drawn in zip(again, texts, strict=True):
            take(number, drawn)
    unused = [Counter({TOO_SHORT: left}) for left in short]
    for number, why in without.items():
        unused[plans[number].chunk][why] += 1
    answers = ask(
        [_answer_chat(chunks[plan.chunk], plan.span, asked[0]) for plan, asked in found],
        ANSWER_TOKENS,
        1,
        0.0,
    )
    rows: list[list[dict[str, object]]] = [[] for _ in chunks]
    for (plan, questions), (answer,) in zip(found, answers, strict=True):
        if not answer.strip():
            unused[plan.chunk][NO_ANSWER] += 1
            continue
        rows[plan.chunk].append(_row(chunks[plan.chunk], plan, questions, answer.strip(), filters))
    return [
        json.dumps({"pairs": pairs, "unused": +counts}, ensure_ascii=False)
        for pairs, counts in zip(rows, unused, strict=True)
    ]


def _silent(
    plans: Sequence[Plan], chunks: Sequence[Chunk], heard: Collection[Section]
) -> list[int]:
    """Numbers of the first plans of each section that is not among the `heard`."""
    numbers: dict[Section, list[int]] = {}
    for number, plan in enumerate(plans):
        section = _section(chunks, plan)
        if section not in heard:
            numbers.setdefault(section, []).append(number)
    return [number for each in numbers.values() for number in each[:AGAIN_PLANS]]


def _section(chunks: Sequence[Chunk], plan: Plan) -> Section:
    chunk = chunks[plan.chunk]
    return chunk.book, *_block(chunk, plan.span).path


def open_calls(chunks: Sequence[Chunk], settings: ModelSettings) -> int:
    """Prompts that `open_replies` sends, where each gets a question."""
    return 3 * len(plans_of(chunks, settings)[0])


def _chat(chunk: Chunk, plan: Plan, settings: ModelSettings) -> Chat:
    demand = load_prompts(settings.prompts).demands()[plan.demand].replace("{term}", plan.term)
    titles = map(without_numbering, _block(chunk, plan.span).path)
    place = " › ".join(dict.fromkeys([*chunk.topics[:1], *titles]))
    return question_chat(place, plan.span, demand, settings)


def _answer_chat(chunk: Chunk, span: Span, question: str) -> Chat:
    path = _block(chunk, span).path
    passage = Passage("", chunk.book, path, span.start, span.end, span.text)
    return chat_of(question, [passage], True)


def _block(chunk: Chunk, span: Span) -> Block:
    return chunk.blocks[_number(chunk, span)]


def _number(chunk: Chunk, span: Span) -> int:
    return next(n for n, block in enumerate(chunk.blocks) if block.start == span.start)


def _sound(
    questions: Sequence[str], chunk: Chunk, span: Span, filters: Filters
) -> tuple[list[str], str]:
    """The questions without a fault, or why there is none."""
    sound, why = [], NO_QUESTION
    path = _block(chunk, span).path
    for question in questions:
        fault = fault_of(Told(question, "", chunk.text, span.text, path), OF_QUESTIONS)
        pair = pair_at(chunk, question, "", "other", "")
        pair.train_only = True  # there is no answer yet
        rule = filters.dropped_by(pair, chunk.grounds)
        if fault or rule:
            why = reason(fault) if fault else label(rule)
        else:
            sound.append(question)
    return sound, why


def _row(
    chunk: Chunk, plan: Plan, questions: Sequence[str], answer: str, filters: Filters
) -> dict[str, object]:
    question, *others = questions
    number = _number(chunk, plan.span)
    pair = pair_at(chunk, question, answer, plan.span.kind, "", chunk.blocks[number])
    told = Told(question, answer, chunk.text, plan.span.text, pair.path)
    bad = fault_of(told) or filters.dropped_by(pair, chunk.grounds)
    row = {
        "kind": plan.span.kind,
        "question": question,
        "answer": answer,
        "wordings": others,
        "block": number,
    }
    return row | ({"train_only": True} if bad else {})
