"""What a test set is, whichever file it was read from (questions.py reads them)."""

from dataclasses import dataclass, field
from pathlib import Path


class TestSetError(ValueError):
    """A test set that cannot be used; the message names the file, the place and what to do."""

    __test__ = False  # not a test class, whatever pytest thinks of the name


@dataclass(frozen=True)
class Question:
    """One question, its reference answer, the section heading above it ("" if none), its place."""

    question: str
    reference: str
    section: str = ""
    where: str = ""


@dataclass(frozen=True)
class TestSet:
    """A test set's questions in file order, and what is doubtful about the file."""

    __test__ = False

    path: Path
    questions: list[Question]
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem
