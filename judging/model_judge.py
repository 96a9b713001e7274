"""A model as judge: marks against criteria, and which of two answers is better, in both orders.

What a model says of answers is an opinion with habits: it likes long answers, and the one that it
reads first. Both habits are measured and printed beside the marks, and its agreement with people
where they have rated the same answers. Replies are kept in a file, so that a question is paid for
once.
"""

import hashlib
import json
import statistics
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from common.chat_client import ChatClient, EndpointError, reply_text
from common.intervals import Difference, difference
from common.json_reply import ReplyError, reply_json

CRITERIA = {
    "helpful": "对提问的人有没有用",
    "relevant": "是否切题",
    "concise": "是否简洁，没有多余的话",
    "coherent": "是否通顺、有条理",
    "correct": "与参考答案的意思是否一致；参考答案没有说的不扣分",
}
NO_REFERENCE = "（没有。correct 一项按你自己的知识判断）"
LOWEST, HIGHEST = 1, 5
FIRST, SECOND, TIE = "first", "second", "tie"
_VERSION = 2  # part of every key of the cache: one more whenever prompts or sampling change
REPLY_TOKENS = 1024  # a reason without end would hold up all other calls

RATE = """你是严格的评分人。按下面每一项给回答打 1 到 5 的整数分（1 很差，3 一般，5 很好）。
{criteria}

问题：
{question}

参考答案：
{reference}

回答：
{answer}

只输出 JSON：先写 reason（一句话的理由），再写各项的分。"""
CHOOSE = """你是公正的评判人。同一个问题有两个回答，哪一个更好：更正确、更有用、更切题、更简洁？
长短和先后本身都不算好坏。分不出高下就写 tie。

问题：
{question}

参考答案：
{reference}

第一个回答：
{first}

第二个回答：
{second}

只输出 JSON：先写 reason（一句话的理由），再写 better：first、second 或 tie。"""


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    properties = {"reason": {"type": "string"}, **fields}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_MARK = {"type": "integer", "enum": list(range(LOWEST, HIGHEST + 1))}
RATE_SCHEMA = _object({name: _MARK for name in CRITERIA})
CHOOSE_SCHEMA = _object({"better": {"type": "string", "enum": [FIRST, SECOND, TIE]}})


@dataclass
class Spent:
    """Calls made now and their tokens; what came from the cache costs nothing."""

    calls: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    from_cache: int = 0
    failed: dict[str, int] = field(default_factory=dict)

    def cost(self, price_in: float, price_out: float) -> float:
        """By prices a million tokens."""
        return (self.prompt_tokens * price_in + self.answer_tokens * price_out) / 1e6


@dataclass(frozen=True)
class Marked:
    """Marks by criterion, and the reason given for them."""

    marks: dict[str, int]
    reason: str

    @property
    def mean(self) -> float:
        """Over the criteria."""
        return statistics.fmean(self.marks.values())


@dataclass(frozen=True)
class Chosen:
    """FIRST, SECOND or TIE with the first answer shown first, and with the second shown first, both
    told of the order shown; and the two reasons."""

    verdicts: tuple[str, str]
    reasons: tuple[str, str]

    @property
    def winner(self) -> int:
        """-1 the first answer, 1 the second, 0 a tie: also where it turns with the order."""
        return winner(self.verdicts)


class ModelJudge:
    """Asks one model; `cache` is a JSONL file of its replies, appended to as they come."""

    def __init__(self, client: ChatClient, cache: Path, concurrency: int) -> None:
        self.spent = Spent()
        self._client, self._concurrency, self._cache = client, concurrency, cache
        self._lock = Lock()
        self._known: dict[str, dict[str, Any]] = {}
        if cache.is_file():
            text = cache.read_text(encoding="utf-8", errors="replace")
            for line in text.split("\n"):
                try:
                    row = json.loads(line) if line.strip() else None
                except ValueError:
                    continue  # the line that a kill cut off: it is asked again
                if isinstance(row, dict) and "key" in row and "reply" in row:
                    self._known[row["key"]] = row["reply"]
            if text and not text.endswith("\n"):  # else the next reply would be part of that line
                with cache.open("a", encoding="utf-8") as stream:
                    stream.write("\n")

    def marks(self, rows: Sequence[dict[str, Any]]) -> list[Marked | None]:
        """Of each row (question, reference, answer) the marks by criterion; None: no usable reply.

        Raises EndpointRefusesError when the endpoint takes no call.
        """
        criteria = "\n".join(f"- {name}：{said}" for name, said in CRITERIA.items())

        def one(row: dict[str, Any]) -> Marked | None:
            text = RATE.format(criteria=criteria, **_texts(row, "question", "reference", "answer"))
            return self._asked("rate", text, RATE_SCHEMA, _marks)

        return self._all(one, rows)

    def better(
        self, first: Sequence[dict[str, Any]], second: Sequence[dict[str, Any]]
    ) -> list[Chosen | None]:
        """Of each pair of answers to one question which is better, asked in both orders; None: no
        usable reply. Two answers that are the same text are a tie and not asked."""

        def one(pair: tuple[dict[str, Any], dict[str, Any]]) -> Chosen | None:
            if pair[0]["answer"].strip() == pair[1]["answer"].strip():
                return Chosen((TIE, TIE), ("", ""))
            said = []
            for left, right in (pair, pair[::-1]):
                text = CHOOSE.format(
                    **_texts(left, "question", "reference"),
                    first=_shown(left["answer"]),
                    second=_shown(right["answer"]),
                )
                said.append(self._asked("choose", text, CHOOSE_SCHEMA, _verdict))
            if None in said:
                return None
            return Chosen((said[0][0], said[1][0]), (said[0][1], said[1][1]))

        return self._all(one, list(zip(first, second, strict=True)))

    def _all(self, one: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(one, items))

    def _asked(
        self, name: str, text: str, schema: dict[str, Any], read: Callable[[Any], Any]
    ) -> Any:
        told = f"{_VERSION}\0{self._client.model}\0{text}"
        key = hashlib.sha256(told.encode()).hexdigest()
        if key in self._known:
            self.spent.from_cache += 1
            return read(self._known[key])
        try:
            reply = self._client.call([{"role": "user", "content": text}], name, schema, self._used)
            for value in reply_json(reply_text(reply)):
                if read(value) is not None:
                    self._keep(key, value)
                    return read(value)
            raise ReplyError("JSON of another shape")
        except (ReplyError, EndpointError) as error:
            reason = str(error).split(" (")[0][:80]
            with self._lock:
                self.spent.failed[reason] = self.spent.failed.get(reason, 0) + 1
            return None

    def _used(self, prompt: int, answer: int) -> None:
        with self._lock:
            self.spent.calls += 1
            self.spent.prompt_tokens += prompt
            self.spent.answer_tokens += answer

    def _keep(self, key: str, value: dict[str, Any]) -> None:
        with self._lock:
            self._known[key] = value
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            with self._cache.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"key": key, "reply": value}, ensure_ascii=False) + "\n")


def winner(verdicts: tuple[str, str]) -> int:
    """-1 the first answer, 1 the second, 0 a tie: also where the verdict turns with the order."""
    straight, turned = verdicts
    if straight == FIRST and turned == SECOND:
        return -1
    if straight == SECOND and turned == FIRST:
        return 1
    return 0


def position_bias(verdicts: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """How often the answer shown first wins, of all verdicts with a winner (0.5: no habit; nan
    without any), and the share of questions whose verdict turns with the order."""
    said = [each for pair in verdicts for each in pair if each != TIE]
    turned = sum(a == b != TIE for a, b in verdicts)
    return (
        sum(each == FIRST for each in said) / len(said) if said else float("nan"),
        turned / len(verdicts) if verdicts else float("nan"),
    )


def rank_correlation(values: Sequence[float], marks: Sequence[float]) -> tuple[float, float] | None:
    """Spearman's rank correlation and its p; None where it cannot be told: one of both is the same
    everywhere, or there are fewer than three."""
    from scipy.stats import spearmanr

    if len(values) < 3 or len(set(values)) < 2 or len(set(marks)) < 2:
        return None
    found = spearmanr(values, marks)
    return float(found.statistic), float(found.pvalue)


def position_habit(verdicts: Sequence[tuple[str, str]]) -> Difference:
    """How far the answer shown first is preferred, question by question: 1 always the first, -1
    always the second, 0 without a habit. Raises ValueError for no verdicts."""
    leans = [sum((each == FIRST) - (each == SECOND) for each in pair) / 2 for pair in verdicts]
    return difference([0.0] * len(leans), leans)


def length_habit(lengths: Sequence[tuple[int, int]], winners: Sequence[int]) -> Difference | None:
    """How far the longer answer is preferred: 1 always, -1 never, 0 without a habit. `winners` as
    `winner` tells them; None where no two answers differ in length."""
    leans = [
        float(won * ((second > first) - (second < first)))
        for (first, second), won in zip(lengths, winners, strict=True)
        if first != second
    ]
    return difference([0.0] * len(leans), leans) if leans else None


def _texts(row: dict[str, Any], *names: str) -> dict[str, str]:
    texts = {name: _shown(row[name]) for name in names}
    if "reference" in texts and not row["reference"].strip():
        texts["reference"] = NO_REFERENCE
    return texts


def _shown(text: str) -> str:
    return text if text.strip() else "（空）"


def _marks(value: Any) -> Marked | None:
    if not isinstance(value, dict):
        return None
    found = {}
    for name in CRITERIA:
        mark = value.get(name)
        if isinstance(mark, str) and mark.strip().isdigit():
            mark = int(mark)
        if not isinstance(mark, int) or isinstance(mark, bool) or not LOWEST <= mark <= HIGHEST:
            return None
        found[name] = mark
    return Marked(found, str(value.get("reason", "")))


def _verdict(value: Any) -> tuple[str, str] | None:
    said = value.get("better") if isinstance(value, dict) else None
    return (said, str(value.get("reason", ""))) if said in (FIRST, SECOND, TIE) else None
