"""The data command in this process, and what a build of the sample book wrote."""

import json
from pathlib import Path

from click.testing import Result
from typer.testing import CliRunner

from common.read_pairs import read_pairs
from data.__main__ import app

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "sample" / "book.md"


def run(*arguments: object, ok: bool = True) -> Result:
    """The command in this process; an exception that it does not tell as a message fails."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert (done.exit_code == 0) is ok, done.stdout + done.stderr
    return done


def rows(out: Path, name: str) -> list[dict]:
    """The rows of a split as written, each with its question and answer."""
    path = out / f"{name}.jsonl"
    pairs = read_pairs(path, allow_empty=True).pairs
    texts = path.read_text(encoding="utf-8").splitlines()
    return [
        {**json.loads(text), "question": pair.question, "answer": pair.answer}
        for text, pair in zip(texts, pairs, strict=True)
    ]


def said(path: Path) -> list[tuple[str, str]]:
    return [(pair.question, pair.answer) for pair in read_pairs(path).pairs]
