"""Talks that are merged into a build: what was said before a question goes with it to the rows."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.read_pairs import read_pairs
from data.__main__ import app
from data.formats import Shape, row_of, write_testset
from data.records import Pair
from data.row_counts import explained, row_counts
from data.split import SplitSettings, split_pairs

TALK = [
    {"role": "system", "content": "你是港口的讲解员。"},
    {"role": "user", "content": "北港灯塔用什么信号？"},
    {"role": "assistant", "content": "北港灯塔用 LED 信号。"},
    {"role": "user", "content": "为什么？"},
    {"role": "assistant", "content": "因为 LED 在雾里也看得清，寿命有 50000 小时。"},
]
OTHER = [
    {"role": "user", "content": "云溪水库的代号是什么？"},
    {"role": "assistant", "content": "云溪水库的代号是 YX-7。"},
    {"role": "user", "content": "为什么？"},
    {"role": "assistant", "content": "因为 YX 是云溪的拼音首字母，7 是它建成的次序。"},
]


def build(tmp_path: Path, rows: list, *options: str) -> list[dict]:
    """The train rows of a build that merges these rows and makes none of its own."""
    book, merged, out = tmp_path / "book.md", tmp_path / "rows.jsonl", tmp_path / "out"
    book.write_text("# 港口\n\n北港的灯塔建在防波堤的尽头，为进出的船只指路。\n", "utf-8")
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    merged.write_text("".join(lines), "utf-8")
    command = ["build", book, "--out", out, "--cache", tmp_path / "c", "--source", "none"]
    command += ["--merge", merged, "--dev", "0", "--calibration", "0", *options]
    done = CliRunner().invoke(app, [str(word) for word in command])
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in (out / "train.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize("shape", ["messages", "alpaca", "sharegpt", "query-response"])
def test_a_talk_goes_through_a_build_whole(tmp_path: Path, shape: Shape) -> None:
    rows = [{"messages": TALK}, {"messages": OTHER}]
    build(tmp_path, rows, "--wordings", "0", "--format", shape)
    found = read_pairs(tmp_path / "out" / "train.jsonl").pairs
    said = {(p.question, p.answer): (p.history, p.system) for p in found if p.learn}
    first = (TALK[1]["content"], TALK[2]["content"])
    assert said[(TALK[3]["content"], TALK[4]["content"])] == ((first,), TALK[0]["content"])
    # The same short question of two talks is two questions: neither is a duplicate.
    assert (OTHER[2]["content"], OTHER[3]["content"]) in said and first in said
    assert len(said) == 4


def test_a_kept_turn_does_not_bring_a_dropped_one_back_to_be_learned(tmp_path: Path) -> None:
    talk = [*OTHER[:1], {"role": "assistant", "content": "云溪水库的代号见上图。"}, *OTHER[2:]]
    (row,) = build(tmp_path, [{"messages": talk}], "--wordings", "0")
    assert [m.get("weight") for m in row["messages"]] == [None, 0, None, None]


def test_a_test_question_in_an_earlier_turn_takes_the_row_out(tmp_path: Path) -> None:
    testset = tmp_path / "t.jsonl"
    testset.write_text('{"question": "北港灯塔用什么信号？", "answer": "LED。"}\n', "utf-8")
    options = ("--wordings", "0", "--exclude", str(testset))
    rows = build(tmp_path, [{"messages": TALK}, {"messages": OTHER}], *options)
    assert "北港" not in json.dumps(rows, ensure_ascii=False) and len(rows) == 2


def test_all_turns_of_a_talk_are_in_one_split() -> None:
    asked = ("甲仓位于哪里？", "甲仓位于北港的东侧。")
    pairs = [Pair(*asked, path=(f"单独{i}",)) for i in range(1)]
    pairs += [Pair("有多大？", "有 4,000 平方米。", path=("对话",), history=(asked,))]
    pairs += [Pair(f"第 {i} 座桥叫什么？", f"它叫 B{i}。", path=(str(i),)) for i in range(20)]
    splits = split_pairs(pairs, SplitSettings(dev=0.3))
    homes = {name for name, rows in splits.items() for row in rows if row in pairs[:2]}
    assert len(homes) == 1 and splits["dev"]


def test_a_test_set_of_the_contest_holds_no_talk(tmp_path: Path) -> None:
    alone = Pair("甲仓位于哪里？", "位于北港。", path=("甲",))
    later = Pair("有多大？", "很大，有 4,000 平方米。", path=("甲",), history=(("甲？", "乙。"),))
    assert write_testset(tmp_path / "t.docx", [alone, later]) == [later]


def test_single_questions_have_the_rows_and_ids_that_they_had() -> None:
    row = row_of(Pair("甲仓位于哪里？", "位于北港。"))
    assert row["messages"][0] == {"role": "user", "content": "甲仓位于哪里？"}
    assert row["id"] == "e7a7f40fe843e4d6" and "history" not in row


def test_the_report_says_where_the_rows_come_from(tmp_path: Path) -> None:
    facts = [
        {"question": "北港灯塔用什么信号？", "answer": "北港灯塔用 LED 信号。"},
        {"question": "什么是防波堤？", "answer": "防波堤是挡住 3 米浪的墙。"},
    ]
    facts[0]["rephrasings"] = ["北港的灯塔发什么信号？"]
    rows = build(tmp_path, facts, "--wordings", "2")
    told = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["rows"]
    assert told["rows"] == len(rows) and told["pairs"] == told["as_asked"] == 2
    assert told["wordings_brought"] == 1 and told["wordings_made"] == len(rows) - 3 > 0
    assert f"{len(rows)} train rows come from 2 pairs" in explained(told)
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert explained(told) in page


def test_rows_left_out_are_counted() -> None:
    pair = Pair("什么是甲？", "甲是 A。", group="g")
    assert row_counts([pair], 3, [pair])["left_out"] == 2


def test_a_test_set_of_longer_answers_is_named_unasked(tmp_path: Path) -> None:
    testset = tmp_path / "t.jsonl"
    long = "用 cudaMalloc 申请显存，再用 cudaMemcpy 复制数据，最后用 cudaFree 释放。" * 3
    testset.write_text(json.dumps({"question": "显存怎样用？", "answer": long}) + "\n", "utf-8")
    build(tmp_path, [{"messages": OTHER[:2]}], "--exclude", str(testset))
    told = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert told["profiles"]["testsets"][0]["chars_mean"] == len(long)
    assert any(f"answers of t.jsonl have {len(long)} characters" in w for w in told["warnings"])
    assert "cudaMalloc" not in json.dumps({**told, "leaks": []})
