"""Settings of a build: everything besides the inputs that changes the outcome."""

from dataclasses import dataclass, field
from pathlib import Path

from data.chunks import MAX_CHARS, MIN_CHARS
from data.split import SplitSettings


@dataclass(frozen=True)
class BuildSettings:
    """Everything besides the inputs that changes the outcome."""

    chunk_chars: tuple[int, int] = (MIN_CHARS, MAX_CHARS)
    split: SplitSettings = field(default_factory=SplitSettings)
    wordings: int = 2
    rules_off: frozenset[str] = frozenset()
    shape: str = "messages"
    system: bool = False
    keep_going: bool = False
    tokenizer: Path | None = None
    demo: bool = False
