"""Tokens that a source used and what they cost, for the progress line and the report."""

from dataclasses import dataclass, field
from threading import Lock


@dataclass
class Usage:
    """Sums over the calls of one run; prices are per million tokens, in any currency."""

    price_in: float = 0.0
    price_out: float = 0.0
    calls: int = 0
    prompt: int = 0
    answer: int = 0
    of_chunk: dict[str, list[int]] = field(default_factory=dict)  # id → calls, prompt, answer
    _lock: Lock = field(default_factory=Lock, repr=False)

    @property
    def tokens(self) -> int:
        """Prompt and answer tokens together."""
        return self.prompt + self.answer

    def add(self, chunk: str, prompt: int, answer: int) -> None:
        """One call about a chunk, whatever became of its reply: it is paid for."""
        with self._lock:
            self.calls, self.prompt = self.calls + 1, self.prompt + prompt
            self.answer += answer
            known = self.of_chunk.setdefault(chunk, [0, 0, 0])
            for place, number in enumerate((1, prompt, answer)):
                known[place] += number

    def cost(self, prompt: int, answer: int) -> float:
        """Price of so many tokens."""
        return (prompt * self.price_in + answer * self.price_out) / 1e6

    def line(self) -> str:
        """What was used so far, short; "" before the first call."""
        if not self.calls:
            return ""
        cost = self.cost(self.prompt, self.answer)
        said = f"{self.calls} calls, {self.prompt:,} + {self.answer:,} tokens"
        return f"{said}, {cost:.4f}" if cost else said
