"""What is known here of each of several engines, and of the questions that it has."""

from dataclasses import dataclass, field

from serving.engine.base import Answer, Batch
from serving.engine.messages import Ready, Report
from serving.engine.worker_process import WorkerProcess

# Prompt tokens that take as long as one token of an answer, roughly: prompts are read in parallel.
PROMPT_TOKENS = 32


@dataclass(eq=False)
class Question:
    """One prompt of a batch, and how many engines died of what may have been this."""

    batch: Batch
    index: int
    deaths: int = 0

    @property
    def load(self) -> float:
        """What it costs an engine at most, in tokens of an answer."""
        return self.batch.max_tokens[self.index] + self._prompt_tokens / PROMPT_TOKENS

    def ended(self, until: float) -> bool:
        """Whether its deadline has come; it then ends with what there is."""
        batch = self.batch
        if batch.deadline > until:
            return False
        batch.finish(self.index, Answer("", 0, "cancelled" if batch.cancelled else "deadline"))
        return True

    @property
    def _prompt_tokens(self) -> int:
        return len(self.batch.prompts[self.index])


@dataclass(eq=False)
class SentPart:
    """Questions of one batch that an engine has: unanswered ones by their place in the message.
    answered_at: answers that the engine had given when it got them."""

    batch: Batch
    open: dict[int, Question]
    deadline: float
    answered_at: int


@dataclass(eq=False)
class Member:
    """One of the engines, as it is seen from here."""

    process: WorkerProcess
    parts: dict[int, SentPart] = field(default_factory=dict)
    load: float = 0.0
    answered: int = 0
    report: Report = field(default_factory=Report)
    ready: Ready | None = None
    up: bool = False
    deaths: int = 0
    asked_back: bool = False
    nothing_to_give: bool = False

    def waiting(self, draws: bool) -> int:
        """Questions that it has not begun, further draws among them or not."""
        stats = self.report.stats
        return int(stats.get("waiting", 0) - (0 if draws else stats.get("waiting_draws", 0)))

    def room(self, draws: bool) -> int:
        """Questions that it could begin at once: those that are no draws go before all draws."""
        parts = (part for part in self.parts.values() if draws or not part.batch.is_draws)
        return max(0, int(self.report.stats.get("slots", 0)) - sum(len(p.open) for p in parts))

    def take_open(self, number: int, index: int) -> Question | None:
        """The question at that place, which the engine no longer has; None: it was not open."""
        part = self.parts.get(number)
        question = part.open.pop(index, None) if part else None
        if question is not None:
            self.load -= question.load
            if not part.open:
                del self.parts[number]
        return question

    def end_late(self, until: float) -> None:
        """End the questions whose deadline has come: the engine delivers nothing."""
        for part in self.parts.values():
            part.open = {i: q for i, q in part.open.items() if not q.ended(until)}
        self.parts = {number: part for number, part in self.parts.items() if part.open}
        self.load = sum(q.load for part in self.parts.values() for q in part.open.values())
