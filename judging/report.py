"""What a judgement is told as: a table for the terminal, and files.

report/<time>/summary.json    every number, how it came about, and the model's history
report/<time>/answers.jsonl   one line a question
report/<time>/report.html     both, to read; one file, nothing loaded from elsewhere
"""

import json
import platform
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from common.language import either, language
from judging import scoring
from judging.conclusion import conclude
from judging.judge import Judgement, Result
from judging.report_words import (
    DEFINITIONS,
    IN_CHINESE,
    LABELS,
    answer_draws,
    book_at_hand,
    demo_note,
)
from judging.scoring import Scores


def summary(judgement: Judgement, tokenizer: Any = None) -> dict[str, Any]:
    """Everything but the answers, ready for JSON. `tokenizer`: a tokenizers.Tokenizer."""
    results, names = judgement.results, unique_names(judgement.results)
    model = (judgement.info or {}).get("model")
    model = model if isinstance(model, dict) else {}
    sets = [
        {
            "name": name,
            "path": str(result.testset.path),
            "in_file": len(result.testset.pairs),
            **_numbers([result], result.scores, tokenizer),
            "failure": result.replies.failure,
            "warnings": [*result.testset.warnings, *result.replies.warnings],
            "sections": _sections(result),
        }
        for name, result in zip(names, results, strict=True)
    ]
    together = scoring.combine([item for result in results for item in result.scores.items])
    return {
        "created": judgement.started.isoformat(timespec="seconds"),
        "url": judgement.url,
        "mode": judgement.mode,
        "status": judgement.health.status,
        "waited_s": round(judgement.health.seconds, 3),
        "ready": _ready(judgement),
        "verdict": "failed" if judgement.failures else "completed",
        "failures": judgement.failures,
        "conclusion": conclude(
            together,
            judgement.failures,
            model,
            _model_dir(judgement),
            judgement.url,
            [str(result.testset.path) for result in results],
        ),
        "warnings": judgement.health.warnings,
        "conditions": asdict(judgement.conditions),
        "deviations": judgement.deviations,
        "demo": bool(model.get("demo")),
        "note": demo_note() if model.get("demo") else "",
        "model": str(model.get("name") or _unknown_model()),
        "book": book_at_hand(judgement.info),
        "draws": answer_draws(judgement.info),
        "manifest_chain": manifest_chain(model.get("manifest")),
        "testsets": sets,
        "total": _numbers(results, together, tokenizer),
        "definitions": either(IN_CHINESE, DEFINITIONS),
        "versions": _versions("jieba", "rouge-score"),
        "info": judgement.info,
    }


def answer_rows(judgement: Judgement) -> Iterator[dict[str, Any]]:
    """One row a question, in the order asked: the lines of answers.jsonl."""
    for name, result in zip(unique_names(judgement.results), judgement.results, strict=True):
        for question, answer, seconds, item, shown in zip(
            result.questions,
            result.replies.answers,
            result.replies.seconds,
            result.scores.items,
            result.passages or [None] * len(result.questions),
            strict=True,
        ):
            yield {
                "testset": name,
                "where": question.where,
                "section": question.section,
                "question": question.question,
                "reference": question.answer,
                "answer": answer,
                **asdict(item),
                "characters": len(answer),
                "seconds": seconds,
                "passages": None if shown is None else [passage_name(each) for each in shown],
            }


def passage_name(passage: dict[str, Any]) -> str:
    """A passage by its place: the book, the two innermost headings, the page or, in a book without
    pages, the character it starts at."""
    path = passage.get("path")
    path = path[-2:] if isinstance(path, list) else []
    page = passage.get("page")
    place = f"p. {page}" if page else passage.get("start", 0)
    return " › ".join(map(str, (passage.get("book", "?"), *path))) + f" [{place}]"


def table(told: dict[str, Any]) -> Group:
    """The summary for the terminal: what it means and what is next, then the judge's two numbers,
    and below what explains them."""
    columns = [*told["testsets"]]
    if len(columns) > 1:
        columns.append({"name": either("合计", "total"), **told["total"]})
    grid = Table()
    grid.add_column("")
    for column in columns:
        grid.add_column(Text(column["name"]), justify="right", overflow="fold")

    def row(label: str, key: str, style: str = "", form: str = "{:.3f}") -> None:
        if all(column[key] is None for column in columns):
            return
        cells = ["–" if column[key] is None else form.format(column[key]) for column in columns]
        grid.add_row(either(LABELS[label], label), *cells, style=style)

    row("accuracy (judge)", "accuracy", "bold")
    row("characters/s (judge)", "speed", "bold", "{:,.1f}")
    grid.add_section()
    row("± standard error", "stderr", "dim")
    row("ceiling of the set", "ceiling", "dim")
    row("accuracy / ceiling", "of_ceiling", "dim", "{:.0%}")
    row("echoing the question", "echo", "dim")
    row("counted words: precision", "precision", "dim")
    row("counted words: recall", "recall", "dim")
    row("Chinese-aware ROUGE-L", "chinese", "dim")
    grid.add_section()
    row("questions", "questions", "dim", "{:,}")
    row("characters", "characters", "dim", "{:,}")
    row("POST seconds", "seconds", "dim", "{:,.2f}")
    row("slowest call, s", "slowest_s", "dim", "{:,.2f}")
    row("tokens/s", "tokens_per_second", "dim", "{:,.1f}")
    row("unanswered", "unanswered", "dim", "{:,}")
    row("empty", "empty", "dim", "{:,}")
    row("look cut", "looks_cut", "dim", "{:,}")
    row("over-long", "over_long", "dim", "{:,}")
    row("repeat the question", "repeats", "dim", "{:,}")
    note = [Text(told["note"], style="bold yellow")] if told["note"] else []
    note += [Text(told[name], style="bold") for name in ("book", "draws") if told[name]]
    said = told["conclusion"]
    style = "bold red" if told["failures"] else "bold"
    conclusion = Text(said[language()], style=style)
    # A command is one line to copy, however narrow the terminal.
    command = Text(f"  {said['command']}", no_wrap=True, overflow="ignore")
    against = [Text(line) for line in told.get("against", [])]
    return Group(Text(_title(told)), *note, conclusion, command, *against, grid)


def write_report(told: dict[str, Any], rows: Sequence[dict[str, Any]], out: Path) -> Path:
    """Write the three files into a new folder of `out`, which is returned.

    `told` is from `summary`, `rows` from `answer_rows`. Raises OSError when it cannot be written.
    """
    from judging.html_report import render  # loads matplotlib

    directory = _new_directory(out, datetime.fromisoformat(told["created"]))
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    _write(directory / "answers.jsonl", lines)
    _write(directory / "summary.json", json.dumps(told, ensure_ascii=False, indent=2) + "\n")
    _write(directory / "report.html", render(told, rows))
    return directory


def manifest_chain(manifest: Any) -> list[str]:
    """One line a stage, from the model back to the book, each parent further in."""
    if not isinstance(manifest, dict):
        return []
    demo = " (demo)" if manifest.get("demo") else ""
    lines = [f"{manifest.get('stage', '?')}: {manifest.get('name', '?')}{demo}"]
    parents = manifest.get("parents")
    for parent in parents if isinstance(parents, list) else []:
        lines += ["  " + line for line in manifest_chain(parent)]
    return lines


def unique_names(results: Sequence[Result]) -> list[str]:
    """The test sets' names; full paths where two files have the same name."""
    names = [result.testset.name for result in results]
    return [
        str(result.testset.path) if names.count(name) > 1 else name
        for name, result in zip(names, results, strict=True)
    ]


def _numbers(results: Sequence[Result], scores: Scores, tokenizer: Any) -> dict[str, Any]:
    """The numbers of one test set, or of several together."""
    characters = sum(result.characters for result in results)
    seconds = sum(result.replies.total_seconds for result in results)
    calls = [each for result in results for each in result.replies.seconds if each is not None]
    tokens = _tokens(results, tokenizer)
    return {
        "accuracy": scores.accuracy,
        "speed": scoring.speed(characters, seconds),
        "stderr": scores.stderr,
        "ceiling": scores.ceiling,
        "of_ceiling": scores.accuracy / scores.ceiling if scores.ceiling else None,
        "echo": scores.echo,
        "precision": scores.precision,
        "recall": scores.recall,
        "chinese": scores.chinese,
        "questions": len(scores.items),
        "characters": characters,
        "seconds": round(seconds, 6),
        "median_s": round(statistics.median(calls), 6) if calls else None,
        "slowest_s": round(max(calls), 6) if calls else None,
        "tokens": tokens,
        "tokens_per_second": None if tokens is None else scoring.speed(tokens, seconds),
        "unanswered": sum(result.replies.unanswered for result in results),
        "empty": scores.empty,
        "looks_cut": scores.looks_cut,
        "over_long": scores.over_long,
        "repeats": scores.repeats,
    }


def _tokens(results: Sequence[Result], tokenizer: Any) -> int | None:
    if tokenizer is None:
        return None
    answers = [answer for result in results for answer in result.replies.answers]
    encoded = tokenizer.encode_batch(answers, add_special_tokens=False)
    return sum(len(encoding.ids) for encoding in encoded)


def _sections(result: Result) -> list[dict[str, Any]]:
    """Means by section, in file order; none when the file has no sections."""
    members: dict[str, list[scoring.ItemScore]] = {}
    for question, item in zip(result.questions, result.scores.items, strict=True):
        members.setdefault(question.section, []).append(item)
    if len(members) < 2:
        return []
    means = {name: scoring.combine(items) for name, items in members.items()}
    return [
        {
            "name": name or either("（无章节）", "(no section)"),
            "questions": len(scores.items),
            "accuracy": scores.accuracy,
            "ceiling": scores.ceiling,
            "chinese": scores.chinese,
        }
        for name, scores in means.items()
    ]


def _title(told: dict[str, Any]) -> str:
    return f"{told['url']} · {told['mode']} · {told['ready']} · {told['model']}"


def _ready(judgement: Judgement) -> str:
    """How long the start took: by the service itself where it tells, since it may have been up
    before the judge came."""
    startup = (judgement.info or {}).get("startup")
    seconds = startup.get("ready_seconds") if isinstance(startup, dict) else None
    if isinstance(seconds, int | float):
        return either(f"启动 {seconds:.1f} 秒后就绪", f"ready {seconds:.1f} s after its start")
    waited = judgement.health.seconds
    return either(f"等了 {waited:.1f} 秒", f"waited for {waited:.1f} s")


def _unknown_model() -> str:
    return either("未知（服务没有 GET /info）", "unknown (the service has no GET /info)")


def _model_dir(judgement: Judgement) -> str | None:
    """Where the service says that its model lies; other services say nothing of the kind."""
    settings = (judgement.info or {}).get("settings")
    directory = settings.get("model_dir") if isinstance(settings, dict) else None
    return directory if isinstance(directory, str) else None


def _versions(*names: str) -> dict[str, str]:
    return {"python": platform.python_version()} | {name: metadata.version(name) for name in names}


def _new_directory(out: Path, created: datetime) -> Path:
    """A new folder in `out` named after the time, with -2, -3, … where that is taken."""
    name, number = created.strftime("%Y%m%d-%H%M%S"), 1
    while True:
        directory = out / (name if number == 1 else f"{name}-{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return directory


def _write(path: Path, text: str) -> None:
    """UTF-8; a path in the text that is not Unicode must not cost the whole report."""
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
