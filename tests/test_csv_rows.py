"""CSV as Excel, WPS and others save it: headers, marks between columns, quotes."""

from pathlib import Path

import pytest

from common.pairs import PairsError
from common.read_pairs import read_pairs


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a,b\n1,2\n", "line 1: no header line with question and answer"),
        ("question,answer\n甲？,乙,丙\n", "line 2: 3 cells under 2 columns"),
        ('question,answer\n甲？,"乙\n\n', "line 2: not CSV .* not closed"),
        ("question,question,answer\n甲？,甲？,乙\n", "two columns are named 'question'"),
        ("question,answer,history\n甲？,乙,丙\n", "line 2: history: not JSON"),
    ],
)
def test_a_bad_csv_is_named_by_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(PairsError, match=reason):
        read_pairs(path)


@pytest.mark.parametrize(
    "header",
    [
        *("问题,参考答案", "序号;问题;答案", "Question\tAnswer", "题目,标准答案", "*题干,*答案"),
        *(" 问 题 ;答 案", "用户问题（必填）,期望回答（中文）", "测试题\r\n问题,答案"),
        *("sep=;\r\n问题;答案", "第一次测验,\r\n序号,题目,答案", "prompt,completion"),
    ],
)
def test_csv_headers(tmp_path: Path, header: str) -> None:
    names = header.rsplit("\n", 1)[-1]
    mark = next(each for each in "\t;," if each in names)
    cells = ["1"] * (names.count(mark) - 1) + ["甲？", ' "第一行\n第二行"']
    path = tmp_path / "rows.csv"
    path.write_bytes(f"{header}\r\n{mark.join(cells)}\r\n".encode("gbk"))
    (pair,) = read_pairs(path).pairs
    assert (pair.question, pair.answer) == ("甲？", "第一行\n第二行")
    assert pair.where == f"line {2 + header.count(chr(10))}"


def test_choices_in_a_csv_are_no_answers(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("题目,A,B,答案\n甲？,一,二,乙。\n", "utf-8")
    (pair,) = read_pairs(path).pairs
    assert pair.answer == "乙。"


@pytest.mark.parametrize("header", ["题目,答案,章节", "问题,答案,章节", "question,answer,Chapter"])
def test_a_chapter_column_is_the_section(tmp_path: Path, header: str) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"{header}\n甲？,乙。,第一章\n", "utf-8")
    (pair,) = read_pairs(path).pairs
    assert (pair.answer, pair.section) == ("乙。", "第一章")


def test_text_under_a_column_without_a_name_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(",问题,答案\n0,甲？,乙。\n1,丙？,丁。\n", "utf-8")
    found = read_pairs(path)
    assert [pair.answer for pair in found.pairs] == ["乙。", "丁。"]
    assert found.warnings == ["line 2, 3: neither asked nor learned: column 1, which has no name"]
