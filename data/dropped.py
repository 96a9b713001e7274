"""What a step drops, counted by reason, with examples: no text goes without a word."""

from collections import Counter
from typing import Any

from data.records import Pair

SHOWN = 3  # examples kept of each reason
_LONGEST = 160


class Dropped(Counter[str]):
    """Counts by reason; `examples` maps a reason to the first few that it dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.examples: dict[str, list[dict[str, str]]] = {}

    def note(self, reason: str, pair: Pair, beside: str = "") -> None:
        """One more pair dropped for `reason`; `beside` is what it collided with, if anything."""
        self[reason] += 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < SHOWN:
            row = {"question": pair.question, "answer": _short(pair.answer)}
            shown.append({**row, **({"beside": _short(beside)} if beside else {})})

    def rows(self, step: str) -> list[dict[str, Any]]:
        """For the report: step, reason, count and examples."""
        return [
            {"step": step, "reason": reason, "count": count, "examples": self.examples[reason]}
            for reason, count in sorted(self.items())
        ]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
