"""What the cut of run-away answers does to stored answers, and each cut for itself: false alarms.

    END_REPETITION=false MODEL_DIR=DIR bash run.sh serve      asked by eval_local.py, which stores
    python -m bench.runaway DIR report/TIME/answers.jsonl     the answers as they were

Rows are JSON objects with `answer`, and `reference` and `source` if they have them; DIR holds the
tokenizer. Each answer is tokenized again and looked at as the service does, then ended by the rule
(serving/engine/repetition.py). Written for each cut: what was found and its period, the tokens at
which it was seen and kept, how many tokens the answer had, the runs of six tokens in the part that
was cut which the kept part has not (numbers as one token), and the judge's score with and without.
No text. A cut whose lost part has many such new runs lost something: read it.
"""

import json
import statistics
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench.natural_ends import ends_in_a_loop
from judging.scoring import rouge_l
from serving.engine.repetition import LOOK_EVERY, RepetitionWatch, TokenKinds, token_kinds

console = Console(width=110)
RUN = 6
# New runs from which on a cut part says something else.
NEW_RUNS = 24
COLUMNS = [
    *("source", "found", "period", "seen_at", "kept", "tokens", "new_runs", "verdict"),
    *("score_uncut", "score"),
]


def main(
    model: Annotated[Path, typer.Argument(help="model directory: its tokenizer")],
    answers: Annotated[list[Path], typer.Argument(help="JSON lines with `answer`")],
    note: Annotated[str, typer.Option(help="what the answers are")] = "",
    out: Annotated[Path, typer.Option(help="figures as JSON")] = Path("report/bench_runaway.json"),
) -> None:
    """List every cut."""
    from transformers import AutoTokenizer

    rows = [
        json.loads(line)
        for path in answers
        for line in path.read_text(encoding="utf-8").split("\n")
        if line.strip()
    ]
    figures = {"note": note, **look_at(rows, AutoTokenizer.from_pretrained(model))}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(as_json(figures), encoding="utf-8")
    for name, count in figures.items():
        if name != "cuts":
            console.print(f"{name}: {count}", highlight=False)


def look_at(rows: Iterable[dict[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """Counts of all answers, and a row (COLUMNS) for each one that is cut."""
    kinds = token_kinds(tokenizer)
    cuts: list[dict[str, Any]] = []
    answers: Counter[str] = Counter()
    loops = {"before": 0, "after": 0}
    for row in rows:
        source, answer = row.get("source", ""), row["answer"]
        answers[source] += 1
        ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
        cut = cut_of(ids, kinds)
        left = answer if cut is None else tokenizer.decode(ids[: cut["kept"]]).strip()
        loops["before"] += ends_in_a_loop(answer)
        loops["after"] += ends_in_a_loop(left)
        if cut is None:
            continue
        if reference := row.get("reference"):
            scores = rouge_l(reference, answer), rouge_l(reference, left)
            cut |= dict(zip(("score_uncut", "score"), map(_rounded, scores), strict=True))
        cuts.append({"source": source, **cut})
    scored = [cut for cut in cuts if "score" in cut]
    gains = [cut["score"] - cut["score_uncut"] for cut in scored]
    return {
        "answers": dict(answers),
        "cut": len(cuts),
        "cut_by_source": dict(Counter(cut["source"] for cut in cuts)),
        "found": dict(Counter(cut["found"] for cut in cuts)),
        "verdicts": dict(Counter(cut["verdict"] for cut in cuts)),
        "end_in_a_loop": loops,
        "tokens_spared": sum(cut["tokens"] - cut["seen_at"] for cut in cuts),
        "scored": {
            "cut": len(scored),
            "higher": sum(gain > 0 for gain in gains),
            "lower": sum(gain < 0 for gain in gains),
            "worst": round(min(gains, default=0.0), 3),
            "mean_uncut": _mean([cut["score_uncut"] for cut in scored]),
            "mean": _mean([cut["score"] for cut in scored]),
        },
        "cuts": [[cut.get(name) for name in COLUMNS] for cut in cuts],
    }


def cut_of(ids: list[int], kinds: TokenKinds) -> dict[str, Any] | None:
    """Where the service would end an answer of these tokens; None: nowhere."""
    watch = RepetitionWatch(kinds)
    for seen in range(LOOK_EVERY, len(ids) + LOOK_EVERY, LOOK_EVERY):
        kept = watch.look(ids[:seen], at_once=seen >= len(ids))
        if kept is not None:
            new = _new_runs(ids, kept, kinds)
            return {
                "found": watch.found[0],
                "period": watch.found[1],
                "seen_at": min(seen, len(ids)),
                "kept": kept,
                "tokens": len(ids),
                "new_runs": new,
                "verdict": "repeats" if new < NEW_RUNS else "says more",
            }
    return None


def _new_runs(ids: list[int], kept: int, kinds: TokenKinds) -> int:
    alike = [-1 if token in kinds.numbers else token for token in ids]
    known = set(_runs(alike[:kept]))
    return len({run for run in _runs(alike[kept:]) if run not in known})


def _runs(tokens: list[int]) -> list[tuple[int, ...]]:
    return [tuple(tokens[at : at + RUN]) for at in range(len(tokens) - RUN + 1)]


def _rounded(score: float) -> float:
    return round(score, 3)


def _mean(values: list[float]) -> float | None:
    return round(statistics.fmean(values), 4) if values else None


def as_json(figures: dict[str, Any]) -> str:
    """With a line for each cut."""
    head = json.dumps({**figures, "columns": COLUMNS, "cuts": []}, ensure_ascii=False, indent=1)
    lines = ",\n".join(json.dumps(cut, ensure_ascii=False) for cut in figures["cuts"])
    return head.replace('"cuts": []', f'"cuts": [\n{lines}\n ]') + "\n"


if __name__ == "__main__":
    typer.run(main)
