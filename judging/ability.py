"""General ability kept? Base and tuned model on the same multiple-choice questions, paired.

    bash run.sh judging ability BASE TUNED --task questions.jsonl       a file of one's own
    bash run.sh judging ability BASE TUNED --task cmmlu --limit 20      as the harness ships it

Either model may be one of an OpenAI endpoint: http://127.0.0.1:8000/v1#NAME.

lm-evaluation-harness asks and scores (judging/harness.py); the difference, its interval and the
verdict in words are from common/intervals.py. Kept as ability.json beside the tuned model, where
`judging experiment` finds it.

Exit code: 0; 1 when ability fell by more than --max-drop; 2 for what cannot be asked.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from common.cli import argument, option
from common.intervals import Difference, Interval, difference, interval
from common.language import either, in_chinese
from judging.ability_task import TaskError, drawn, is_file, read_choices, write_task
from judging.harness import Evaluated, Harness, HarnessError

NAME = "ability"
HARNESS_PYTHON = Path(".venv-train/bin/python")
out_to = Console()
notes_to = Console(stderr=True)


@dataclass(frozen=True)
class Ability:
    """What tuning did to `questions` general questions; scores are shares of right answers.

    guess: the share by chance, None where the tasks have no options to choose from. habit: the
    share of the letter that the base, and the tuned model, chose most often.
    """

    base_model: str
    tuned_model: str
    tasks: list[str]
    questions: int
    base: Interval
    tuned: Interval
    difference: Difference
    guess: float | None
    habit: list[float]
    by_task: dict[str, list[float]]
    metrics: dict[str, str]
    lm_eval: str
    created: str

    @property
    def tells(self) -> bool:
        """Whether the base itself is above guessing: else nothing here could be forgotten."""
        return self.guess is None or self.base.low > self.guess

    def lost(self, max_drop: float) -> bool:
        """Whether it fell by more than `max_drop`, and not by chance (95 % interval)."""
        return self.difference.mean < -max_drop and self.difference.high < 0


@in_chinese("微调后忘了原来会的吗？基座与微调后的模型答同一批通用选择题。")
def main(
    base: Annotated[
        str, argument("模型目录，或 http://…/v1#模型名", "A model directory, or http://…/v1#NAME")
    ],
    tuned: Annotated[str, argument("微调之后的，写法相同", "The same, after tuning")],
    task: Annotated[
        list[str],
        option(
            "选择题文件（jsonl，或 GAOKAO-Bench 的 json），或 lm-evaluation-harness 的题库名",
            "A jsonl or GAOKAO-Bench json of questions, or a task of the harness",
        ),
    ],
    limit: Annotated[
        int | None,
        option(
            "每个文件抽多少题（题库：取前多少题）",
            "Questions of each file (drawn) or task (the first)",
            min=1,
        ),
    ] = None,
    shots: Annotated[
        int | None, option("每题前放几个例子", "Examples before each question", min=0)
    ] = None,
    batch_size: Annotated[int, option("一次几题", "Questions at once", min=1)] = 4,
    max_drop: Annotated[
        float | None,
        option("降得比这多就以退出码 1 结束", "Exit code 1 when it falls by more", min=0, max=1),
    ] = None,
    python: Annotated[Path, option("装有 lm_eval 的 Python", "One with lm_eval")] = HARNESS_PYTHON,
    out: Annotated[
        Path | None, option("不写：放在微调后的模型旁边", "Unset: beside the tuned model")
    ] = None,
) -> None:
    """Did it forget what it knew? Base against tuned on general multiple-choice questions."""
    harness = Harness(python, limit=limit, shots=shots, batch_size=batch_size)
    try:
        found = measure(base, tuned, task, harness, out or beside(tuned), told=_note)
    except (TaskError, HarnessError, OSError) as error:
        notes_to.print(Text(str(error), style="bold red"), soft_wrap=True)
        raise typer.Exit(2) from None
    for line in sentences(found):
        out_to.print(Text(line), soft_wrap=True)
    if max_drop is not None and found.lost(max_drop):
        notes_to.print(Text(fell(found, max_drop), style="bold red"), soft_wrap=True)
        raise typer.Exit(1)


def beside(tuned: str) -> Path:
    """Where the result belongs: ability.json in the run's folder; of an export, with its name."""
    if "://" in tuned:
        return Path("report") / f"{NAME}.json"
    directory = Path(tuned)
    name = NAME if directory.name == "merged" else f"{NAME}-{directory.name}"
    return directory.resolve().parent / f"{name}.json"


def measure(
    base: str,
    tuned: str,
    tasks: Sequence[str],
    harness: Harness,
    out: Path,
    told: Callable[[str], None] = lambda text: None,
) -> Ability:
    """Ask both models, write the result as JSON to `out` and what the harness wrote beside it.

    told: is given what goes on, in words. Raises TaskError and HarnessError.
    """
    folder = out.with_suffix("")
    names, harness = _prepared(tasks, harness, folder / "tasks", told)
    results = []
    for model, place in ((base, "base"), (tuned, "tuned")):
        log = folder / place / "log.txt"
        told(either(f"正在考 {model}（进度：tail -f {log}）", f"asking {model} (see {log})"))
        results.append(harness.evaluate(model, names, folder / place))
    found = compared(base, tuned, *results)
    out.write_text(json.dumps(asdict(found), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return found


def _prepared(
    tasks: Sequence[str], harness: Harness, folder: Path, told: Callable[[str], None]
) -> tuple[list[str], Harness]:
    """Names that the harness knows, and a harness that knows them: files become tasks."""
    names: list[str] = []
    include = None
    for task in tasks:
        if not is_file(task):
            names.append(task)
            continue
        path = Path(task)
        found = read_choices(path)
        if found.left_out:
            told(
                either(
                    f"{path}：{found.left_out} 行有几个正确选项或几个小题，没有用",
                    f"{path}: {found.left_out} rows with several right letters or parts left out",
                )
            )
        name = "file_" + "".join(c if c.isalnum() else "_" for c in path.stem)
        while name in names:
            name += "_"
        write_task(folder, name, drawn(found.rows, harness.limit))
        names.append(name)
        include = folder
    limit = harness.limit if any(not is_file(task) for task in tasks) else None
    return names, replace(harness, include=include, limit=limit)


def compared(base: str, tuned: str, before: Evaluated, after: Evaluated) -> Ability:
    """The paired comparison. Raises HarnessError when the two were not asked the same."""
    if before.values.keys() != after.values.keys():
        raise HarnessError("两次的题不一样", "the two were not asked the same questions")
    places = sorted(before.values)
    first, second = ([each.values[place] for place in places] for each in (before, after))
    options = [before.choices[place] for place in places if place in before.choices]
    by_task = {}
    for name in sorted({task for task, _ in places}):
        where = [i for i, (task, _) in enumerate(places) if task == name]
        by_task[name] = [len(where), *(fmean(v[i] for i in where) for v in (first, second))]
    return Ability(
        base_model=base,
        tuned_model=tuned,
        tasks=list(by_task),
        questions=len(places),
        base=interval(first),
        tuned=interval(second),
        difference=difference(first, second),
        guess=fmean(1 / n for n in options) if len(options) == len(places) else None,
        habit=[_habit(each) for each in (before, after)] if options else [],
        by_task=by_task,
        metrics=before.metrics,
        lm_eval=before.version,
        created=time.strftime("%Y-%m-%d %H:%M:%S"),
    )


def read_ability(path: Path) -> Ability:
    """A result written by `measure`. Raises ValueError for a file that is none."""
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Ability(
            **value
            | {
                "base": Interval(**value["base"]),
                "tuned": Interval(**value["tuned"]),
                "difference": Difference(**value["difference"]),
            }
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no result of `judging ability` ({error})") from error


def sentences(found: Ability) -> list[str]:
    """The verdict in words, then what limits it."""
    gap = found.difference
    word = {1: either("通用能力变强", "general ability rose"),
            0: either("看不出通用能力有变化", "no change of general ability shown"),
            -1: either("通用能力变弱", "general ability fell")}[gap.side]  # fmt: skip
    told = [
        either(
            f"{word}：{found.questions} 题，基座答对 {found.base.mean:.1%}，微调后 "
            f"{found.tuned.mean:.1%}，差 {gap.mean:+.1%}（95 % 区间 {gap.low:+.1%} 至 "
            f"{gap.high:+.1%}，{gap.chance}；{gap.wins} 题由错变对，{gap.losses} 题由对变错）",
            f"{word}: {found.questions} questions, base {found.base.mean:.1%} right, tuned "
            f"{found.tuned.mean:.1%}, difference {gap.mean:+.1%} (95 % interval {gap.low:+.1%} to "
            f"{gap.high:+.1%}, {gap.chance}; {gap.wins} now right, {gap.losses} now wrong)",
        )
    ]
    if gap.side == 0 and gap.low < 0:
        told.append(
            either(
                f"看不出不等于没有：这些题容得下最多 {-gap.low:.1%} 的下降；题越多，越看得清",
                f"not shown is not none: a fall of up to {-gap.low:.1%} fits these answers; more "
                "questions tell more",
            )
        )
    if not found.tells:
        told.append(guesses(found))
    if found.habit:
        first, second = found.habit
        told.append(
            either(
                f"选得最多的一个选项占：基座 {first:.0%}，微调后 {second:.0%}（多在猜时会偏高）",
                f"the letter chosen most often: base {first:.0%}, tuned {second:.0%} of answers "
                "(high where a model mostly guesses)",
            )
        )
    return told


def guesses(found: Ability) -> str:
    """That the base does no better than chance here, so that nothing could be forgotten."""
    return either(
        f"基座没有明显超过瞎猜（{found.guess or 0:.0%}）：这些题说明不了它忘了什么",
        f"the base is not clearly above guessing ({found.guess or 0:.0%}): these questions cannot "
        "tell what was forgotten",
    )


def fell(found: Ability, max_drop: float) -> str:
    """That it fell by more than is allowed, in words."""
    drop = -found.difference.mean
    return either(
        f"通用能力降了 {drop:.1%}，超过允许的 {max_drop:.1%}",
        f"general ability fell by {drop:.1%}, more than the {max_drop:.1%} allowed",
    )


def _habit(found: Evaluated) -> float:
    chosen = list(found.chosen.values())
    return max(chosen.count(i) for i in range(max(found.choices.values()))) / len(chosen)


def _note(text: str) -> None:
    notes_to.print(Text(text, style="dim"), soft_wrap=True)
