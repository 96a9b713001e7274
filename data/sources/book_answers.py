"""Questions to answers that the book gives itself: what a small local model is good at.

Asked for whole pairs, Qwen2.5-Coder-1.5B-Instruct returned none for 11 of 11 chunks, and its free
answers were short and vague; shown a stretch of the book (spans.py) and three examples, it asks for
just that. A second pass may tell the stretch anew as an answer; where that loses or adds terms, the
book's own words stay. `data compose` writes better ones afterwards.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from common.language import either
from data.records import CODE, Chunk
from data.sources.asking import ANSWER_TOKENS, Ask, Asked, Chat
from data.sources.demands import demand_for
from data.sources.faults import Told, fault_of, is_named, reason, without_numbering
from data.sources.prompts import ModelSettings, fill, load_prompts
from data.sources.sentence import points_elsewhere
from data.sources.spans import Span, answer_spans
from data.text import ascii_terms, normalise

VERSION = 5  # of what is taken from a book and from replies; cached pairs were made by one
NO_QUESTION = either("没有问出题", "no question to it")
QUESTION_TOKENS = 96
WORDINGS_TEMPERATURE = 0.6
ALIKE = 0.3  # of the character pairs of two wordings: below, one of them asks something else
KEPT_TERMS = 0.85  # of the book's terms, and of the answer's: a retold answer may change no more
QUESTION_CHARS = (6, 100)
_ASKS = re.compile(
    r"[？?]$|^(?:请|写出|给出|说明|解释|比较|列出|简述|实现)|代码[。.]?$"
    r"|[？?]\s*请?(?:写出|给出|列出|说明|解释)[^？?]*$"
)
# A small model ends its question like a statement; "它是什么" within one is none.
_UNMARKED = re.compile(
    r"((?:是|起|有)什么(?:作用|用)?|怎样(?:使)?用|如何使用|为什么|多少|哪些)[。.]?$"
)
_POINTS = re.compile(
    r"^(?:它|这|那|该|此|其)|答案|教材|位置[：:]|(?:该|这个|这段|此|上述|给定的?)"
    r"(?:代码|函数|方法|内核|程序|示例|例子|算法|过程)|代码中|图中"
)


class Answers(str, Enum):
    """Where a local model's pairs take their answers from."""

    book = "book"
    retold = "retold"
    model = "model"


def book_replies(
    chunks: Sequence[Chunk],
    settings: ModelSettings,
    answers: Answers,
    ask: Ask,
) -> list[str]:
    """The reply of each chunk as `read_reply` reads it: JSON of its pairs.

    Beside them `unused` counts the stretches of the book that came to none, by reason.
    """
    spans = [(n, span) for n, chunk in enumerate(chunks) for span in spans_of(chunk, settings)]
    used: dict[int, Counter[str]] = defaultdict(Counter)
    demands = load_prompts(settings.prompts).demands()
    chats = [
        question_chat(
            _place(chunks[n], span), span, demands.get(demand_for(span, used[n]), ""), settings
        )
        for n, span in spans
    ]
    first = ask(chats, QUESTION_TOKENS, 1, 0.0)
    more: list[list[str]] = [[] for _ in chats]
    if settings.wordings:
        more = ask(chats, QUESTION_TOKENS, settings.wordings, WORDINGS_TEMPERATURE)
    found = [
        (n, Asked(span, questions))
        for (n, span), one, others in zip(spans, first, more, strict=True)
        if (questions := questions_in([*one, *others], span))
    ]
    told = [asked.span.text for _, asked in found]
    if answers is Answers.retold:
        told = _retold(found, settings, ask)
    rows: list[list[dict[str, object]]] = [[] for _ in chunks]
    unused: list[Counter[str]] = [Counter() for _ in chunks]
    for n, _ in spans:
        unused[n][NO_QUESTION] += 1
    for (n, asked), answer in zip(found, told, strict=True):
        unused[n][NO_QUESTION] -= 1
        chunk, span = chunks[n], asked.span
        faults = [
            fault_of(Told(question, answer, chunk.text, span.text, chunk.path))
            for question in asked.questions
        ]
        if faults[0]:
            unused[n][reason(faults[0])] += 1
            continue
        question, *others = [
            q for q, fault in zip(asked.questions, faults, strict=True) if not fault
        ]
        row = {"kind": span.kind, "question": question, "answer": answer, "wordings": others}
        rows[n].append(row)
    return [
        json.dumps({"pairs": pairs, "unused": +counts}, ensure_ascii=False)
        for pairs, counts in zip(rows, unused, strict=True)
    ]


def unused_in(reply: str) -> Counter[str]:
    """What a reply of `book_replies` says came to no pair."""
    return Counter(json.loads(reply)["unused"])


def calls_for(chunks: Sequence[Chunk], settings: ModelSettings, answers: Answers) -> int:
    """Prompts that `book_replies` sends, where every stretch gets a question."""
    each = 1 + bool(settings.wordings) + (answers is Answers.retold)
    return each * sum(len(spans_of(chunk, settings)) for chunk in chunks)


def spans_of(chunk: Chunk, settings: ModelSettings) -> list[Span]:
    """What a chunk is asked about: `per_chunk` for 1,000 characters, at least two."""
    most = max(2, round(settings.per_chunk * len(chunk.text) / 1000))
    return answer_spans(chunk, *settings.style.chars, most)


def question_chat(place: str, span: Span, demand: str, settings: ModelSettings) -> Chat:
    """How a question to a stretch of the book is asked for."""
    prompts = load_prompts(settings.prompts)
    demands = prompts.demands()
    chat = [{"role": "system", "content": prompts.text("question.md")}]
    for row in prompts.examples("question_examples.jsonl"):
        chat += _turn(row["path"], row["answer"], demands.get(row["demand"], ""), row["question"])
    return [*chat, *_turn(place, span.text, demand)]


def _turn(path: str, answer: str, demand: str, question: str = "") -> Chat:
    content = f"位置：{path}\n答案：\n{answer}\n要求：{demand}"
    asked = [{"role": "user", "content": content}]
    return [*asked, {"role": "assistant", "content": question}] if question else asked


def _place(chunk: Chunk, span: Span) -> str:
    """What the book is about, and the headings that the span speaks of, without their numbers.

    Shown another heading, a small model takes it for the subject.
    """
    about = chunk.text if span.kind == CODE else span.text
    titles = [without_numbering(title) for title in chunk.path if is_named(title, about)]
    places = dict.fromkeys([*chunk.topics[:1], *titles])
    return " › ".join(places) or Path(chunk.book).stem


def questions_in(replies: Sequence[str], span: Span) -> tuple[str, ...]:
    """What of the replies asks for the span, without doubles."""
    known: dict[str, str] = {}
    for reply in replies:
        question = _tidied(reply)
        first = next(iter(known), None)
        if _is_question(question, span) and (not first or _alike(first, normalise(question))):
            known.setdefault(normalise(question), question)
    return tuple(known.values())


def _alike(first: str, second: str) -> bool:
    pairs = [{text[i : i + 2] for i in range(len(text) - 1)} for text in (first, second)]
    return len(pairs[0] & pairs[1]) >= ALIKE * len(pairs[0] | pairs[1])


def _tidied(reply: str) -> str:
    line = next((line.strip() for line in reply.strip().split("\n") if line.strip()), "")
    question = re.sub(r"^(?:问题|问|Q)\s*[：:]\s*", "", line).strip('"“”')
    return _UNMARKED.sub(r"\1？", question)


def _is_question(question: str, span: Span) -> bool:
    low, high = QUESTION_CHARS
    if not low <= len(question) <= high or not _ASKS.search(question):
        return False
    if _POINTS.search(question) or points_elsewhere(question):
        return False
    # A statement of the book with a question mark behind it asks nothing.
    return normalise(question) not in normalise(span.text)


def _retold(found: Sequence[tuple[int, Asked]], settings: ModelSettings, ask: Ask) -> list[str]:
    """Each answer told anew, beginning with the question's subject; code stays as it is."""
    prompts = load_prompts(settings.prompts)
    examples = prompts.examples("answer_examples.jsonl")
    places = [n for n, (_, asked) in enumerate(found) if asked.span.kind != CODE]
    chats = []
    for place in places:
        asked = found[place][1]
        chat = [{"role": "system", "content": prompts.text("answer.md")}]
        for row in [*examples, {"question": asked.questions[0], "text": asked.span.text}]:
            content = fill("问题：{question}\n要点：\n{text}", **row)
            chat.append({"role": "user", "content": content})
            if "answer" in row:
                chat.append({"role": "assistant", "content": row["answer"]})
        chats.append(chat)
    told = [asked.span.text for _, asked in found]
    for place, (reply,) in zip(places, ask(chats, ANSWER_TOKENS, 1, 0.0), strict=True):
        asked = found[place][1]
        if keeps_terms(reply.strip(), asked.span.text, asked.questions[0]):
            told[place] = reply.strip()
    return told


def keeps_terms(answer: str, text: str, question: str) -> bool:
    """Has an answer the terms of the text it is told from, hardly others, and about its length?

    Terms of the question do not count as others.
    """
    said, given = (Counter(map(str.lower, ascii_terms(one))) for one in (answer, text))
    kept = sum((said & given).values())
    foreign = said.keys() - given.keys() - {term.lower() for term in ascii_terms(question)}
    if kept < KEPT_TERMS * sum(given.values()) or len(foreign) > (1 - KEPT_TERMS) * len(said):
        return False
    return 0.6 * len(text) <= len(answer) <= 1.5 * len(text) + len(question)
