"""Pairs beside the text they come from: edited, rejected, saved as a new file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common.language import BilingualError
from common.pairs import Pair
from common.read_pairs import read_pairs

CHUNKS_NAME = "chunks.jsonl"
SPLITS = ("train", "dev", "calibration")


class ReviewError(BilingualError, ValueError):
    """A review that cannot be opened or saved; the message says why and what to do."""


@dataclass(frozen=True)
class Reviewed:
    """One pair, the text that it comes from (empty where that is not known), and the verdict."""

    pair: Pair
    split: str
    place: str
    text: str
    kept: bool = True
    edited: bool = False

    def changed(self, kept: bool, question: str, answer: str) -> "Reviewed":
        """The same with a verdict and new wording. Raises ReviewError for an empty text."""
        question, answer = question.strip(), answer.strip()
        if kept and not (question and answer):
            zh = "一对要有问题和回答；不想要，就取消“保留”"
            raise ReviewError(zh, "a pair needs a question and an answer; reject it instead")
        same = (question, answer) == (self.pair.question, self.pair.answer)
        if same or not (question and answer):
            return replace(self, kept=kept)
        # Other wordings were of the old question, and its id of the old text.
        pair = replace(self.pair, question=question, answer=answer, id="")
        if question != self.pair.question:
            pair = replace(pair, rephrasings=())
        return replace(self, pair=pair, kept=kept, edited=True)


@dataclass
class Review:
    """The pairs of a data build or of one file. source: where they were read."""

    source: Path
    rows: list[Reviewed]
    warnings: list[str] = field(default_factory=list)

    @property
    def sections(self) -> list[str]:
        """Headings in their order."""
        return list(dict.fromkeys(row.place for row in self.rows))

    def counts(self) -> tuple[int, int, int]:
        """Pairs in all, edited, rejected."""
        edited = sum(row.edited for row in self.rows)
        return len(self.rows), edited, sum(not row.kept for row in self.rows)


def open_review(source: Path) -> Review:
    """The pairs of a folder of `data build`, or of one question-answer file.

    Raises ReviewError, PairsError or OSError.
    """
    if source.is_file():
        found = read_pairs(source)
        rows = [Reviewed(pair, "", _place(pair), "") for pair in found.pairs]
        return Review(source, rows, found.warnings)
    files = [source / f"{split}.jsonl" for split in SPLITS]
    files = [path for path in files if path.is_file()]
    if not files:
        en = f"{source}: no {SPLITS[0]}.jsonl there; make it with `data build`"
        raise ReviewError(f"{source}：没有 {SPLITS[0]}.jsonl；先用 data build 生成", en)
    texts = _texts(source / CHUNKS_NAME)
    review = Review(source, [])
    for path in files:
        found = read_pairs(path, allow_empty=True)
        review.warnings += found.warnings
        for pair in found.pairs:
            text = texts.get(str(pair.extra.get("chunk")), "")
            review.rows.append(Reviewed(pair, path.stem, _place(pair), text))
    return review


def save_review(review: Review, name: str, folder: Path) -> list[Path]:
    """Write the pairs that were kept as new files of `folder`, one a split: NAME-train.jsonl.

    Raises ReviewError for a name that is none, that is taken, or when nothing is left; OSError.
    """
    name = name.strip()
    if not name or any(mark in name for mark in '/\\:*?"<>|\0') or name.startswith("."):
        raise ReviewError(f"{name!r} 不能作文件名", f"{name!r} is no name for a file")
    kept: dict[str, list[Reviewed]] = {}
    for row in review.rows:
        if row.kept:
            kept.setdefault(row.split, []).append(row)
    if not kept:
        zh = "一对也没有保留，没有可以保存的"
        raise ReviewError(zh, "every pair is rejected: there is nothing to save")
    paths = {split: folder / f"{'-'.join(filter(None, (name, split)))}.jsonl" for split in kept}
    if taken := [str(path) for path in paths.values() if path.exists()]:
        files = ", ".join(taken)
        zh, en = (
            "已经有了；旧文件从不覆盖，换个名字",
            "there already; old files are never overwritten",
        )
        raise ReviewError(f"{files}：{zh}", f"{files}: {en}")
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in kept.items():
        with paths[split].open("x", encoding="utf-8", newline="\n") as stream:
            for row in rows:
                stream.write(json.dumps(_as_row(row.pair), ensure_ascii=False) + "\n")
    return list(paths.values())


def _as_row(pair: Pair) -> dict[str, Any]:
    """A row that common.read_pairs reads as the same pair."""
    optional: dict[str, Any] = {
        "history": [list(turn) for turn in pair.history],
        "system": pair.system,
        "rephrasings": list(pair.rephrasings),
        "id": pair.id,
        "group": pair.group,
        "section": pair.section,
    }
    row = {"question": pair.question, "answer": pair.answer}
    if not pair.learn:  # what the layout with weights calls an answer that is not learned
        said = [(turn[0], turn[1], 0) for turn in pair.history] + [(pair.question, pair.answer, 0)]
        messages = [{"role": "system", "content": pair.system}] if pair.system else []
        for user, assistant, weight in said:
            messages.append({"role": "user", "content": user})
            messages.append({"role": "assistant", "content": assistant, "weight": weight})
        row = {"messages": messages}
        optional = {**optional, "history": [], "system": ""}
    return {**row, **{key: value for key, value in optional.items() if value}, **pair.extra}


def _place(pair: Pair) -> str:
    path: Sequence[str] = pair.extra.get("path") or ()
    return " › ".join(map(str, path)) or pair.section or Path(pair.place.file).name


def _texts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    texts = {}
    # Not splitlines: U+2028 and its like are text.
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            texts[str(row["id"])] = str(row["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise ReviewError(f"{path}, line {number}: not a chunk ({error})") from error
    return texts
