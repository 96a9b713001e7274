"""What a build is given and told; what its source is told stands beside each source."""

from enum import Enum
from filecmp import cmp
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
    exclude: list[Path] = option(
        [],
        "测试集：与它近似的问答去掉；可重复",
        "test set whose near-duplicates must go; repeatable",
    )
    merge: list[Path] = option(
        [],
        "要加上的已有问答（docx、xlsx、jsonl、json、csv）；可重复",
        "existing pairs (docx, xlsx, jsonl, json, csv) to add; repeatable",
    )
    like: Path | None = option(
        None,
        "测试集：训练答案要像它的答案；它自己的题仍被排除",
        "test set whose answers the rows are to be like; its own stay excluded",
    )
    compare: Path | None = option(
        None, "测试集：在报告里与它比长短", "test set to compare lengths with in the report"
    )
    with_passages: Path | None = option(
        None,
        "索引（retrieval build）：它的片段放在题目前面，与服务时一样",
        "index (retrieval build): its passages stand before the questions, as in the service",
    )

    @model_validator(mode="after")
    def _no_test_set_is_a_book(self) -> "BuildInputs":
        tests = [path for path in [*self.excluded, self.compare] if path and path.is_file()]
        for book in filter(Path.is_file, self.books):
            if any(cmp(book, test, shallow=False) for test in tests):
                raise ValueError(
                    either(
                        f"{book}：是测试集，不能当教材：不要给它，或把它移出教材的文件夹",
                        f"{book} is a test set and no book: leave it out, or move it out of the "
                        "books' folder",
                    )
                )
        return self

    @property
    def excluded(self) -> list[Path]:
        """Every test set whose near-duplicates go: --like alone excludes as well."""
        known = {path.resolve() for path in self.exclude}
        more = self.like is not None and self.like.resolve() not in known
        return [*self.exclude, self.like] if more and self.like else list(self.exclude)


class BuildSettings(BaseModel):
    """Everything besides the inputs and the source that changes the outcome."""

    model_config = ConfigDict(frozen=True)

    shape: Shape = option("messages", "行的格式", "layout of the rows", name="format")
    system: bool = option(False, "把系统提示词写进每一行", "write the system prompt into each row")
    like_least: float = option(
        0.5,
        "用 --like 时：再不像也至少留下几成",
        "with --like: share of the pairs that stay, however unlike",
        ge=0,
        le=1,
    )
    wordings: int = option(2, "每题另加几种问法", "more wordings per question", ge=0, le=6)
    split: SplitSettings = SplitSettings()
    passages: PassageSettings = PassageSettings()
    min_chars: int = option(MIN_CHARS, "一块文字的字符数", "of a chunk", ge=1)
    max_chars: int = option(MAX_CHARS, "一块文字的字符数", "of a chunk", ge=100)
    filters_off: list[str] = option(
        [],
        "要关掉的清洗规则；可重复",
        "cleaning rule to switch off; repeatable",
        name="skip-rule",
    )
    ocr: Ocr = option(
        Ocr.auto,
        "识别页面图片：没有可用文字的页、全部、不识别",
        "read pictures of pages: without usable text, all, none",
    )
    review: str = option(
        "",
        "teacher 或 vllm：让模型审每一对，不合格的去掉；fluency：去掉模型觉得不通的（配严的规则）",
        "teacher or vllm: a model rates each pair, what it denies is dropped; fluency: what it "
        "finds unlikely is (with --rules strict)",
    )
    keep_going: bool = option(False, "读不了的书报出名字，跳过", "name and skip books that fail")
    tokenizer: Path | None = option(
        None, "模型目录：报告里数词元", "model directory: count tokens in the report"
    )
    demo: bool = option(False, "在清单里标明是演示数据", "mark the data as a demo in its manifest")

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
