"""bash run.sh judging rate: a model's marks for answers, and how far to trust them.

    bash run.sh judging rate report/A --base-url http://127.0.0.1:8001/v1 --model NAME
    bash run.sh judging rate report/BASE report/TUNED --base-url … --model … --people report/chat/ratings.csv

Two reports are also compared answer against answer, in both orders.
"""  # noqa: E501

import csv
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.agreement import cohens_kappa
from common.chat_client import ChatClient, EndpointRefusesError, key_of
from common.cli import argument, option, stop
from common.intervals import difference, interval
from common.language import either, in_chinese
from judging.judge_habits import habits_of_choices, habits_of_marks, headline
from judging.model_judge import CRITERIA, REPLY_TOKENS, Chosen, Marked, ModelJudge
from judging.read_report import Report, ReportError, read_report, same_questions
from judging.verdicts import verdict

NAMES = {
    "helpful": "有用",
    "relevant": "切题",
    "concise": "简洁",
    "coherent": "通顺",
    "correct": "正确",
}
out_to = Console()


@in_chinese("让一个模型给一份报告的回答打分，或比较两份。")
def main(
    reports: Annotated[
        list[Path], argument("本地评测的一个或两个目录", "One or two folders of the local judge")
    ],
    base_url: Annotated[
        str, option("OpenAI 兼容的接口，写到 /v1 为止", "An OpenAI-compatible endpoint, to its /v1")
    ],
    model: Annotated[str, option("那里打分模型的名字", "The judging model's name there")],
    key_env: Annotated[
        str, option("存放密钥的环境变量", "Environment variable that holds the key")
    ] = "OPENAI_API_KEY",
    people: Annotated[
        Path | None,
        option(
            "人打的分（对话网页的 ratings.csv）", "Ratings by people (the chat page's ratings.csv)"
        ),
    ] = None,
    limit: Annotated[int | None, option("只看前 N 题", "Only the first N questions", min=1)] = None,
    concurrency: Annotated[int, option("同时几个调用", "Calls at once", min=1)] = 8,
    cache: Annotated[
        Path, option("回复存在这里，不再重问", "Replies are kept here, and not asked for again")
    ] = (Path("report/model_judge.jsonl")),
    price_in: Annotated[
        float, option("每百万提示词词元的价格", "Of a million prompt tokens", min=0)
    ] = 0,
    price_out: Annotated[
        float, option("每百万回答词元的价格", "Of a million answer tokens", min=0)
    ] = 0,
    json_file: Annotated[
        Path | None,
        option("逐题的分和理由写到这里", "Marks and reasons, question by question", "--json"),
    ] = None,
) -> None:
    """Let a model rate the answers of one report, or of two and compare them."""
    if len(reports) > 2:
        stop(either("最多两份报告", "two reports at most"))
    try:
        found = [read_report(folder) for folder in reports]
        rows = [each[:limit] for each in asked_rows(found)]
        rated = read_people(people) if people else {}
        key = key_of(key_env)
    except (ReportError, EndpointRefusesError, OSError) as error:
        stop(error)
    # Sampled verdicts turn by chance: what turns with the order could not be told from it.
    client = ChatClient(base_url, model, key, reply_tokens=REPLY_TOKENS, temperature=0)
    judge = ModelJudge(client, cache, concurrency)
    try:
        marks = [judge.marks(each) for each in rows]
        verdicts = judge.better(rows[0], rows[1]) if len(rows) == 2 else []
    except EndpointRefusesError as error:
        stop(str(error))
    if not any(mark for each in marks for mark in each):
        _told_spent(judge, price_in, price_out)
        stop(either("没有一个能用的评分", "not one usable rating"))
    trust = [*habits_of_marks(found, rows, marks), *habits_of_choices(rows, verdicts)]
    agreements = _agreements(rows, marks, rated) if people else []
    out_to.print(Text(headline(trust, agreements), style="bold"), soft_wrap=True)
    out_to.print(_marks_table(found, marks))
    for line in [*_pairwise(found, verdicts), *map(str, trust), *agreements]:
        out_to.print(Text(line), soft_wrap=True)
    _told_spent(judge, price_in, price_out)
    if json_file:
        told = opinions(found, rows, marks, verdicts)
        json_file.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", "utf-8")


def asked_rows(reports: Sequence[Report]) -> list[list[dict[str, Any]]]:
    """What is judged: of one report every question, with or without a reference, of two those that
    both have. Raises ReportError when they share none."""
    return [reports[0].rows] if len(reports) == 1 else same_questions(list(reports))


def opinions(
    reports: Sequence[Report],
    rows: Sequence[Sequence[dict[str, Any]]],
    marks: Sequence[Sequence[Marked | None]],
    verdicts: Sequence[Chosen | None],
) -> list[dict[str, Any]]:
    """One a question: of each report the answer, its marks and their reason, and which was
    better."""
    told = []
    for index, row in enumerate(rows[0]):
        each: dict[str, Any] = {"question": row["question"], "reference": row["reference"]}
        each["answers"] = [
            {"report": str(report.folder), "answer": answers[index]["answer"]}
            | ({"marks": mark.marks, "reason": mark.reason} if (mark := given[index]) else {})
            for report, answers, given in zip(reports, rows, marks, strict=True)
        ]
        if verdicts and (chosen := verdicts[index]):
            better = {-1: "first", 0: "tie", 1: "second"}[chosen.winner]
            each |= {"better": better, "in_order": chosen.verdicts, "reasons": chosen.reasons}
        told.append(each)
    return told


def read_people(path: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Marks by people of each (question, answer): the mean over raters, by criterion.

    The columns are those of chat/ratings.py; a later row of the same rater and answer replaces an
    earlier one. Raises ReportError naming the line at fault.
    """
    latest: dict[tuple[str, str, str], dict[str, int]] = {}
    names: list[str] = []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        columns = reader.fieldnames or []
        names = [name for name in CRITERIA if name in columns]
        if missing := {"rater", "question", "answer"} - set(columns):
            raise ReportError(
                f"{path}：没有 {', '.join(sorted(missing))} 列",
                f"{path}: no column {', '.join(sorted(missing))}",
            )
        for row in reader:
            try:
                given = {name: int(row[name]) for name in names}
            except (TypeError, ValueError) as error:
                raise ReportError(f"{path}, line {reader.line_num}: {error}") from error
            latest[row["rater"], row["question"], row["answer"]] = given
    together: dict[tuple[str, str], list[dict[str, int]]] = {}
    for (_, question, answer), given in latest.items():
        together.setdefault((question, answer), []).append(given)
    return {
        place: {name: statistics.fmean(each[name] for each in given) for name in names}
        for place, given in together.items()
    }


def _marks_table(reports: Sequence[Report], marks: Sequence[Sequence[Marked | None]]) -> Table:
    """Mean marks with their intervals, over the answers that were rated in every report."""
    whole = [given for given in zip(*marks, strict=True) if all(given)]
    title = either(f"{len(whole)} 题，1 到 5 分", f"{len(whole)} questions, marks 1 to 5")
    grid = Table(title=title)
    grid.add_column(either("项", "criterion"))
    for index, report in enumerate(reports):
        grid.add_column(Text(report.name), justify="right", overflow="fold")
        if index:
            grid.add_column(either("差", "difference"), justify="right")
    for name in CRITERIA if whole else ():
        values = [[mark.marks[name] for mark in each if mark] for each in zip(*whole, strict=True)]
        cells = []
        for index, given in enumerate(values):
            around = interval(given)
            cells.append(f"{around.mean:.2f} [{around.low:.2f}, {around.high:.2f}]")
            if index:
                gap = difference(values[0], given)
                cells.append(f"{gap.mean:+.2f} ({gap.chance})")
        grid.add_row(either(NAMES[name], name), *cells)
    return grid


def _pairwise(reports: Sequence[Report], verdicts: Sequence[Chosen | None]) -> list[str]:
    won = [each.winner for each in verdicts if each]
    if not won:
        return []
    gap = difference([0.0] * len(won), won)
    return [
        either(
            f"两两比较（先后各一次，随先后改变的算平局）：{reports[1].name} 胜 {won.count(1)}，"
            f"负 {won.count(-1)}，平 {won.count(0)}；{verdict(gap)}",
            f"answer against answer, in both orders (one that turns with the order is a tie): "
            f"{reports[1].name} won {won.count(1)}, lost {won.count(-1)}, tied {won.count(0)}; "
            f"{verdict(gap)}",
        )
    ]


def _agreements(
    rows: Sequence[Sequence[Any]],
    marks: Sequence[Sequence[Any]],
    people: dict[tuple[str, str], dict[str, float]],
) -> list[str]:
    """One line a criterion: kappa with people over the answers that both have rated."""
    shared = [
        (mark.marks, people[row["question"], row["answer"]])
        for answers, given in zip(rows, marks, strict=True)
        for row, mark in zip(answers, given, strict=True)
        if mark and (row["question"], row["answer"]) in people
    ]
    if not shared:
        return [either("没有一个回答是人也评过的", "no answer here was rated by people, too")]
    said = []
    for name in [each for each in CRITERIA if each in shared[0][1]]:
        model, human = [m[name] for m, _ in shared], [round(p[name]) for _, p in shared]
        kappa = cohens_kappa(model, human, quadratic=True)
        said.append(
            either(
                f"与人一致的程度，{NAMES[name]}：kappa {kappa:.2f}"
                f"（{len(shared)} 个回答，平方加权）",
                f"agreement with people, {name}: kappa {kappa:.2f} ({len(shared)} answers, "
                "quadratic weights)",
            )
        )
    return said


def _told_spent(judge: ModelJudge, price_in: float, price_out: float) -> None:
    spent = judge.spent
    cost = spent.cost(price_in, price_out)
    line = either(
        f"{spent.calls} 次调用，{spent.prompt_tokens:,} + {spent.answer_tokens:,} 词元，"
        f"{spent.from_cache} 次来自缓存",
        f"{spent.calls} calls, {spent.prompt_tokens:,} + {spent.answer_tokens:,} tokens, "
        f"{spent.from_cache} from the cache",
    )
    out_to.print(Text(line + (either(f"，费用 {cost:.4f}", f", cost {cost:.4f}") if cost else "")))
    for reason, count in spent.failed.items():
        out_to.print(
            Text(
                either(f"{count} 次没有评成：{reason}", f"{count} not rated: {reason}"),
                style="yellow",
            )
        )
