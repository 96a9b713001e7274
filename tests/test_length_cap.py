"""The curve of score and speed against a cap, from a report; a cap is named by a dev split only."""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from common.pairs import Pair, PairFile
from common.read_pairs import read_pairs
from judging.judge import Conditions, Judgement, Result, score
from judging.length_cap import (
    Answers,
    app,
    best_cap,
    by_characters,
    by_tokenizer,
    curve,
    judged_sets,
    smallest_cap,
)
from judging.protocol import Health, Replies
from judging.read_report import ReportError
from judging.report import answer_rows, summary, write_report
from tests.conftest import ROOT


def write(folder: Path, name: str, rows: list[tuple[str, str, str]], failure: str = "") -> Path:
    """A report as eval_local.py writes it; rows: question, reference, answer. 10 seconds."""
    questions = [Pair(q, r) for q, r, _ in rows]
    answers = [answer for *_, answer in rows]
    replies = Replies("batch", answers, [None] * len(rows), 10.0, 0, failure or None)
    testset = PairFile(Path(f"{name}.jsonl"), questions)
    judgement = Judgement(
        "http://127.0.0.1:1", datetime.now(timezone.utc), Conditions(), Health("batch", "batch", 0),
        "batch", None, [Result(testset, questions, replies, score(questions, answers))],
    )  # fmt: skip
    return write_report(summary(judgement), list(answer_rows(judgement)), folder)


RAMBLING = [
    ("甲？", "use CUDA now", "use CUDA now" + " and more words" * 20),  # the end costs precision
    ("乙？", "use ROCm", "use ROCm"),
]
ALL_RAMBLE = [
    (f"{n}？", "use CUDA now", "use CUDA now" + " and more words" * n) for n in range(15, 25)
]


def test_a_rambling_answer_scores_higher_cut() -> None:
    answered = Answers("dev", *[list(c) for c in zip(*RAMBLING, strict=True)], seconds=10.0)
    points = curve(answered, by_characters(), step=4)
    assert [p.cap for p in points[:3]] == [4, 8, 12] and points[-1].cap == 312
    assert points[-1].cut == 0 and points[-1].change == 0
    assert points[2].score == 1.0 and points[2].cut == 1 and points[2].characters == 20
    # "use" alone beats the rambling already; the whole answer beats both.
    assert smallest_cap(points).cap == 4 and points[0].score > points[-1].score
    assert best_cap(points, 2) is points[-1], "one question of two may be chance"
    answered = Answers("dev", *[list(c) for c in zip(*ALL_RAMBLE, strict=True)], seconds=10.0)
    points = curve(answered, by_characters(), step=4)
    assert best_cap(points, len(ALL_RAMBLE)).cap == 12
    assert best_cap(points, 9) is points[-1], "so few may all be chance"


def test_a_cap_that_costs_score_is_not_named() -> None:
    answered = Answers("dev", ["甲", "乙"], ["a b c d", "a"], ["a b c d", "a"], seconds=10.0)
    points = curve(answered, by_characters(), step=2)
    assert [p.score < 1 for p in points] == [True, True, True, False]
    assert smallest_cap(points).cap == best_cap(points, 2).cap == 7
    # Seen: +0.011 ± 0.034 on 41 questions, taken for a gain, cost a test set 0.22.
    shorter = [("a b c", "a b c d e"), ("a b", "a b c"), *[("a b c d", "a b c d")] * 8]
    references, answers = map(list, zip(*shorter, strict=True))
    noise = Answers("dev", list("甲乙丙丁戊己庚辛壬癸"), references, answers, seconds=10.0)
    points = curve(noise, by_characters(), step=2)
    assert max(point.change for point in points) > 0 and best_cap(points, 10) is points[-1]


def test_speeds_are_bounds() -> None:
    answered = Answers("dev", ["甲", "乙"], ["a", "a"], ["x" * 100, "y" * 50], seconds=10.0)
    half, whole = curve(answered, by_characters(), step=50)
    assert whole.by_tokens == whole.by_steps == 15.0
    assert half.by_tokens == pytest.approx(15.0)  # 100 characters in 10 s x 100 / 150
    assert half.by_steps == pytest.approx(20.0)  # 100 characters in half the steps


def test_cutting_by_tokens_leaves_whole_characters(tiny_tokenizer: Path) -> None:
    unit, length, cut = by_tokenizer(tiny_tokenizer)
    text = "编译 CUDA 程序"
    assert unit == "tokens"
    for cap in range(length(text) + 1):
        assert text.startswith(cut(text, cap))
    assert cut(text, length(text)) == text


@pytest.fixture
def tiny_tokenizer(tmp_path: Path) -> Path:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    # Bytes, so that a Chinese character is three tokens and can be cut in its middle.
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: n for n, letter in enumerate(letters)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


def test_a_dev_split_gets_a_cap(tmp_path: Path, tiny_tokenizer: Path) -> None:
    folder = write(tmp_path, "dev", RAMBLING)
    done = run(str(folder), "--tokenizer", str(tiny_tokenizer))
    assert done.exit_code == 0, done.output
    assert "MAX_TOKENS=16" in done.output
    told = json.loads((folder / "length_cap.json").read_text("utf-8"))
    assert told["unit"] == "tokens" and told["sets"][0]["cap"] == 16
    assert (folder / "length_cap.png").read_bytes().startswith(b"\x89PNG")


def test_another_test_set_gets_none_unless_it_is_named_dev(tmp_path: Path) -> None:
    folder = write(tmp_path, "mine", RAMBLING)
    done = run(str(folder))
    assert done.exit_code == 1
    assert "NOT A DEV SPLIT" in done.output and "no cap is named" in done.output
    told = json.loads((folder / "length_cap.json").read_text("utf-8"))["sets"][0]
    assert told["cap"] is None and told["points"]
    assert run(str(folder), "--dev", "mine").exit_code == 0
    assert run(str(folder), "--dev", "other").exit_code == 2


def test_a_known_test_set_gets_none_whatever_it_is_called(tmp_path: Path) -> None:
    asked = read_pairs(ROOT / "data/sample/testset_bonus.jsonl").pairs[:3]
    rows = [(q.question, q.answer, q.answer) for q in asked]
    done = run(str(write(tmp_path, "dev", rows)), "--dev", "dev")
    assert done.exit_code == 1 and "testset_bonus" in done.output


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no report"):
        judged_sets(tmp_path)
    with pytest.raises(ReportError, match="too late"):
        judged_sets(write(tmp_path, "dev", RAMBLING, failure="too late"))
    (tmp_path / "summary.json").write_text("[]", "utf-8")
    (tmp_path / "answers.jsonl").write_text("{}", "utf-8")
    with pytest.raises(ReportError, match="not an object"):
        judged_sets(tmp_path)
