"""Reports as they also come: no references, failures, duplicates, one question, no Latin word."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from judging import forecast, runs
from judging.history import against
from judging.read_report import ReportError, read_report, scored_rows
from judging.run_settings import changes
from judging.scoring import repeats_question, score_item
from tests.reports_made import QUESTIONS, write_report

GOOD = [reference for _, reference in QUESTIONS]
BAD = ["不知道 x"] * len(QUESTIONS)


def call(app, *arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def compare(*arguments: object, code: int = 0) -> str:
    pytest.importorskip("sacrebleu")
    from judging import compare as command

    return call(command.app, *arguments, code=code)


def edit(report: Path, change) -> Path:
    """Every row of a report changed, dropped (None) or doubled (a list)."""
    path = report / "answers.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    found = []
    for index, row in enumerate(rows):
        new = change(index, row)
        found += new if isinstance(new, list) else [new] if new else []
    path.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")
    return report


def summary(report: Path, **changes: object) -> Path:
    path = report / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")
    return report


def test_the_head_says_where_each_stands_and_what_is_next(tmp_path: Path) -> None:
    base = write_report(tmp_path / "a", BAD, "base")
    tuned = write_report(tmp_path / "b", GOOD, "tuned")
    shown = compare(base, tuned)
    head = shown[: shown.index("┏")]
    assert "base · a: accuracy 0.000 ± 0.000 (95 %): below the echo of the question" in head
    assert "tuned · b: accuracy 1.000" in head and "above the contest's 0.35" in head
    # A service that does not say where its model lies is no reason to say "not enough yet".
    assert "Next: better: check it before the push bash run.sh preflight" in head
    same = compare(base, write_report(tmp_path / "c", BAD))
    assert "no difference: spend no attempt on it" in same
    assert "answer alike to the letter" in same and "to the letter" not in shown


@pytest.mark.parametrize("reference", [None, "", "  "])
def test_without_references_nothing_is_scored_and_it_is_said(tmp_path: Path, reference) -> None:
    def drop(index: int, row: dict) -> dict:
        return row | {"reference": reference, "score": None}

    bare = edit(write_report(tmp_path / "a", GOOD), drop)
    assert "no question has a reference" in compare(bare, code=2)
    assert "no question has a reference" in call(forecast.app, bare, code=2)
    half = edit(write_report(tmp_path / "b", GOOD), lambda i, r: drop(i, r) if i % 2 else r)
    shown = compare(half, write_report(tmp_path / "c", BAD))
    assert "3 questions without a reference are left out" in shown
    assert "too few questions (3): nothing can be told" in shown
    assert "3 questions have no reference" in call(forecast.app, half)


def test_a_question_asked_twice_counts_once(tmp_path: Path) -> None:
    twice = edit(write_report(tmp_path / "a", GOOD), lambda i, row: [row, row])
    assert len(scored_rows(read_report(twice).rows)) == 6
    shown = compare(twice, write_report(tmp_path / "b", BAD))
    assert "6 questions are asked more than once and count once" in shown and "0 won, 6" in shown
    assert forecast.forecast_all(read_report(twice)) == forecast.forecast_all(
        read_report(write_report(tmp_path / "c", GOOD))
    )
    assert "given twice" in compare(twice, twice, code=2)


def test_one_question_shows_no_difference_however_large(tmp_path: Path) -> None:
    def first(index: int, row: dict) -> dict | None:
        return row if index == 0 else None

    bad = edit(write_report(tmp_path / "a", BAD), first)
    good = edit(write_report(tmp_path / "b", GOOD), first)
    shown = compare(bad, good)
    assert "no difference shown: +1.000" in shown and "too few questions (1)" in shown
    assert "not told apart from the contest's 0.35" in shown
    assert "as good as unknown" in call(forecast.app, good)


def test_other_test_sets_are_told_apart(tmp_path: Path) -> None:
    first = write_report(tmp_path / "a", GOOD)
    other = edit(write_report(tmp_path / "b", GOOD), lambda i, r: r | {"reference": "别的 x"})
    assert "6 questions are alike but their references differ" in compare(first, other, code=2)
    asked = edit(write_report(tmp_path / "c", GOOD), lambda i, r: r | {"question": f"另 {i}"})
    assert "no question in common" in compare(first, asked, code=2)
    # The same name and number of questions make no common test set.
    table = call(runs.app, tmp_path)
    assert "against the last" in table and "better" not in table and "no difference" not in table


def test_a_failed_run_and_empty_answers_are_named(tmp_path: Path) -> None:
    good = write_report(tmp_path / "a", GOOD)
    failed = summary(write_report(tmp_path / "b", [""] * 6), failures=["t: POST: 500"])
    shown = compare(good, failed)
    assert "the judge would fail it, score 0 (t: POST: 500)" in shown
    assert "m · b: 6 empty answers" in shown
    assert "this one would fail" in call(forecast.app, failed)
    assert "the newest would fail: t: POST: 500" in call(runs.app, tmp_path)


def test_without_a_latin_word_the_judges_score_says_nothing(tmp_path: Path) -> None:
    def chinese(answers: list[str]):
        def change(index: int, row: dict) -> dict:
            row |= {"question": f"第{'一二三四五六'[index]}题？", "reference": "参考答案全是汉字"}
            return row | {"answer": answers[index], "score": 0.0, "echo": 0.0}

        return change

    bad = edit(write_report(tmp_path / "a", BAD), chinese(["不知道"] * 6))
    good = edit(write_report(tmp_path / "b", BAD), chinese(["参考答案全是汉字"] * 6))
    shown = compare(bad, good)
    assert "no reference has a Latin word" in shown
    assert "m · b, Chinese ROUGE-L: better: +1.000" in shown


def test_a_book_on_one_side_and_several_changes_are_said(tmp_path: Path) -> None:
    plain = write_report(tmp_path / "a", BAD, "base", max_tokens=96, retrieval_passages=2)
    book = write_report(tmp_path / "b", GOOD, "tuned", max_tokens=48, retrieval_passages=3)
    assert changes(read_report(book), read_report(plain)) == [
        "base → tuned", "MAX_TOKENS=96 → 48",
    ]  # fmt: skip
    summary(book, book="with the book at hand: b.docx")
    shown = compare(plain, book)
    assert "only tuned · b had the book at hand" in shown
    assert "changed 4 things at once" in shown and "RETRIEVAL_PASSAGES=2 → 3" in shown
    told = {"retrieval": {"books": "b.docx", "passages_a_question": 3}}
    chinese = summary(write_report(tmp_path / "d", GOOD), book="翻着书作答：b.docx", info=told)
    english = summary(write_report(tmp_path / "e", GOOD), book="with b.docx", info=told)
    assert changes(read_report(chinese), read_report(english)) == []
    more = {"retrieval": {"books": "b.docx", "passages_a_question": 3, "examples": ["问？"]}}
    for name, shown, retrieval in (("f", False, told), ("g", True, more)):
        folder = write_report(tmp_path / name, GOOD, retrieval_examples=shown)
        settings = json.loads((folder / "summary.json").read_text("utf-8"))["info"]["settings"]
        summary(folder, info={"settings": settings, **retrieval})
    reports = [read_report(tmp_path / name) for name in ("g", "f")]
    assert reports[0].book.endswith("1 worked examples")
    assert changes(*reports) == ["RETRIEVAL_EXAMPLES=False → True"], "one change, told once"
    silent = summary(write_report(tmp_path / "c", GOOD, "tuned"), info=None)
    assert changes(read_report(silent), read_report(plain)) == ["base → tuned"]


def test_a_gain_of_the_judges_score_alone_is_called_that(tmp_path: Path) -> None:
    pytest.importorskip("sacrebleu")
    questions = [f"为什么 kernel{n} 的 warp{n} 会分歧？" for n in range(12)]

    def change(answer: str):
        def one(index: int, row: dict) -> list[dict]:
            rows = []
            for number in (2 * index, 2 * index + 1):
                reference = f"kernel{number} 中 warp{number} 的线程分支不同，只能先后执行。"
                given = questions[number] if answer == "echo" else answer
                scored = score_item(reference, given, questions[number])
                told = {"question": questions[number], "reference": reference, "answer": given}
                rows.append(row | told | {"score": scored.score, "echo": scored.echo})
            return rows

        return one

    plain = "线程分支不同，只能先后执行。"
    first = edit(write_report(tmp_path / "a", BAD), change(plain))
    echo = edit(write_report(tmp_path / "b", BAD), change("echo"))
    shown = compare(first, echo)
    assert "better: +1.000" in shown and "went the other way" in shown
    assert "say their question again" in shown and "m · b: 12" in shown


def test_what_repeats_its_question_is_no_answer_to_it() -> None:
    question = "GPU 的 SM 如何通过切换线程束来隐藏长延迟操作？"
    reference = "SM 在一个 warp 等待时切换到另一个就绪的 warp，不必等待。"
    assert repeats_question(question, reference, "GPU 的 SM 通过切换线程束来隐藏长延迟操作。")
    assert repeats_question(question, reference, question)
    assert not repeats_question(question, reference, reference)
    assert not repeats_question(question, reference, "") and not repeats_question(
        "问？", "答", "无"
    )
    number, told = "在 CUDA 中一个 warp 有多少个线程？", "在 CUDA 中一个 warp 有 32 个线程。"
    assert not repeats_question(number, told, "在 CUDA 中一个 warp 有 64 个线程。")
    words = "在 CUDA 中一个 warp 有三十二个线程。"
    assert not repeats_question(number, words, words)


def test_rows_of_another_tool_are_scored_here(tmp_path: Path) -> None:
    names = ("question", "reference", "answer")
    bare = edit(write_report(tmp_path / "a", GOOD), lambda i, row: {n: row[n] for n in names})
    whole = write_report(tmp_path / "b", GOOD)
    assert [row["score"] for row in read_report(bare).rows] == [1.0] * 6
    assert "accuracy 1.000 ± 0.000 (95 %): above the echo of the question (0.539)" in compare(bare)
    assert "no difference shown: +0.000" in compare(bare, whole)
    assert "? │ 6 │ 1.000" in call(forecast.app, bare)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"score": "x"}, "score 'x' is not within 0 and 1"),
        ({"score": 7}, "score 7 is not within"),
        ({"score": float("nan")}, "score nan is not within"),
        ({"answer": None}, "line 1: no answer"),
        ({"reference": 3}, "its reference is no text"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(tmp_path: Path, change: dict, told: str) -> None:
    report = edit(write_report(tmp_path / "a", GOOD), lambda i, row: row | change)
    with pytest.raises(ReportError, match=told):
        read_report(report)


@pytest.mark.parametrize(
    "change", [{"testsets": None}, {"total": {"accuracy": "x"}}, {"total": [1]}]
)
def test_a_summary_with_broken_numbers_is_named(tmp_path: Path, change: dict) -> None:
    report = summary(write_report(tmp_path / "a", GOOD), **change)
    with pytest.raises(ReportError, match=r"summary\.json: (testsets|total)"):
        read_report(report)
    assert "no report" in call(runs.app, tmp_path, code=2)


def test_any_conclusion_and_any_info_can_be_compared(tmp_path: Path) -> None:
    odd = summary(write_report(tmp_path / "a", GOOD), conclusion="x", info=[1], deviations=["--l"])
    assert "accuracy 1.000" in compare(odd)
    compare(odd, write_report(tmp_path / "b", BAD))


def test_a_new_judgement_is_told_against_its_base_and_the_last_run(tmp_path: Path) -> None:
    model = str(tmp_path / "base")
    write_report(tmp_path / "a", BAD, "base", "2026-01-01", model_dir=model)
    write_report(tmp_path / "b", GOOD, "tuned", "2026-01-02", max_tokens=96)
    edit(write_report(tmp_path / "other", GOOD, "x", "2026-01-03"), lambda i, r: r if i else None)
    new = read_report(write_report(tmp_path / "new" / "c", GOOD, "tuned", max_tokens=48))
    lora = {"stage": "lora", "settings": {"model_name_or_path": model}}
    new.summary["info"]["model"] = {"manifest": {"stage": "merge", "parents": [lora]}}
    first, second = against(new.summary, new.rows, tmp_path)
    assert first.startswith("against its base (base · a): better: +1.000")
    assert second.startswith("against the last run (tuned · b): no difference shown")
    assert second.endswith("Changed: MAX_TOKENS=96 → 48")
    assert against(new.summary, new.rows, tmp_path / "nowhere") == []
    assert against(new.summary | {"failures": ["late"]}, new.rows, tmp_path) == []


def test_runs_stand_beside_what_the_judge_said(tmp_path: Path) -> None:
    write_report(tmp_path / "a", BAD, "base", "2026-01-01", max_tokens=96)
    write_report(tmp_path / "b", GOOD, "tuned", "2026-01-02", max_tokens=48)
    log = tmp_path / "log.jsonl"
    sent = {"number": 3, "pushed": "x", "commit": "c", "report": "b"}
    sent |= {"predicted": {"accuracy": 0.9, "low": 0.8, "high": 1.0}}
    log.write_text(json.dumps(sent | {"result": {"accuracy": 0.41}}) + "\n", "utf-8")
    shown = call(runs.app, tmp_path, "--log", log, "--csv", tmp_path / "runs.csv")
    assert "#3 0.410" in shown and "outside its" in shown
    assert "the highest of 2 on these questions: tuned · b, 1.000" in shown
    with (tmp_path / "runs.csv").open(encoding="utf-8-sig", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert (first["max_tokens"], second["max_tokens"]) == ("96", "48")
    assert second["changed"] == "base → tuned; MAX_TOKENS=96 → 48" and second["judge"][:2] == "#3"


def test_fifty_runs_in_a_plot_can_be_read(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    report = read_report(write_report(tmp_path / "20260101-000000", GOOD, "qwen2.5-0.5b"))
    told = report.summary | {"total": report.summary["total"] | {"echo": None}}
    for count in (3, 50):
        reports = [replace(report, summary=told), *[report] * (count - 1)]
        figure = Figure(figsize=runs._size(reports), layout="constrained")
        runs._drawn(figure, reports, "png", lambda zh, en: en)
        above, below = figure.axes
        boxes = [each.get_window_extent() for each in below.get_xticklabels()]
        assert all(a.x1 <= b.x0 for a, b in zip(boxes, boxes[1:], strict=False))
        (echoes,) = [line for line in above.lines if line.get_marker() == "_" and line.get_ms() > 9]
        assert len(echoes.get_xdata()) == count - 1  # one run without hides no other's
        assert above.get_legend().get_window_extent().y0 >= above.bbox.y1  # covers no point


def test_the_forecast_takes_each_sample_for_the_set_of_its_name(tmp_path: Path) -> None:
    def named(index: int, row: dict) -> dict:
        return row | {"testset": "my_basic" if index < 3 else "my_bonus"}

    report = read_report(edit(write_report(tmp_path / "a", GOOD[:3] + BAD[3:]), named))
    assert forecast.forecast_all(report).mean == pytest.approx(292 / 650)
    shown = call(forecast.app, report.folder)
    assert "not certain to be enough for the contest's 0.35" in shown
    assert "my_basic │ 3 │ 1.000" in shown and "│ – │ 0.000" in shown
    plain = read_report(write_report(tmp_path / "b", GOOD[:3] + BAD[3:]))
    assert forecast.forecast_all(plain).mean == pytest.approx(0.5)
