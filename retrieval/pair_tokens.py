"""Token ids of many (question, passage) pairs, each text tokenized once and then joined.

A tokenizer given pairs reads a passage again for every question that it was found for, and that
took longer than a small cross-encoder on a GPU.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# Read at the start to learn how the model joins two texts, and to see that joining does the same:
# apart from each other, one cut to the model's length, two that are both too long.
PROBE = ("什么是线程块？", "A block holds threads.")
LONG = "网格 grid 由线程块组成。" * 200
PROBES = [PROBE, ("核函数", LONG), (LONG, LONG), ("", "空")]


@dataclass(frozen=True)
class PairTokens:
    """How a model's tokenizer joins two texts: `before` question `between` passage `after`.

    kinds: token_type_ids of question and passage parts, None where the model takes none.
    longest: tokens of a pair; the passage is cut at its end, or both where the question is as long.
    """

    tokenizer: Any
    before: list[int]
    between: list[int]
    after: list[int]
    kinds: tuple[list[int], int, list[int], int, list[int]] | None
    longest: int

    def ids(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
        """input_ids and token_type_ids ([] where there are none) of each pair."""
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        known = dict(zip(texts, _plain(self.tokenizer, texts), strict=True))
        return [self._joined(known[question], known[passage]) for question, passage in pairs]

    def _joined(self, question: list[int], passage: list[int]) -> tuple[list[int], list[int]]:
        room = self.longest - len(self.before) - len(self.between) - len(self.after)
        if len(question) + len(passage) > room:
            question, passage = longest_first(question, passage, room)
        ids = [*self.before, *question, *self.between, *passage, *self.after]
        if self.kinds is None:
            return ids, []
        before, first, between, second, after = self.kinds
        kinds = [*before, *[first] * len(question), *between, *[second] * len(passage), *after]
        return ids, kinds


def longest_first(first: list[int], second: list[int], room: int) -> tuple[list[int], list[int]]:
    """Two texts cut to `room` tokens as the tokenizers library's `longest_first` does: the longer
    one at its end, or both to one half where neither is short."""
    short, long = sorted((len(first), len(second)))
    long = max(short, room - short)
    if short + long > room:
        short, long = room // 2, room // 2 + room % 2
    sizes = (short, long) if len(first) <= len(second) else (long, short)
    return first[: sizes[0]], second[: sizes[1]]


def pair_tokens(model: Any) -> PairTokens | None:
    """How a CrossEncoder joins pairs; None where it does so in another way (a chat template, a
    prompt, padding on the left), and has to be asked itself."""
    tokenizer, longest = model.tokenizer, model.max_seq_length
    if not getattr(tokenizer, "is_fast", False) or not longest or model.default_prompt_name:
        return None
    whole = model.preprocess([PROBE])
    if set(whole) - {"input_ids", "attention_mask", "token_type_ids", "modality"}:
        return None
    ids = whole["input_ids"][0].tolist()
    question, passage = _plain(tokenizer, PROBE)
    first = _place(question, ids, 0)
    second = _place(passage, ids, first + len(question))
    if first < 0 or second < 0:
        return None
    end = second + len(passage)
    kinds = None
    if "token_type_ids" in whole:
        row = whole["token_type_ids"][0].tolist()
        between = row[first + len(question) : second]
        kinds = (row[:first], row[first], between, row[second], row[end:])
    tokens = PairTokens(
        tokenizer, ids[:first], ids[first + len(question) : second], ids[end:], kinds, longest
    )
    return tokens if all(_same(tokens, model, probe) for probe in PROBES) else None


def by_tokens(sizes: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Places in batches, longest first, of at most `budget` tokens with their padding (or one)."""
    batch: list[int] = []
    for place in sorted(range(len(sizes)), key=lambda place: -sizes[place]):
        if batch and sizes[batch[0]] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _plain(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    return tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)[
        "input_ids"
    ]


def _place(part: list[int], whole: list[int], start: int) -> int:
    return next(
        (at for at in range(start, len(whole)) if whole[at : at + len(part)] == part),
        -1,
    )


def _same(tokens: PairTokens, model: Any, pair: tuple[str, str]) -> bool:
    ids, kinds = tokens.ids([pair])[0]
    whole = model.preprocess([pair])
    given = whole["token_type_ids"][0].tolist() if "token_type_ids" in whole else []
    return ids == whole["input_ids"][0].tolist() and kinds == given
