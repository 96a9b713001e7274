"""Reading comprehension as SQuAD, CMRC, DRCD, MRQA and the hub's data sets write it."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.pairs import PairsError
from common.read_pairs import read_pairs
from data.formats import merged_pairs
from judging.testset import read_testset

PASSAGE = "一个 warp 有 32 个线程，它们同时执行一条指令。"


def qa(question: str, *answers: str, **more: Any) -> dict[str, Any]:
    listed = [{"text": each, "answer_start": PASSAGE.find(each)} for each in answers]
    return {"id": question, "question": question, "answers": listed, **more}


def written(path: Path, value: Any, indent: int | None = None) -> Path:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent), "utf-8")
    return path


@pytest.mark.parametrize("indent", [None, 2])
def test_squad_is_read_everywhere(tmp_path: Path, indent: int | None) -> None:
    asked = [
        qa("一个 warp 有几个线程？", "32 个线程", "32 个", "32 个线程"),
        qa("warp 有多快？", is_impossible=True, plausible_answers=[{"text": "32"}]),
    ]
    articles = [
        {"title": "线程束", "paragraphs": [{"context": PASSAGE, "qas": asked}]},
        {"title": "线程块", "paragraphs": [{"context": "乙", "qas": [qa("甲？", "乙")]}]},
    ]
    path = written(tmp_path / "squad.json", {"version": "v2.0", "data": articles}, indent)
    found = read_pairs(path)
    assert [(p.question, p.answer, p.section, p.id) for p in found.pairs] == [
        ("一个 warp 有几个线程？", "32 个线程", "线程束", "一个 warp 有几个线程？"),
        ("甲？", "乙", "线程块", "甲？"),
    ]
    assert found.pairs[1].where == "line 1, data 2, paragraphs 1, qas 1"
    told = "\n".join(found.warnings)
    assert "qas 2: the answer is empty, left out" in told
    assert "neither asked nor learned: context, answers" in told
    assert len(read_testset(path).pairs) == 2
    assert {pair.path for pair in merged_pairs(path)} == {("线程束",), ("线程块",)}


@pytest.mark.parametrize(
    "value",
    [
        [{"context_id": "1", "context_text": PASSAGE, "title": "线程束", "qas": [
            {"query_text": "甲？", "query_id": "1", "answers": ["乙", "乙"]}]}],
        [{"title": "线程束", "paragraphs": [{"context": PASSAGE, "qas": [qa("甲？", "乙")]}]}],
        {"context": PASSAGE, "qas": [{"qid": 1, "question": "甲？", "answers": ["乙"]}]},
        {"id": "1", "title": "线程束", "context": PASSAGE, "question": "甲？",
         "answers": {"text": ["乙"], "answer_start": [3]}},
    ],
)  # fmt: skip
def test_its_relatives(tmp_path: Path, value: Any) -> None:
    (pair,) = read_pairs(written(tmp_path / "a.json", value)).pairs
    assert (pair.question, pair.answer) == ("甲？", "乙")


def test_a_fault_inside_is_named_by_its_place(tmp_path: Path) -> None:
    paragraph = {"context": PASSAGE, "qas": [qa("甲？", "乙"), {"question": "丙？"}, "丁"]}
    path = written(tmp_path / "a.json", {"data": [{"title": "一", "paragraphs": [paragraph]}]})
    with pytest.raises(PairsError) as error:
        read_pairs(path)
    place = "line 1, data 1, paragraphs 1, qas"
    assert f"{place} 2: reference or answer: missing beside question" in str(error.value)
    assert f"{place} 3: expected an object, got str" in str(error.value)


@pytest.mark.parametrize("name", ["paragraphs", "qas"])
def test_a_question_beside_its_evidence_is_one_row(tmp_path: Path, name: str) -> None:
    rows = [{"question": "甲？", "answer": "乙", name: [{"text": PASSAGE}]}]
    rows += [{"question": "丙？", "answers": ["丁"], name: [PASSAGE]}]
    found = read_pairs(written(tmp_path / "a.json", rows))
    assert [(pair.question, pair.answer) for pair in found.pairs] == [
        ("甲？", "乙"),
        ("丙？", "丁"),
    ]
    assert name in "\n".join(found.warnings)


def test_paragraphs_without_questions_are_an_error(tmp_path: Path) -> None:
    rows = [{"paragraphs": [{"context": PASSAGE, "questions": [qa("甲？", "乙")]}]}]
    with pytest.raises(PairsError, match="paragraphs 1: no list called qas"):
        read_pairs(written(tmp_path / "a.json", [*rows, {"question": "丙？", "answer": "丁"}]))


@pytest.mark.parametrize("answers", [5, 0, {"text": 5}, [5]])
def test_answers_that_are_no_texts_are_an_error(tmp_path: Path, answers: Any) -> None:
    row = {"question": "甲？", "answers": answers}
    with pytest.raises(PairsError, match="missing beside question"):
        read_pairs(written(tmp_path / "a.json", [row]))
