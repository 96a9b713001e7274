"""Pairs of a build next to the text they come from."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.language import either
from common.read_pairs import read_pairs
from data.split import SPLITS


def chunks_with_pairs(
    directory: Path, section: str = "", kind: str = ""
) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """(chunk row, its pairs) in book order, for headings that contain `section`.

    A question asked in several wordings is shown once. Raises ValueError when `directory` was
    not written by a build.
    """
    listing = directory / "chunks.jsonl"
    if not listing.is_file():
        raise ValueError(
            either(
                f"{listing}：没有这个文件；先运行 bash run.sh data build",
                f"{listing}: no such file; run `python -m data build` first",
            )
        )
    by_chunk: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for split in SPLITS:
        for pair in read_pairs(directory / f"{split}.jsonl", allow_empty=True).pairs:
            if not pair.learn:  # an earlier turn of a talk, which has a row of its own
                continue
            asked, answer = pair.alone.question, pair.answer
            row = {**pair.extra, "question": asked, "answer": answer, "split": split}
            heading = " › ".join(row.get("path", []))
            if (not kind or row["kind"] == kind) and section.lower() in heading.lower():
                by_chunk[row["chunk"]].setdefault(pair.group, row)
    with listing.open(encoding="utf-8") as stream:
        for line in stream:
            chunk = json.loads(line)
            pairs = list(by_chunk.get(chunk["id"], {}).values())
            if pairs:
                yield chunk, pairs
