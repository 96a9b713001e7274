"""Rows and test sets in every shape, written and read back; pairs that one has are merged in."""

import json

import pytest

from common.pairs import PairsError
from common.read_pairs import read_pairs
from data.formats import merged_pairs, row_of, write_testset
from data.records import Pair
from tests.data_commands import SAMPLE, rows, run, said


@pytest.mark.parametrize("shape", ["alpaca", "sharegpt", "query-response"])
def test_other_shapes_hold_the_same_pairs(tmp_path, built, shape):
    out = tmp_path / "out"
    run(
        "build",
        SAMPLE,
        "--out",
        out,
        "--cache",
        built.parent / "cache",
        "--format",
        shape,
        "--system",
    )
    assert said(out / "train.jsonl") == said(built / "train.jsonl")
    row = json.loads((out / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert row["system"] and row["id"]
    info = json.loads((out / "dataset_info.json").read_text(encoding="utf-8"))
    assert info["textbook_dev"]["file_name"] == "dev.jsonl"
    assert set(info["textbook_train"]["columns"].values()) <= row.keys()


def test_existing_pairs_are_merged_in(tmp_path, built):
    extra = tmp_path / "extra.docx"
    mine = [
        Pair(f"第{n}号仓库在哪里？", f"第{n}号仓库在{c}城北门外。", path=("第1章 仓库",))
        for n, c in enumerate("甲乙丙丁", 1)
    ]
    assert not write_testset(extra, mine)
    out = tmp_path / "out"
    run("build", SAMPLE, "--out", out, "--cache", built.parent / "cache", "--merge", extra)
    everything = [r for name in ("train", "dev", "calibration") for r in rows(out, name)]
    found = {r["answer"] for r in everything if r["source"] == "merged:extra.docx"}
    assert found == {pair.answer for pair in mine}
    again = merged_pairs(built / "train.jsonl")  # our own rows keep their place
    assert again[0].book == "book.md" and len(again[0].path) >= 2


def test_merged_pairs_find_their_section_by_its_heading(tmp_path):
    pairs = SAMPLE.with_name("pairs.jsonl")
    command = ["--merge", pairs, "--source", "none", "--dev", "0", "--calibration", "0"]
    run("build", SAMPLE, "--out", tmp_path / "out", "--cache", tmp_path / "cache", *command)
    wanted = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    made = rows(tmp_path / "out", "train")
    sections = {row["answer"]: row["section"] for row in wanted}
    assert len({row["group"] for row in made}) == len(wanted)
    for row in made:
        assert (
            row["book"] == "book.md" and row["path"][-1] == sections[row["messages"][-1]["content"]]
        )
    chunks = (tmp_path / "out" / "chunks.jsonl").read_text(encoding="utf-8").splitlines()
    assert {row["chunk"] for row in made} <= {json.loads(line)["id"] for line in chunks}


def test_other_wordings_of_merged_pairs_are_used(tmp_path):
    path = tmp_path / "pairs.jsonl"
    row = {
        "question": "甲仓在哪里？",
        "answer": "甲仓在北门外。",
        "rephrasings": ["甲仓位于何处？"],
    }
    path.write_text(json.dumps(row), encoding="utf-8")
    assert merged_pairs(path)[0].wordings == ("甲仓位于何处？",)


# --- formats


@pytest.mark.parametrize(
    "answer",
    [
        "一行。",
        "int main() {\n    return 0;\n}",
        "void f() {\n    a();\n\n    b();\n}",
        "问题：这一行像一个问题",
        "第2章 这一行像标题\n其实不是。",
        "末尾有空行\n\n",
    ],
)
def test_a_test_set_holds_an_answer_exactly_or_says_so(tmp_path, answer):
    pairs = [
        Pair("甲是什么？", "甲是甲。", path=("第1章 起",)),
        Pair("乙是什么？", answer, path=("二",)),
    ]
    lost = write_testset(tmp_path / "t.docx", pairs)
    back = said(tmp_path / "t.docx")
    assert back == [(p.question, p.answer) for p in pairs if p not in lost]
    first = (tmp_path / "t.docx").read_bytes()
    write_testset(tmp_path / "t.docx", pairs)
    assert (tmp_path / "t.docx").read_bytes() == first


def test_rows_of_every_shape_are_read(tmp_path):
    pair = Pair("甲？", "乙。")
    lines = [
        row_of(pair, s, system=True) for s in ("messages", "alpaca", "sharegpt", "query-response")
    ]
    lines.append({"question": "甲？", "answer": "乙。"})
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    assert said(path) == [("甲？", "乙。")] * 5
    path.write_text('{"question": "甲？", "answer": "乙。"}\n{"text": 1}\n', encoding="utf-8")
    with pytest.raises(PairsError, match="line 2"):
        read_pairs(path)
    with pytest.raises(ValueError, match="no format"):
        row_of(pair, "yaml")
