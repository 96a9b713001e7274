"""Is this folder an index? Said in the reader's language; the image's own message is English."""

from pathlib import Path

from common.language import either
from retrieval.passages import PASSAGES_NAME


def need_index(directory: Path) -> None:
    """Raise ValueError for a folder without an index."""
    if not (directory / PASSAGES_NAME).is_file():
        raise ValueError(
            either(
                f"{directory}：没有 {PASSAGES_NAME}，不是索引：先 bash run.sh retrieval build 教材 "
                f"--out {directory}",
                f"{directory}: no {PASSAGES_NAME}, so no index: first bash run.sh retrieval build "
                f"BOOK --out {directory}",
            )
        )
