"""pandoc as a process without access to files, with limits of memory and time."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Any

from common.language import either
from data.needs import MissingPackageError, missing_pandoc

SECONDS = 180.0
MEMORY_MB = 4096
# What a plain reader of Markdown knows, and `data/sections.py` reads.
_MARKDOWN = "commonmark+pipe_tables+tex_math_dollars"


class PandocError(ValueError):
    """pandoc could not read a text; the message is its last line."""


class SlowError(ValueError):
    """pandoc took longer over a text than it was given."""


@dataclass
class Skipped:
    """A piece of source that pandoc left out, and its line."""

    text: str
    line: int = 0


def read_tree(
    source: bytes, form: str, seconds: float = SECONDS
) -> tuple[dict[str, Any], list[Skipped]]:
    """pandoc's document tree of a text or file, and what it left out.

    form: pandoc's name of the format, such as "latex+smart". Raises PandocError,
    MissingPackageError without pandoc, SlowError and ValueError where a limit is exceeded.
    """
    with tempfile.NamedTemporaryFile(suffix=".json") as log:
        out = _run(source, "--from", form, "--to", "json", f"--log={log.name}", seconds=seconds)
        told = json.loads(log.read() or b"[]")
    skipped = [
        Skipped(row["contents"], row.get("line", 0))
        for row in told
        if row["type"] == "SkippedContent"
    ]
    return json.loads(out), skipped


def write_markdown(tree: dict[str, Any]) -> str:
    """The tree as Markdown, its lines as they were."""
    source = json.dumps(tree, ensure_ascii=False).encode()
    return _run(source, "--from", "json", "--to", _MARKDOWN, "--wrap=preserve")


def _run(source: bytes, *options: str, seconds: float = SECONDS) -> str:
    import pypandoc

    limits = ("+RTS", f"-M{MEMORY_MB}m", "-RTS", "--sandbox")
    try:
        command = [pypandoc.get_pandoc_path(), *limits, *options]
        done = subprocess.run(command, input=source, capture_output=True, timeout=seconds)
    except OSError as error:
        raise MissingPackageError(missing_pandoc()) from error
    except subprocess.TimeoutExpired as error:
        raise SlowError(
            either(
                f"pandoc 读它要超过 {seconds:.0f} 秒：放弃了",
                f"pandoc takes over {seconds:.0f} s to read it: given up",
            )
        ) from error
    told = done.stderr.decode("utf-8", errors="replace")
    if done.returncode == 251 or "heap overflow" in told.lower() or "Heap exhausted" in told:
        raise ValueError(
            either(
                f"pandoc 读它要超过 {MEMORY_MB} MB 内存：放弃了",
                f"pandoc takes over {MEMORY_MB} MB of memory to read it: given up",
            )
        )
    if done.returncode:
        said = [line for line in told.splitlines() if line.strip() and line[0] != "["]
        raise PandocError(
            either("pandoc 读不了：", "pandoc cannot read it: ") + " ".join(said)[:200]
        )
    return done.stdout.decode("utf-8")
