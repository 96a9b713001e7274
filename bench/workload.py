"""Questions with the length of each answer: the same work for every candidate.

A workload file is a JSON list of {"question", "answer_tokens"} rows (more keys do no harm).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.warmup import warm_up_questions


@dataclass(frozen=True)
class Workload:
    """Questions, and tokens of each answer."""

    name: str
    questions: Sequence[str]
    tokens: Sequence[int]

    @property
    def answer_tokens(self) -> int:
        """Tokens of all answers together."""
        return sum(self.tokens)

    def tokens_of(self, question: str) -> int:
        """Length of one question's answer in tokens; a question that is not in it: 16."""
        return dict(zip(self.questions, self.tokens, strict=True)).get(question, 16)


def load_workload(path: Path | None, questions: int = 358, answer_tokens: int = 64) -> Workload:
    """A workload file, or made-up questions with answers of one length."""
    if path is None:
        made = warm_up_questions(questions)
        return Workload(f"{questions} x {answer_tokens} tokens", made, [answer_tokens] * questions)
    rows = json.loads(path.read_text(encoding="utf-8"))
    # Equal questions would share one length: told apart by a space that no tokenizer drops.
    seen: dict[str, int] = {}
    texts = []
    for row in rows:
        count = seen[row["question"]] = seen.get(row["question"], -1) + 1
        texts.append(row["question"] + " " * count)
    return Workload(path.name, texts, [int(row["answer_tokens"]) for row in rows])
