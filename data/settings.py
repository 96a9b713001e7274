"""What a build is given and told; what its source is told stands beside each source."""

from enum import Enum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

from common.language import either
from data.chunks import MAX_CHARS, MIN_CHARS
from data.formats import Shape
from data.options import option
from data.passage_rows import PassageSettings
from data.split import SplitSettings


class Ocr(str, Enum):
    """Which pages of a PDF are read from their picture: those without usable text, all, none."""

    auto = "auto"
    always = "always"
    never = "never"


class BuildInputs(BaseModel):
    """The files that a build reads."""

    model_config = ConfigDict(frozen=True)

    books: list[Path] = []
    exclude: list[Path] = option([], "test set whose near-duplicates must go; repeatable")
    merge: list[Path] = option([], "existing pairs (docx, jsonl) to add; repeatable")
    like: Path | None = option(
        None, "test set whose answers the rows are to be like; its own stay excluded"
    )
    compare: Path | None = option(None, "test set to compare lengths with in the report")
    with_passages: Path | None = option(
        None, "index (retrieval build): its passages stand before the questions, as in the service"
    )

    @property
    def excluded(self) -> list[Path]:
        """Every test set whose near-duplicates go: --like alone excludes as well."""
        known = {path.resolve() for path in self.exclude}
        more = self.like is not None and self.like.resolve() not in known
        return [*self.exclude, self.like] if more and self.like else list(self.exclude)


class BuildSettings(BaseModel):
    """Everything besides the inputs and the source that changes the outcome."""

    model_config = ConfigDict(frozen=True)

    shape: Shape = option("messages", "layout of the rows", name="format")
    system: bool = option(False, "write the system prompt into each row")
    like_least: float = option(
        0.5, "with --like: share of the pairs that stay, however unlike", ge=0, le=1
    )
    wordings: int = option(2, "more wordings per question", ge=0, le=6)
    split: SplitSettings = SplitSettings()
    passages: PassageSettings = PassageSettings()
    min_chars: int = option(MIN_CHARS, "of a chunk", ge=1)
    max_chars: int = option(MAX_CHARS, "of a chunk", ge=100)
    filters_off: list[str] = option([], "cleaning rule to switch off; repeatable", name="skip-rule")
    ocr: Ocr = option(Ocr.auto, "read pictures of pages: without usable text, all, none")
    review: str = option("", "teacher or vllm: a model rates each pair, what it denies is dropped")
    keep_going: bool = option(False, "name and skip books that fail")
    tokenizer: Path | None = option(None, "model directory: count tokens in the report")
    demo: bool = option(False, "mark the data as a demo in its manifest")

    @model_validator(mode="after")
    def _chunk_sizes_fit(self) -> "BuildSettings":
        if self.min_chars > self.max_chars:
            raise ValueError(
                either(
                    f"--min-chars {self.min_chars} 不能大于 --max-chars {self.max_chars}",
                    f"--min-chars {self.min_chars} must not exceed --max-chars {self.max_chars}",
                )
            )
        return self
