"""Reports read again: compared, listed, forecast, and written up as an experiment."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.manifest import FileRecord, Manifest, write_manifest
from judging import experiment, forecast, runs
from judging.experiment_cases import chosen_cases
from judging.experiment_methods import methods
from judging.read_report import ReportError, read_report, same_questions
from judging.run_files import RunFiles
from tests.reports_made import QUESTIONS, write_report

GOOD = [reference for _, reference in QUESTIONS]
BAD = ["不知道 x"] * len(QUESTIONS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_report(tmp_path / "a", BAD, "base", "2026-01-01", max_tokens=48,
                 model_dir=str(tmp_path / "base"))  # fmt: skip
    write_report(tmp_path / "b", GOOD, "tuned", "2026-01-02", max_tokens=96,
                 model_dir=str(tmp_path / "out" / "merged"))  # fmt: skip
    return tmp_path


def call(app, *arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_two_reports_are_compared_question_by_question(folder: Path) -> None:
    pytest.importorskip("sacrebleu")
    from judging import compare

    shown = call(compare.app, folder / "a", folder / "b", "--json", folder / "c.json")
    assert "better: +1.000 [+1.000, +1.000]" in shown and "6 won, 0 lost" in shown
    told = json.loads((folder / "c.json").read_text("utf-8"))
    assert told["questions"] == 6 and set(told["metrics"]) >= {"judge", "chrF", "BLEU"}
    assert told["metrics"]["judge"]["differences"][0]["mean"] == pytest.approx(1.0)
    assert "worse: -1.000" in call(compare.app, folder / "b", folder / "a")
    assert "no report" in call(compare.app, folder / "none", code=2)
    above = call(compare.app, folder, code=2)
    assert f"no report of the local judge (summary.json); the last one in it: {folder}" in above


def test_a_comparison_is_written_with_its_chart(folder: Path) -> None:
    pytest.importorskip("sacrebleu")
    from judging import compare

    call(compare.app, folder / "a", folder / "b", "--out", folder / "page")
    text = (folder / "page/compare.md").read_text("utf-8")
    assert "better: +1.000" in text and "(compare-1.png)" in text
    assert (folder / "page/compare-1.png").read_bytes().startswith(b"\x89PNG")
    assert "data:image/png;base64," in (folder / "page/compare.html").read_text("utf-8")
    call(compare.app, folder / "a", "--out", folder / "alone")
    assert not list((folder / "alone").glob("*.png"))


@pytest.mark.parametrize(("gains", "shown"), [((0.5, 0.25), "blue"), ((-0.5, -0.25), "orange")])
def test_the_chart_shows_which_way_it_went(gains: tuple[float, ...], shown: str) -> None:
    import io

    from PIL import Image

    from common.intervals import difference
    from judging.compare_chart import difference_chart

    gains = gains * 10
    whole = difference([0.0] * 20, gains)
    picture = Image.open(io.BytesIO(difference_chart(whole, {"比较": (20, whole)}, gains)))
    colors = {tuple(each[1][:3]) for each in picture.convert("RGB").getcolors(1 << 20)}
    found = {"blue": (0x2A, 0x6F, 0xBB) in colors, "orange": (0xD9, 0x82, 0x2B) in colors}
    assert found == {"blue": shown == "blue", "orange": shown == "orange"}


def test_only_shared_questions_are_compared(folder: Path) -> None:
    lines = (folder / "b" / "answers.jsonl").read_text("utf-8").splitlines(keepends=True)
    (folder / "b" / "answers.jsonl").write_text("".join(lines[2:]), "utf-8")
    first, second = same_questions([read_report(folder / "a"), read_report(folder / "b")])
    assert [row["question"] for row in first] == [question for question, _ in QUESTIONS[2:]]
    assert [row["answer"] for row in second] == GOOD[2:]
    (folder / "b" / "answers.jsonl").write_text(lines[0] + "{\n", "utf-8")
    with pytest.raises(ReportError, match=r"answers\.jsonl, line 2: not JSON"):
        read_report(folder / "b")


def test_the_table_of_runs_says_what_changed(folder: Path) -> None:
    shown = call(runs.app, folder, "--plot", folder / "runs.svg")
    assert "(changed: base → tuned; MAX_TOKENS=48 → 96)" in shown.replace("\n", " ")
    assert "against the last: better: +1.000" in shown and "above the contest's 0.35" in shown
    assert "1.000" in shown and (folder / "runs.svg").read_text("utf-8").count("<svg") == 1
    by_score = call(runs.app, folder, "--sort", "accuracy")
    by_score = by_score[by_score.index("━") :]
    assert by_score.index("base") < by_score.index("1.000")
    call(runs.app, folder / "a", code=2)


def test_the_forecast_widens_with_fewer_questions(folder: Path) -> None:
    mixed = write_report(folder / "c", GOOD[:3] + BAD[3:])
    shown = call(forecast.app, mixed)
    assert "0.500 [" in shown
    report = read_report(mixed)
    small, large = forecast.forecast(report, 10), forecast.forecast(report, 358)
    assert small.mean == large.mean == pytest.approx(0.5)
    assert 0 <= small.low < large.low < large.high < small.high <= 1


def trained(folder: Path) -> Path:
    """A run's folder as training leaves it."""
    out = folder / "out"
    data = Manifest(stage="data", name="book.md", counts={"kept": 87},
                    settings={"excluded": {"testset.docx": "0"}},
                    inputs=[FileRecord(path="book.md", bytes=10, sha256="0")])  # fmt: skip
    settings = {"model_name_or_path": str(folder / "base"), "quantization_bit": 4}
    settings |= {"dataset_dir": str(folder), "train_file": "train.jsonl", "learning_rate": 1e-4}
    lora = Manifest(stage="lora", name="out", settings=settings, counts={"train_rows": 87},
                    seconds=120, versions={"torch": "2"}, parents=[data])  # fmt: skip
    (out / "merged").mkdir(parents=True)
    write_manifest(out / "merged", Manifest(stage="merge", name="merged", parents=[lora]))
    verdict = {"verdict": "better", "questions": 40, "base": 0.2, "tuned": 0.3}
    verdict |= {"difference": 0.1, "low": 0.05, "high": 0.15}
    (out / "verdict.json").write_text(json.dumps(verdict))
    row = {
        "messages": [
            {"role": "user", "content": "问|题"},
            {"role": "assistant", "content": "答\n案"},
        ]
    }
    again = {"question": "换个问法", "answer": "答\n案"}
    (folder / "train.jsonl").write_text(f"{json.dumps(row)}\n{json.dumps(again)}\n")
    return out


def test_the_experiments_report_in_three_forms(folder: Path) -> None:
    pytest.importorskip("sacrebleu")
    from docx import Document

    out = trained(folder)
    call(experiment.app, out, "--reports", folder)
    text = (out / "experiment.md").read_text("utf-8")
    assert "QLoRA (4 bit)" in text and "no price given" in text
    assert "better" in text and "0.200 → 0.300" in text and "问\\|题" in text
    assert "tuned · b against base · a: better: +1.000" in text
    assert "tuned · b: accuracy 1.000" in text and "base · a: accuracy 0.000" in text
    assert "Next: better" in text and "```\nbash run.sh " in text
    assert "merged: 1.000 \\[1.000, 1.000\\], +1.000" in text
    assert "None of the 6 judged questions stands in the 2 training rows" in text
    page = (out / "experiment.html").read_text("utf-8")
    assert "<table>" in page and "答<br>案" in page
    word = Document(str(out / "experiment.docx"))
    assert len(word.tables) >= 5 and any("better" in p.text for p in word.paragraphs)
    cells = [cell.text for table in word.tables for row in table.rows for cell in row.cells]
    assert "问|题" in cells and "book.md" not in cells
    assert "testset.docx" in cells and "pairs kept" in cells
    assert "换个问法" not in cells  # one answer is one sample, however often it is asked for


def test_a_report_without_a_judgement_says_so(tmp_path: Path) -> None:
    out = trained(tmp_path)
    call(experiment.app, out, "--reports", tmp_path / "none")
    assert "No judgement on a test set" in (out / "experiment.md").read_text("utf-8")
    assert "no training run" in call(experiment.app, tmp_path / "none", code=2)


def test_a_word_table_gives_room_where_the_text_is(tmp_path: Path) -> None:
    from docx import Document as Word
    from docx.oxml.ns import qn
    from matplotlib.figure import Figure

    from judging.document import Document, Grid, Heading, Paragraph, Picture
    from judging.word import to_word, widths

    table = Grid(["", "得分", "回答"], [["参考", "0.5", "很长的回答。" * 90], ["b", "1", "短"]])
    label, score, answer = widths(table)
    assert answer > 10 and label + score + answer == pytest.approx(16.6) and label == score == 1.7
    assert widths(Grid(["a", "b"], [["x" * 500, "y" * 90]])) == [8.3, 8.3]
    assert len(set(widths(Grid(["x"] * 12, [["1"] * 12])))) == 1
    Figure(figsize=(2, 8)).savefig(tmp_path / "tall.png")
    tall = Picture((tmp_path / "tall.png").read_bytes(), "高")
    over = Paragraph("表的说明")
    to_word(Document([Heading(1, "题"), over, table, Paragraph("x"), tall]), tmp_path / "w.docx")
    word = Word(str(tmp_path / "w.docx"))
    told = next(each for each in word.paragraphs if each.text == "表的说明")
    assert told.paragraph_format.keep_with_next
    shape = word.inline_shapes[0]
    assert shape.height.cm == pytest.approx(11.5) and shape.height / shape.width == pytest.approx(4)
    section = word.sections[0]
    assert (round(section.page_width.cm), round(section.page_height.cm)) == (21, 30)
    assert [row._tr.trPr.find(qn("w:cantSplit")) is not None for row in word.tables[0].rows] == [
        True, False, True,
    ]  # fmt: skip
    first, *others = word.tables[0].rows
    assert first._tr.trPr.find(qn("w:tblHeader")) is not None
    assert all(row._tr.trPr.find(qn("w:tblHeader")) is None for row in others)
    fonts = word.styles["Normal"].element.rPr.rFonts
    assert fonts.get(qn("w:eastAsia")) == "宋体"
    languages = {each.get(qn("w:eastAsia")) for each in word.styles.element.iter(qn("w:lang"))}
    assert languages == {"zh-CN"}


def test_cases_are_never_only_wins() -> None:
    gains = [0.5, -0.5, 0.1, 0.0, -0.2, 0.9, 0.0]
    chosen = chosen_cases(gains)
    assert list(chosen.values())[:2] == [[5, 0], [1, 4]]
    assert len(set(sum(chosen.values(), []))) == 6
    # Where nothing won or lost there are still as many to read.
    assert [len(each) for each in chosen_cases([0.0] * 9).values()] == [0, 0, 6]
    assert sorted(sum(chosen_cases(gains, len(gains)).values(), [])) == list(range(7))
    assert [len(each) for each in chosen_cases([0.3]).values()] == [1, 0, 0]


def test_test_questions_among_the_data_are_called_a_leak(folder: Path) -> None:
    pytest.importorskip("sacrebleu")
    out = trained(folder)
    row = {"question": QUESTIONS[0][0].replace("？", " ?"), "answer": "x"}
    with (folder / "train.jsonl").open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")
    found = {"testset": "t.docx", "tests": 6, "removed": 2, "survivors": [{"similarity": 0.7}]}
    found |= {"thresholds": {"question": 0.85}}
    usage = {"calls": 9, "prompt_tokens": 1000, "answer_tokens": 50, "cost": 0.25}
    (folder / "report.json").write_text(json.dumps({"leaks": [found], "usage": usage}))
    call(experiment.app, out, "--reports", folder, "--gpu-price", 6)
    text = (out / "experiment.md").read_text("utf-8")
    assert "LEAK: 1 judged questions stand in the training data" in text
    assert "t.docx, 6 questions: 2 pairs removed, the nearest left is 0.70 alike" in text
    assert "1,000 + 50 tokens · 0.25" in text and "| cost of training | 0.20 |" in text


def test_reports_of_other_test_sets_do_not_spoil_an_experiment(folder: Path) -> None:
    pytest.importorskip("sacrebleu")
    out = trained(folder)
    newest = write_report(folder / "c", GOOD, "tuned", "2026-01-09",
                          model_dir=str(out / "merged"))  # fmt: skip
    lines = (newest / "answers.jsonl").read_text("utf-8").replace("？", "？？")
    (newest / "answers.jsonl").write_text(lines, "utf-8")
    run = experiment.read_run(out)
    found = experiment.judged_models([run], folder)
    assert [each.folder.name for each in found] == ["a", "b"]
    (folder / "a" / "summary.json").unlink()
    found = experiment.judged_models([run], folder)
    assert [each.folder.name for each in found] == ["c"]
    call(experiment.app, out, "--reports", folder)
    assert "Only one model was judged" in (out / "experiment.md").read_text("utf-8")


def test_methods_side_by_side_say_what_else_differs(folder: Path) -> None:
    pytest.importorskip("sacrebleu")
    first, second = trained(folder), folder / "full"
    settings = {"model_name_or_path": str(folder / "base"), "seed": 1}
    full = Manifest(stage="full", name="full", settings=settings, counts={"train_rows": 87},
                    seconds=480)  # fmt: skip
    (second / "merged").mkdir(parents=True)
    write_manifest(second / "merged", Manifest(stage="merge", name="merged", parents=[full]))
    write_report(folder / "f", BAD, "merged", "2026-01-04", model_dir=str(second / "merged"))
    call(experiment.app, first, second, "--reports", folder)
    text = (first / "experiment.md").read_text("utf-8").replace("\\", "")
    assert "| method | QLoRA (4 bit) | full fine-tuning |" in text
    assert "differ in more than the method: seed." in text
    # In sentences: the shortest, and each against each; memory was not measured.
    assert "Training time (minutes): out 2.0, full 8.0; the least, of out, is 25% of full" in text
    assert "Score, full against out, question by question: worse: -1.000" in text
    assert "Peak GPU memory (GB)" not in text


def test_runs_brought_from_another_machine_keep_their_scores(folder: Path) -> None:
    pytest.importorskip("sacrebleu")
    out = trained(folder)
    path = out / "merged/manifest.json"
    told = json.loads(path.read_text("utf-8"))
    told["parents"][0] |= {"stage": "full"}
    told["parents"][0]["settings"] |= {"output_dir": "/gpu/out/try", "lora_rank": 16}
    path.write_text(json.dumps(told), "utf-8")
    (out / "samples").mkdir()
    (out / "samples/step-0.jsonl").write_text(json.dumps({"question": QUESTIONS[0][0]}) + "\n")
    write_report(folder / "e", GOOD, "merged", "2026-01-05", model_dir="/gpu/out/try/merged")
    found = experiment.judged_models([experiment.read_run(out)], folder)
    assert [each.folder.name for each in found] == ["a", "e"]  # newer than the one judged here
    call(experiment.app, out, "--reports", folder)
    text = (out / "experiment.md").read_text("utf-8")
    assert "| test sets: the judge's score | merged: 1.000" in text
    assert "out: 1 of the 6 judged questions are the dev questions" in text
    assert "rank" not in text  # full fine-tuning has none, whatever its recipe says


def test_each_method_compares_with_its_own_base(folder: Path) -> None:
    runs = []
    for name, base in (("lora", 0.19), ("qlora", 0.22)):
        manifest = Manifest(stage="lora", name=name, settings={"model_name_or_path": "base"})
        runs.append(RunFiles(folder / name, manifest, {}, None, {"base": base}, None))
    assert "compare a dev score with its own base alone" in methods(runs, [], [])[-1]
    alike = [runs[0], replace(runs[1], verdict={"base": 0.19})]
    assert methods(alike, [], []) == []


def test_the_quantised_model_stands_beside_base_and_tuned(folder: Path) -> None:
    pytest.importorskip("sacrebleu")
    out = trained(folder)
    (out / "awq").mkdir()
    quantised = Manifest(stage="quantize", name="awq", counts={"bytes": 5e8})
    write_manifest(out / "awq", quantised)
    half = GOOD[:3] + BAD[3:]
    write_report(folder / "q", half, "awq", "2026-01-03", model_dir=str(out / "awq"))
    found = experiment.judged_models([experiment.read_run(out)], folder)
    assert [each.folder.name for each in found] == ["a", "b", "q"]
    call(experiment.app, out, "--reports", folder, "--cases", 0)
    text = (out / "experiment.md").read_text("utf-8")
    assert "merged: 1.000" in text and "awq: 0.500" in text and "awq weights, GB | 0.50" in text
    cases = text[text.index("## Cases") :]
    for question, _ in QUESTIONS:
        assert question in cases.replace("\\", "")
    assert cases.count("| awq · q |") == 6
