"""Questions with a fixed answer length each, so that every candidate does the same work.

A workload file is a JSON list of {"question", "answer_tokens"} objects; other keys are ignored.
"""

import itertools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.warmup import warm_up_questions


@dataclass(frozen=True)
class Workload:
    """Questions, and the length of each one's answer in tokens."""

    name: str
    questions: Sequence[str]
    tokens: Sequence[int]

    @property
    def answer_tokens(self) -> int:
        """Tokens of all answers together."""
        return sum(self.tokens)

    def tokens_of(self, question: str) -> int:
        """Length of a question's answer in tokens; 16 for one that is not in the workload."""
        return dict(zip(self.questions, self.tokens, strict=True)).get(question, 16)


def shared(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Of each prompt the tokens at its beginning that a prefix cache may know: what all begin with
    (the warm-up has computed it) or, where that is more, what one before it in alphabetical order
    begins with (passages that two questions have in common, computed once).
    """
    if len(prompts) < 2:
        return [0] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda index: prompts[index])
    common = len(os.path.commonprefix([prompts[order[0]], prompts[order[-1]]]))
    known = [common] * len(prompts)
    for before, index in itertools.pairwise(order):
        known[index] = len(os.path.commonprefix([prompts[before], prompts[index]]))
    # The last token of a prompt is always computed.
    return [min(count, len(ids) - 1) for count, ids in zip(known, prompts, strict=True)]


def load_workload(path: Path | None, questions: int, answer_tokens: int) -> Workload:
    """The workload of a file; without one, generated questions with answers of one length."""
    if path is None:
        made = warm_up_questions(questions)
        return Workload(f"{questions} x {answer_tokens} tokens", made, [answer_tokens] * questions)
    rows = json.loads(path.read_text(encoding="utf-8"))
    # `tokens_of` finds a length by its question: repeated questions get trailing spaces, which
    # every tokenizer keeps, to have a length each.
    seen: dict[str, int] = {}
    texts = []
    for row in rows:
        count = seen[row["question"]] = seen.get(row["question"], -1) + 1
        texts.append(row["question"] + " " * count)
    return Workload(path.name, texts, [int(row["answer_tokens"]) for row in rows])
