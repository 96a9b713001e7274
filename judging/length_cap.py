"""What would a cap on the length of answers cost, and bring? From answers that were judged already.

    python -m judging.length_cap report/20260101-120000 --tokenizer MODEL_DIR

Cuts the answers of a report of eval_local.py at each length and scores them again; nothing is
asked again. Lengths are tokens with --tokenizer (as MAX_TOKENS counts them), else characters.

A cap is chosen by the dev split only: one chosen by a test set fits that set. Test sets named
dev… are taken for it, others where --dev NAME says so, and never one whose questions stand in a
test set known here; of those the curve is shown, and no cap is named (exit code 1).

The speed under a cap lies between two bounds, both from the report's own seconds: the time falls
as the tokens do (each token costs the same: a full device), or as the longest answer does (each
step costs the same: a batch waits for its longest answer). The start of a call, reading the
prompts, is taken to shrink with it; so measure what you chose (MAX_TOKENS=…, eval_local.py).
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table

from common.cli import argument, make_app, option, stop
from common.language import either, in_chinese
from common.pairs import PairsError
from common.tokenizer_file import TokenizerError, load_tokenizer
from judging.known_testsets import known_testset
from judging.length_chart import IN_CHINESE, draw
from judging.read_report import ReportError, read_report
from judging.scoring import rouge_l, speed

STEP = {"tokens": 16, "characters": 32}
# A mean of the same scores in another order of summing differs by this much and less.
ROUNDING = 1e-9
FEWEST = 10  # questions; of fewer a gain is not told from chance, as in training's verdict
app = make_app()
console = Console(width=None if Console().is_terminal else 120)


@dataclass(frozen=True)
class Answers:
    """One judged test set: its answers and references, and the seconds of its POST calls."""

    name: str
    questions: list[str]
    references: list[str]
    answers: list[str]
    seconds: float


@dataclass(frozen=True)
class Point:
    """A cap and what it makes of a test set; speeds in characters a second.

    change, stderr: of the score to the uncapped one, over the same questions, and its standard
    error. by_tokens, by_steps: speed when the time falls as the tokens, or as the longest answer.
    """

    cap: int
    score: float
    change: float
    stderr: float
    cut: int
    characters: int
    by_tokens: float
    by_steps: float


# Lengths of texts, and a text's first N units.
Measure = tuple[str, Callable[[str], int], Callable[[str, int], str]]


@app.command()
@in_chinese("得分和速度随回答长度上限变化的曲线。")
def main(
    report: Annotated[
        Path, argument("eval_local.py 的报告目录", "A report's folder, of eval_local.py")
    ],
    tokenizer: Annotated[
        Path | None,
        option(
            "有 tokenizer.json 的模型目录：数词元",
            "A model's folder with tokenizer.json: count tokens",
        ),
    ] = None,
    dev: Annotated[
        list[str] | None,
        option("报告里哪个题集是验证集", "Name of a test set of the report that is the dev split"),
    ] = None,
    testset: Annotated[
        list[Path] | None,
        option("你的测试集，免得与验证集混淆", "Your test sets, so that they are told from dev"),
    ] = None,
    step: Annotated[
        int | None,
        option(
            "上限的间隔：16 词元，32 字符", "Distance of the caps: 16 tokens, 32 characters", min=1
        ),
    ] = None,
    out: Annotated[
        Path | None, option("结果的目录：默认就是报告的目录", "Folder of the results: the report's")
    ] = None,
) -> None:
    """The curve of score and speed against a cap on the answers' length."""
    try:
        sets = judged_sets(report)
        unknown = set(dev or []) - {each.name for each in sets}
        if unknown:
            raise ReportError(
                f"--dev {sorted(unknown)}：报告里有的是 {[s.name for s in sets]}",
                f"--dev {sorted(unknown)}: the report has {[s.name for s in sets]}",
            )
        measure = by_tokenizer(tokenizer) if tokenizer else by_characters()
        told = [_told(each, measure, step, dev or [], testset or []) for each in sets]
        folder = out or (report if report.is_dir() else report.parent)
        folder.mkdir(parents=True, exist_ok=True)
    except (ReportError, PairsError, TokenizerError, OSError) as error:
        stop(str(error), 2)
    for each in told:
        _show(each, measure[0])
    draw(told, measure[0], folder / "length_cap.png")
    text = json.dumps({"unit": measure[0], "sets": told}, ensure_ascii=False, indent=1)
    (folder / "length_cap.json").write_text(text + "\n", encoding="utf-8")
    console.print(
        either(
            f"已写出：{folder / 'length_cap.png'}、length_cap.json",
            f"written: {folder / 'length_cap.png'}, length_cap.json",
        ),
        soft_wrap=True,
    )
    if not any(each["is_dev"] for each in told):
        stop(
            either(
                "没有选上限：这份报告里没有验证集（若有一个是，用 --dev 名字 指出）",
                "no cap is named: this report has no dev split (--dev NAME, if one of them is it)",
            ),
            1,
        )


def judged_sets(path: Path) -> list[Answers]:
    """The judged test sets of a report's folder. Raises ReportError."""
    folder = path if path.is_dir() else path.parent
    report = read_report(folder)
    if report.failures:
        raise ReportError(
            f"{folder}：评测机会判这次失败：{report.failures[0]}",
            f"{folder}: the judge fails this run: {report.failures[0]}",
        )
    sets = []
    for told in report.summary["testsets"]:
        mine = [row for row in report.rows if row["testset"] == told["name"]]
        columns = [[row[key] for row in mine] for key in ("question", "reference", "answer")]
        if not isinstance(seconds := told.get("seconds"), int | float):
            raise ReportError(f"{folder}：没有 seconds", f"{folder}: no seconds in it")
        sets.append(Answers(told["name"], *columns, seconds=float(seconds)))
    if not any(any(each.answers) for each in sets):
        raise ReportError(f"{folder}：里面没有回答", f"{folder}: no answer in it")
    return sets


def by_characters() -> Measure:
    """Lengths in characters."""
    return "characters", len, lambda text, cap: text[:cap]


def by_tokenizer(path: Path) -> Measure:
    """Lengths in tokens. The text's own tokens: a model may have written it with a few more.

    Raises TokenizerError.
    """
    tokenizer = load_tokenizer(path)

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False).ids

    def cut(text: str, cap: int) -> str:
        # A character cut in its middle is no character: an engine does not return it either.
        return tokenizer.decode(ids(text)[:cap], skip_special_tokens=False).rstrip("\ufffd")

    return "tokens", lambda text: len(ids(text)), cut


def curve(answered: Answers, measure: Measure, step: int | None = None) -> list[Point]:
    """Points from `step` upwards, the last at the longest answer: that is the uncapped score."""
    unit, length, cut = measure
    step = step or STEP[unit]
    lengths = [length(answer) for answer in answered.answers]
    longest, total = max(lengths), sum(lengths)
    whole = _scores(answered.references, answered.answers)
    points = []
    for cap in [*range(step, longest, step), longest]:
        texts = [
            answer if size <= cap else cut(answer, cap).strip()
            for answer, size in zip(answered.answers, lengths, strict=True)
        ]
        scores = [
            before if text == answer else rouge_l(reference, text)
            for before, text, answer, reference in zip(
                whole, texts, answered.answers, answered.references, strict=True
            )
        ]
        characters = sum(map(len, texts))
        kept = sum(min(size, cap) for size in lengths)
        change, stderr = _difference(scores, whole)
        points.append(
            Point(
                cap,
                sum(scores) / len(scores),
                change,
                stderr,
                sum(size > cap for size in lengths),
                characters,
                speed(characters, answered.seconds * kept / total),
                speed(characters, answered.seconds * cap / longest),
            )
        )
    return points


def smallest_cap(points: Sequence[Point]) -> Point:
    """The smallest cap whose score is not below the uncapped one (the last point's)."""
    return next(point for point in points if point.score >= points[-1].score - ROUNDING)


def best_cap(points: Sequence[Point], questions: int) -> Point:
    """The smallest cap of the highest score among those whose gain over the uncapped score is no
    accident (its 95 % interval is above 0); where there is none, or of fewer than FEWEST
    `questions`, the uncapped point."""
    certain = [point for point in points if point.change - 1.96 * point.stderr > 0]
    gained = certain if questions >= FEWEST else []
    highest = max((point.score for point in gained), default=0.0)
    return next((point for point in gained if point.score >= highest - ROUNDING), points[-1])


def _scores(references: Sequence[str], answers: Sequence[str]) -> list[float]:
    return [rouge_l(ref, answer) for ref, answer in zip(references, answers, strict=True)]


def _difference(scores: Sequence[float], before: Sequence[float]) -> tuple[float, float]:
    """Mean of the differences by question, and its standard error."""
    each = [new - old for new, old in zip(scores, before, strict=True)]
    mean = sum(each) / len(each)
    if len(each) < 2:
        return mean, 0.0
    return mean, (sum((d - mean) ** 2 for d in each) / (len(each) - 1) / len(each)) ** 0.5


def _told(
    answered: Answers,
    measure: Measure,
    step: int | None,
    dev: Sequence[str],
    testsets: Sequence[Path],
) -> dict[str, Any]:
    known = known_testset(answered.questions, testsets)
    named = answered.name in dev or Path(answered.name).stem.lower().startswith("dev")
    if known:
        count, name = known[1], known[0].name
        why = either(
            f"它有 {count} 题在测试集 {name} 里",
            f"{count} of its questions stand in the test set {name}",
        )
    elif not named:
        why = either(
            "名字不以 dev 开头，--dev 也没有指出它",
            "it is not called dev, and --dev does not name it",
        )
    else:
        why = ""
    points = curve(answered, measure, step)
    smallest, best = smallest_cap(points), best_cap(points, len(answered.answers))
    return {
        "name": answered.name,
        "questions": len(answered.answers),
        "is_dev": not why,
        "why_not": why,
        "cap": smallest.cap if not why else None,
        "best_score_cap": best.cap if not why and best is not points[-1] else None,
        "uncapped": {"score": points[-1].score, "speed": points[-1].by_steps},
        "points": [asdict(point) for point in points],
    }


def _show(told: dict[str, Any], unit: str) -> None:
    why, name, count = told["why_not"], told["name"], told["questions"]
    kind = either("验证集", "dev split")
    if not told["is_dev"]:
        kind = either(f"不是验证集：{why}", f"NOT A DEV SPLIT: {why}")
    words = either(IN_CHINESE[unit], unit)
    table = Table(
        title=either(f"{name}，{count} 个回答（{kind}）", f"{name}, {count} answers ({kind})"),
        title_justify="left",
    )
    en = (f"cap, {unit}", "score", "change", "±", "cut", "characters")
    zh = (f"上限，{words}", "得分", "变化", "±", "截断", "字符")
    speeds = either(("字符/秒：按词元", "按步"), ("characters/s: by tokens", "by steps"))
    for heading in (*either(zh, en), *speeds):
        table.add_column(heading, justify="right")
    for point in told["points"]:
        last = point is told["points"][-1]
        table.add_row(
            f"{point['cap']}{either('（不设上限）', ' (no cap)') if last else ''}",
            f"{point['score']:.4f}",
            f"{point['change']:+.4f}",
            f"{point['stderr']:.4f}",
            str(point["cut"]),
            f"{point['characters']:,}",
            f"{point['by_tokens']:,.0f}",
            f"{point['by_steps']:,.0f}",
            style="bold" if point["cap"] == told["cap"] else None,
        )
    console.print(table)
    if told["is_dev"]:
        for zh, en, key in (
            ("不丢分的", "that costs no score", "cap"),
            ("得分确实更高的", "that certainly scores higher", "best_score_cap"),
        ):
            if told[key] is None:
                continue
            cap = f"{told[key]} {words}"
            cap += f" (MAX_TOKENS={told[key]})" if unit == "tokens" else ""
            text = either(f"{name} 上{zh}最小上限：{cap}", f"smallest cap {en} on {name}: {cap}")
            console.print(text, highlight=False)
    else:
        text = either(f"不按 {name} 选上限：{why}", f"no cap is chosen by {name}: {why}")
        console.print(text, style="yellow")


if __name__ == "__main__":
    app()
