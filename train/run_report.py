"""report.html of a run: the verdict, the curve, every candidate, and the answers side by side."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.language import either
from judging.scoring import rouge_l
from train.samples import read_rows
from train.verdict import Verdict, sentences

NAME = "report.html"
TEMPLATE = Path(__file__).with_name("run_report.html.j2")
SHOWN = 40  # questions, those that moved most first


def write_run_report(out: Path, verdict: Verdict | None, history: Sequence[dict[str, Any]]) -> Path:
    """Write report.html into the run's folder; without a verdict it has the curve alone."""
    from jinja2 import Environment

    curve = (out / "loss.png").read_bytes() if (out / "loss.png").is_file() else b""
    losses = {row["step"]: row["eval_loss"] for row in history if "eval_loss" in row}
    text = (
        Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
        .from_string(TEMPLATE.read_text(encoding="utf-8"))
        .render(
            name=out.name,
            verdict=verdict,
            told=sentences(verdict, out) if verdict else [],
            losses=losses,
            curve=base64.b64encode(curve).decode(),
            answers=_answers(out, verdict) if verdict else [],
            either=either,
        )
    )
    path = out / NAME
    path.write_text(text, encoding="utf-8")
    return path


def _answers(out: Path, verdict: Verdict) -> list[dict[str, Any]]:
    """Base and best checkpoint on each question, the largest changes first."""
    rows = []
    for before, after in zip(read_rows(out, 0), read_rows(out, verdict.best), strict=True):
        old, new = (rouge_l(before["reference"], row["answer"]) for row in (before, after))
        rows.append(
            {
                "question": before["question"],
                "reference": before["reference"],
                "base": before["answer"],
                "tuned": after["answer"],
                "old": old,
                "new": new,
            }
        )
    return sorted(rows, key=lambda row: -abs(row["new"] - row["old"]))[:SHOWN]
