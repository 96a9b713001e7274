"""MAX_TOKENS from the answers of one trial: the cap of the dev split's best score."""

from dataclasses import dataclass
from pathlib import Path

from judging.judge import Result
from judging.length_cap import Answers, best_cap, by_tokenizer, curve


@dataclass(frozen=True)
class Cap:
    """A cap in tokens and what it makes of the dev split: the score, its change to the uncapped one
    with its standard error, answers cut, and the share of the tokens that is left."""

    tokens: int
    score: float
    change: float
    stderr: float
    cut: int
    kept: float

    def told(self) -> str:
        """One sentence of it."""
        return (
            f"MAX_TOKENS={self.tokens}: score {self.score:.4f} ({self.change:+.4f} ± "
            f"{self.stderr:.4f}), {self.cut} answers cut, {self.kept:.0%} of the characters left, "
            "reckoned from the answers of one run"
        )


def best_length(result: Result, model: Path) -> Cap | None:
    """The smallest cap of the best score; None: none was shown to be better than no cap, or there
    is no tokenizer.json to count with, or no answer."""
    if not (model / "tokenizer.json").is_file() or not any(result.replies.answers):
        return None
    answered = Answers(
        result.testset.path.name,
        [pair.question for pair in result.questions],
        [pair.answer for pair in result.questions],
        result.replies.answers,
        result.replies.total_seconds,
    )
    points = curve(answered, by_tokenizer(model))
    best, whole = best_cap(points, len(result.questions)), points[-1]
    if best is whole:
        return None
    kept = best.characters / max(whole.characters, 1)
    return Cap(best.cap, best.score, best.change, best.stderr, best.cut, kept)
