"""What a build is given and told; what its source is told stands beside each source."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

from data.chunks import MAX_CHARS, MIN_CHARS
from data.formats import Shape
from data.options import option
from data.split import SplitSettings


class BuildInputs(BaseModel):
    """The files that a build reads."""

    model_config = ConfigDict(frozen=True)

    books: list[Path] = []
    exclude: list[Path] = option([], "test set whose near-duplicates must go; repeatable")
    merge: list[Path] = option([], "existing pairs (docx, jsonl) to add; repeatable")
    compare: Path | None = option(None, "test set to compare lengths with in the report")


class BuildSettings(BaseModel):
    """Everything besides the inputs and the source that changes the outcome."""

    model_config = ConfigDict(frozen=True)

    shape: Shape = option("messages", "layout of the rows", name="format")
    system: bool = option(False, "write the system prompt into each row")
    wordings: int = option(2, "more wordings per question", ge=0, le=6)
    split: SplitSettings = SplitSettings()
    min_chars: int = option(MIN_CHARS, "of a chunk", ge=1)
    max_chars: int = option(MAX_CHARS, "of a chunk", ge=100)
    filters_off: list[str] = option([], "cleaning rule to switch off; repeatable", name="skip-rule")
    review: str = option("", "teacher or vllm: a model rates each pair, what it denies is dropped")
    keep_going: bool = option(False, "name and skip books that fail")
    tokenizer: Path | None = option(None, "model directory: count tokens in the report")
    demo: bool = option(False, "mark the data as a demo in its manifest")

    @model_validator(mode="after")
    def _chunk_sizes_fit(self) -> "BuildSettings":
        if self.min_chars > self.max_chars:
            raise ValueError(
                f"--min-chars {self.min_chars} must not exceed --max-chars {self.max_chars}"
            )
        return self
