"""What a comparison's numbers say in sentences, what they do not say, and what is next."""

import shlex
from collections.abc import Sequence
from typing import Any

from common.intervals import FEWEST, VERDICTS, Difference
from common.language import either, language
from judging.conclusion import standing_of
from judging.read_report import Report
from judging.run_settings import changes
from judging.scoring import judge_tokens, repeats_question, rouge_l

CONTENT = ("rougeL-zh", "chrF", "BLEU", "EM", "F1-char", "similarity")  # what is said, not how long


def verdict(gap: Difference) -> str:
    """A difference of the judge's score in words."""
    words = either(*VERDICTS[gap.side])
    numbers = f"{gap.mean:+.3f} [{gap.low:+.3f}, {gap.high:+.3f}], {gap.chance}"
    return words + either("，", ": ") + numbers


def verdicts(
    told: dict[str, Any], reports: Sequence[Report], rows: Sequence[Sequence[dict[str, Any]]]
) -> list[str]:
    """Sentences for the head of a comparison: where each report stands, better or worse than the
    first, and whatever a reader must know before believing it. rows: `same_questions` of them."""
    said = [
        f"{report.name}{either('：', ': ')}{stands(each)}"
        for report, each in zip(reports, rows, strict=True)
    ]
    for report, gap in zip(reports[1:], told["metrics"]["judge"]["differences"], strict=True):
        said.append(
            either(
                f"{report.name} 与 {reports[0].name} 相比：{verdict(gap)}；"
                f"{gap.wins} 题变好，{gap.losses} 题变差",
                f"{report.name} against {reports[0].name}: {verdict(gap)}; "
                f"{gap.wins} won, {gap.losses} lost",
            )
        )
    return [*said, *doubts(told, reports, rows)]


def stands(rows: Sequence[dict[str, Any]]) -> str:
    """Where the answers stand against the echo of the question and the contest's mark."""
    found = standing_of(*_scores(rows))
    return either(found.chinese, found.english)


def doubts(
    told: dict[str, Any], reports: Sequence[Report], rows: Sequence[Sequence[dict[str, Any]]]
) -> list[str]:
    """What a score does not say by itself; none where there is nothing to add."""
    found = []
    if len(rows[0]) < FEWEST:
        found.append(
            either(
                f"只有 {len(rows[0])} 题：什么也分不出来，区间不能当真",
                f"too few questions ({len(rows[0])}): nothing can be told, and no interval holds",
            )
        )
    found += [line for report in reports for line in _of_one(report)]
    found += [*_unscored(told, reports, rows[0]), *_idle_answers(reports, rows)]
    for index, report in enumerate(reports[1:]):
        found += _same_answers(reports[0], report, rows[0], rows[index + 1])
        found += _other_metrics(told, index, report)
        found += _other_conditions(reports[0], report)
    if len(reports) > 3:
        found.append(
            either(
                f"与第一份比了 {len(reports) - 1} 次：其中一次碰巧显得不同，比 5 % 更可能",
                f"{len(reports) - 1} comparisons with the first: that one differs by chance is "
                "likelier than 5 %",
            )
        )
    return found


def _of_one(report: Report) -> list[str]:
    found = []
    if report.failures:
        found.append(
            either(
                f"{report.name}：评测机会判失败，得 0 分（{report.failures[0]}）；这里只看回答本身",
                f"{report.name}: the judge would fail it, score 0 ({report.failures[0]}); here "
                "only its answers are looked at",
            )
        )
    if report.summary.get("demo"):
        found.append(
            either(
                f"{report.name}：演示模型，分数不代表质量",
                f"{report.name}: a demo model, whose score is no quality",
            )
        )
    return found


def _unscored(
    told: dict[str, Any], reports: Sequence[Report], rows: Sequence[dict[str, Any]]
) -> list[str]:
    """References that no answer can score on."""
    found = []
    unscored = sum(not judge_tokens(row["reference"]) for row in rows)
    if unscored == len(rows):
        found.append(
            either(
                "参考答案里没有一个英文词或数字：评测机的分必为 0，只能看别的指标",
                "no reference has a Latin word or number: the judge's score is always 0: see the "
                "others",
            )
        )
        chinese = told["metrics"]["rougeL-zh"]
        found += [
            f"{report.name}{either('，中文 ROUGE-L：', ', Chinese ROUGE-L: ')}{verdict(gap)}"
            for report, gap in zip(reports[1:], chinese["differences"], strict=True)
        ]
    elif unscored:
        found.append(
            either(
                f"{unscored} 题的参考答案没有计分的词，怎么答都是 0",
                f"references without a word that counts, where every answer scores 0: {unscored}",
            )
        )
    return found


def _idle_answers(reports: Sequence[Report], rows: Sequence[Sequence[dict[str, Any]]]) -> list[str]:
    """Answers that answer nothing: empty ones, and the question again."""
    found = []
    for report, each in zip(reports, rows, strict=True):
        if empty := sum(not row["answer"].strip() for row in each):
            found.append(
                either(
                    f"{report.name}：{empty} 个回答是空的", f"{report.name}: {empty} empty answers"
                )
            )
    repeats = [
        sum(repeats_question(r["question"], r["reference"], r["answer"]) for r in each)
        for each in rows
    ]
    if any(repeats):
        counts = either("，", ", ").join(
            either(f"{report.name} {n} 题", f"{report.name}: {n}")
            for report, n in zip(reports, repeats, strict=True)
        )
        found.append(
            either(
                f"几乎只是把问题重说一遍的回答（其中的英文词评测机照样给分）：{counts}",
                f"answers that do little but say their question again (its Latin words score all "
                f"the same): {counts}",
            )
        )
    return found


def _same_answers(
    first: Report,
    report: Report,
    before: Sequence[dict[str, Any]],
    now: Sequence[dict[str, Any]],
) -> list[str]:
    """Answers alike to the letter: the same model, or a change that did not reach the service."""
    if any(a["answer"] != b["answer"] for a, b in zip(before, now, strict=True)):
        return []
    return [
        either(
            f"{report.name} 与 {first.name} 的回答一字不差：是同一个模型，或者改动没有生效",
            f"{report.name} and {first.name} answer alike to the letter: the same model, or what "
            "was changed had no effect",
        )
    ]


def _other_metrics(told: dict[str, Any], index: int, report: Report) -> list[str]:
    """Whether what is said changed as the judge's score did."""
    gaps = {name: each["differences"][index] for name, each in told["metrics"].items()}
    side = gaps["judge"].side
    labels = {name: told["metrics"][name]["label"] for name in gaps}
    other = {name: gaps[name].side for name in CONTENT if name in gaps}
    against = [labels[name] for name, each in other.items() if each == -side]
    with_it = [name for name, each in other.items() if each == side]
    if side and against:
        names = either("、", ", ").join(against)
        return [
            either(
                f"{report.name}：评测机的分{'提高' if side > 0 else '降低'}了，{names}却相反",
                f"{report.name}: the judge's score {'rose' if side > 0 else 'fell'}, but {names} "
                "went the other way",
            )
        ]
    if side > 0 and not with_it:
        names = either("、", ", ").join(labels[name] for name in other)
        return [
            either(
                f"{report.name}：只有评测机的分提高了，{names} 都看不出提高：不一定答得更对",
                f"{report.name}: only the judge's score rose, none of {names} shows a gain: the "
                "answers need not be more correct",
            )
        ]
    return []


def _other_conditions(first: Report, report: Report) -> list[str]:
    differ = changes(report, first)
    found = []
    if bool(first.book) != bool(report.book):
        with_book = report if report.book else first
        found.append(
            either(
                f"只有 {with_book.name} 翻着书作答：差别里有书的功劳，不能都算作模型的",
                f"only {with_book.name} had the book at hand: the difference is the book's, too, "
                "not the model's alone",
            )
        )
    if len(differ) > 1:
        found.append(
            either(
                f"{report.name} 同时改了 {len(differ)} 样，分不清是哪一样的作用："
                f"{'；'.join(differ)}",
                f"{report.name} changed {len(differ)} things at once, and which one did it cannot "
                f"be told: {'; '.join(differ)}",
            )
        )
    return found


def next_step(
    told: dict[str, Any], reports: Sequence[Report], rows: Sequence[Sequence[dict[str, Any]]]
) -> tuple[str, str]:
    """The one thing to do next, in words, and its command."""
    last = reports[-1]
    if len(reports) == 1 or last.failures:
        said = last.summary.get("conclusion")
        said = said if isinstance(said, dict) else {}
        words = str(said.get(language(), "")).rstrip("：:")
        return words.rpartition(either("。", ". Next, "))[2], str(said.get("command", ""))
    side = told["metrics"]["judge"]["differences"][-1].side
    found = standing_of(*_scores(rows[-1]))
    ready = side > 0 and found.over_echo > 0 and found.over_wanted >= 0 and not last.failures
    if ready:
        sets = shlex.join(str(each["path"]) for each in last.summary["testsets"] if "path" in each)
        directory = shlex.quote(str(last.model_dir)) if last.model_dir else "模型目录"
        return (
            either("有提升，提交前检查", "better: check it before the push"),
            f"bash run.sh preflight --model-dir {directory} {sets}".rstrip(),
        )
    words = {
        1: either("有提升，还不够", "better, and not enough yet"),
        0: either("看不出差别，别为它用掉一次提交", "no difference: spend no attempt on it"),
        -1: either("变差，留着第一份", "worse: keep the first"),
    }[side]
    run = last.model_dir.parent if last.model_dir else None
    if run and (run / "verdict.json").is_file():
        judged = f"--judged {shlex.quote(str(last.folder))}"
        why = either("；看哪里失分", "; see what costs score")
        return words + why, f"bash run.sh train advise {shlex.quote(str(run))} {judged}"
    if not last.book:
        book = either("；规则允许就翻着书作答", "; have the book at hand, if the rules allow it")
        return words + book, "bash run.sh retrieval build 教材.docx --out index"
    return (
        words + either("；看历次改了什么", "; see what was changed so far"),
        f"bash run.sh judging runs {shlex.quote(str(last.folder.parent))}",
    )


def _scores(rows: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Scores and those of the echo, which rows of another tool do not tell."""
    echoes = [row.get("echo") for row in rows]
    return [row["score"] for row in rows], [
        rouge_l(row["reference"], row["question"]) if echo is None else float(echo)
        for row, echo in zip(rows, echoes, strict=True)
    ]
