"""What a whole library costs: an index of 100 MB of text, and a batch of questions to it.

    python -m bench.library BOOK… --testset TESTSET

The library is made up: books of the sentences of BOOK…, drawn at random, so its words are as
frequent as theirs. The build runs as its own process; peak memory is the largest it held.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from common.read_pairs import read_pairs
from data.books import find_books, read_book
from data.text import sentences
from retrieval.search import Retriever

CHAPTERS, PARAGRAPHS = 50, 12  # of a book


def main(
    books: Annotated[list[Path], typer.Argument(help="where the sentences come from")],
    testset: Annotated[Path, typer.Option(help="questions, asked over and over up to --questions")],
    megabytes: Annotated[float, typer.Option(help="of text, UTF-8")] = 100,
    questions: Annotated[int, typer.Option()] = 358,
) -> None:
    """Build, load, search; print the figures as JSON."""
    text = [read_book(path).text for path in find_books(books)]
    lines = [line for one in text for line in sentences(one)]
    # A mark of Markdown would make one heading or code block of all that follows it.
    drawn = [line for line in lines if len(line) > 5 and not set("#`|~<>") & set(line)]
    asked = [pair.question for pair in read_pairs(testset).pairs]
    asked = (asked * (questions // len(asked) + 1))[:questions]
    with tempfile.TemporaryDirectory() as folder:
        library, index = Path(folder) / "library", Path(folder) / "index"
        library.mkdir()
        size = write_library(library, drawn, round(megabytes * 1e6))
        command = [sys.executable, "-m", "retrieval", "build", str(library), "--out", str(index)]
        began = time.perf_counter()
        subprocess.run([*command, "--cache", f"{folder}/cache"], check=True, stdout=sys.stderr)
        found = {"megabytes": round(size / 1e6, 1), "build_s": time.perf_counter() - began}
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        found["build_cpu_s"] = used.ru_utime + used.ru_stime
        found["build_peak_mb"] = used.ru_maxrss / 1e3  # Linux counts kilobytes
        retriever = Retriever.load(index)
    times = []
    for _ in range(3):
        began, before = time.perf_counter(), time.process_time()
        retriever.rank(asked, 3)
        times.append((time.perf_counter() - began, time.process_time() - before))
    found |= {"passages": len(retriever.passages), "questions": len(asked)}
    found["search_s"], found["search_cpu_s"] = min(times)
    found["search_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    told = {key: round(value, 3) for key, value in found.items()}
    print(json.dumps(told | {"cores": os.cpu_count()}, indent=1))


def write_library(folder: Path, drawn: list[str], size: int) -> int:
    """Books of drawn sentences until they have `size` bytes; says how many they have."""
    rng = random.Random(0)
    total = number = 0
    while total < size:
        number += 1
        parts = [f"# 第{number}卷"]
        for chapter in range(CHAPTERS):
            parts.append(f"## {chapter + 1} {rng.choice(drawn)[:12]}")
            for _ in range(PARAGRAPHS):
                parts.append("".join(rng.choices(drawn, k=rng.randint(2, 5))))
        text = "\n\n".join(parts) + "\n"
        (folder / f"book{number:05}.md").write_text(text, encoding="utf-8")
        total += len(text.encode())
    return total


if __name__ == "__main__":
    typer.run(main)
