"""A second opinion: a model rates each pair, and how far it agrees with people."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from common.agreement import cohens_kappa
from common.json_reply import ReplyError, reply_json
from common.language import either
from data.cache import Cache
from data.records import Pair, digest
from data.sources.prompts import fill, load_prompts

ASPECTS = ("stands_alone", "answered", "right", "useful")
SCHEMA = {
    "type": "object",
    "properties": {
        **{name: {"type": "integer", "enum": [0, 1]} for name in ASPECTS},
        "reason": {"type": "string"},
    },
    "required": [*ASPECTS, "reason"],
    "additionalProperties": False,
}
# Chat messages of each pair → the model's reply to each as it comes, or why there is none.
Ask = Callable[[Sequence[list[dict[str, str]]]], Iterable[str | ReplyError]]
_NO, _YES = (0, "0", "false", "no", "否", "不"), (1, "1", "true", "yes", "是")


class Rated(NamedTuple):
    """A pair with the text that it was made from."""

    pair: Pair
    chunk: str


@dataclass
class Reviewer:
    """Rates pairs with one model; ratings are cached, so that a pair is rated once.

    `kind` names the ratings, `fingerprint` the model; the prompt is `review.md` of `prompts`, the
    default without it.
    `problems` says why pairs could not be rated; `used` what the calls took so far, "" for nothing.
    """

    kind: ClassVar[str] = "review-1"
    ask: Ask
    fingerprint: str
    prompts: Path | None = None
    used: Callable[[], str] = lambda: ""
    problems: list[str] = field(default_factory=list)

    def failed(
        self,
        rows: Sequence[Rated],
        cache: Cache | None = None,
        told: Callable[[], None] = lambda: None,
    ) -> list[str | None]:
        """Of each pair the first aspect that the model denies, "" for none.

        None where the reply could not be read: such a pair is not judged. told: called at each
        rating; each is in the cache before the next is waited for.
        """
        texts = self._texts(rows)
        keys = [f"{self.kind}/{self.fingerprint}/{digest(text)}" for text in texts]
        known = {key: cache.get(key) for key in keys} if cache else {}
        new = [n for n, key in enumerate(keys) if known.get(key) is None]
        ratings = self._ratings([texts[n] for n in new]) if new else ()
        for number, rating in zip(new, ratings, strict=True):
            known[keys[number]] = rating
            if cache and rating is not None:
                cache.put(keys[number], rating)
            told()
        return [self._denied(known[key]) for key in keys]

    def _texts(self, rows: Sequence[Rated]) -> list[str]:
        """What is rated of each pair: the prompt about it."""
        prompt = load_prompts(self.prompts).text("review.md")
        return [
            fill(prompt, text=row.chunk, question=row.pair.question, answer=row.pair.answer)
            for row in rows
        ]

    def _ratings(self, texts: Sequence[str]) -> Iterator[dict[str, Any] | None]:
        for reply in self.ask([[{"role": "user", "content": text}] for text in texts]):
            rating = None if isinstance(reply, ReplyError) else read_rating(reply)
            if rating is None:
                unread = reply
                if isinstance(reply, str):
                    unread = f"no rating in the reply {reply[:60]!r}"
                self.problems.append(str(unread))
            yield rating

    def _denied(self, rating: dict[str, Any] | None) -> str | None:
        if rating is None:
            return None
        return next((name for name in ASPECTS if not rating[name]), "")


def read_rating(reply: str) -> dict[str, bool] | None:
    """What the reply says of each aspect; None where it does not say it of all."""
    try:
        values = reply_json(reply)
    except ReplyError:
        return None
    below = [each for value in values if isinstance(value, dict) for each in value.values()]
    below += [each for value in values if isinstance(value, list) for each in value]
    for value in [*values, *below]:
        if isinstance(value, dict):
            said = {name: _yes_or_no(value.get(name)) for name in ASPECTS}
            if None not in said.values():
                return {name: bool(yes) for name, yes in said.items()}
    return None


def _yes_or_no(value: Any) -> bool | None:
    """1, true, "yes", 是 and their opposites; None for anything else, such as marks of 1 to 5."""
    plain = value.strip().lower() if isinstance(value, str) else value
    if isinstance(plain, list | dict) or plain not in (*_NO, *_YES):
        return None
    return plain in _YES


def agreement(people: Sequence[str], failed: Sequence[str | None]) -> dict[str, Any]:
    """How a reviewer agrees with people's verdicts (good, usable, bad) of the same pairs.

    A pair is bad to people where they say bad, to the reviewer where it denies an aspect.
    `right_drops` of the `dropped` pairs were bad to people too.
    """
    rated = [
        (said == "bad", bool(f)) for said, f in zip(people, failed, strict=True) if f is not None
    ]
    if not rated:
        return {"pairs": len(people), "rated": 0}
    human, model = [a for a, _ in rated], [b for _, b in rated]
    found = cohens_kappa(human, model)
    return {
        "pairs": len(people),
        "rated": len(rated),
        "kappa": 0.0 if math.isnan(found) else round(found, 3),  # nothing beyond chance
        "agreement": round(sum(a == b for a, b in rated) / len(rated), 3),
        "bad_to_people": sum(human),
        "dropped": sum(model),
        "right_drops": sum(a and b for a, b in rated),
    }


def read_verdicts(path: Path) -> list[tuple[Rated, str]]:
    """Rows of question, answer, chunk and verdict. Raises ValueError that names the line."""
    found = []
    # Not splitlines: U+2028 and its like are text.
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if row["verdict"] not in ("good", "usable", "bad"):
                raise ValueError(
                    either(
                        f"verdict {row['verdict']!r}：应是 good、usable 或 bad",
                        f"verdict {row['verdict']!r}: expected good, usable or bad",
                    )
                )
            pair = Pair(row["question"], row["answer"])
            found.append((Rated(pair, row["chunk"]), row["verdict"]))
        except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            why = either(f"没有 {error}", f"no {error}") if isinstance(error, KeyError) else error
            raise ValueError(
                either(f"{path}，第 {number} 行：{why}", f"{path}, line {number}: {why}")
            ) from error
    if not found:
        raise ValueError(either(f"{path}：里面没有判断", f"{path}: no verdict in it"))
    return found
