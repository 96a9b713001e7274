"""Question-answer rows in .xlsx workbooks, as Excel, WPS and pandas save them."""

import builtins
import datetime
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from common.archives import OLD_OFFICE
from common.pairs import PairsError
from common.read_pairs import read_pairs
from data.formats import merged_pairs
from judging.testset import read_testset


def workbook(path: Path, **sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, lines in sheets.items():
        sheet = book.create_sheet(name)
        for line in lines:
            sheet.append(line)
    book.save(path)
    return path


def test_every_sheet_that_names_its_columns_is_read(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "题库.xlsx",
        说明=[["本题库供复习用"], [], ["更新日期", "2024-03-01"]],
        第一章=[["第一章测验"], ["序号", "题目", "参考答案", "章节"], [1, "甲？", "乙。", "一"]],
        第二章=[["question", "answer"], ["一个 warp 有几个线程？", 32.0], ["丙？", None]],
        空的=[],
    )
    found = read_pairs(path)
    assert [(pair.question, pair.answer, pair.section) for pair in found.pairs] == [
        ("甲？", "乙。", "一"),
        ("一个 warp 有几个线程？", "32", ""),
    ]
    assert [pair.where for pair in found.pairs] == ["第一章, row 3", "第二章, row 2"]
    assert found.warnings[0].startswith("说明, row 1: no header line")
    assert "第二章, row 3: the answer is empty, left out" in found.warnings
    assert [pair.question for pair in merged_pairs(path)] == [p.question for p in found.pairs]
    assert len(read_testset(path).pairs) == 2


def test_cells_merged_downwards_and_hidden_sheets(tmp_path: Path) -> None:
    path = workbook(
        tmp_path / "a.xlsx",
        一=[["章节", "问题", "答案"], ["第一章", "甲？", "乙。"], [None, "丙？", "丁。"]],
        二=[["问题", "答案"], ["戊？", "己。"]],
    )
    book = openpyxl.load_workbook(path)
    book["一"].merge_cells("A2:A3")
    book["二"].sheet_state = "hidden"
    book.save(path)
    found = read_pairs(path)
    assert [(pair.question, pair.section) for pair in found.pairs] == [
        ("甲？", "第一章"),
        ("丙？", "第一章"),
    ]
    assert found.warnings == ["二: a hidden sheet, not read"]


@pytest.mark.parametrize(
    ("value", "shown_as", "text"),
    [
        (0.5, "0%", "50%"),
        (0.125, "0%", "13%"),
        (0.07, "0.00%", "7.00%"),
        (0.5, "0.0#%;[Red]-0.0#%", "50.0%"),
        (-0.005, "[Red]0.0 %", "-0.5%"),
        (0.5, '0.0"%"', "0.5"),
        (7, "000", "007"),
        (-7.0, "000", "-007"),
        (1234, "000", "1234"),
        (7.5, "000", "7.5"),
        (3.25, "General", "3.25"),
        (datetime.date(2024, 3, 1), "yyyy-mm-dd", "2024-03-01"),
    ],
)
def test_numbers_read_as_they_are_shown(
    tmp_path: Path, value: Any, shown_as: str, text: str
) -> None:
    path = workbook(tmp_path / "a.xlsx", S=[["问题", "答案"], ["甲？", value]])
    book = openpyxl.load_workbook(path)
    book["S"]["B2"].number_format = shown_as
    book.save(path)
    assert [pair.answer for pair in read_pairs(path).pairs] == [text]


def test_faults_in_columns_that_nobody_uses(tmp_path: Path) -> None:
    lines = [["=1+1"], ["问题", "答案", "字数", None], ["甲？", "乙。", "=LEN(B3)", "#N/A"]]
    (pair,) = read_pairs(workbook(tmp_path / "a.xlsx", S=lines)).pairs
    assert (pair.question, pair.answer) == ("甲？", "乙。")
    with pytest.raises(PairsError, match="the formula of C2 has no value yet"):
        read_pairs(
            workbook(tmp_path / "a.xlsx", S=[["问题", "答案", "weight"], ["甲", "乙", "=1"]])
        )


def test_text_under_a_column_without_a_name_is_told(tmp_path: Path) -> None:
    lines = [["问题", None, "答案", " ", None], ["甲？", " ", "乙。", "丙"], ["丁？", None, "戊。"]]
    found = read_pairs(workbook(tmp_path / "a.xlsx", S=lines))
    assert [pair.answer for pair in found.pairs] == ["乙。", "戊。"]
    assert found.warnings == ["S, row 2: neither asked nor learned: column 4, which has no name"]


def test_a_stray_cell_at_the_end_builds_no_empty_ones(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", S=[["问题", "答案", "注"], ["甲？", "乙。", "=1"]])
    book = openpyxl.load_workbook(path)
    book["S"]["XFD1048576"] = " "
    book["S"]["C1048576"] = "完"
    book.save(path)
    tracemalloc.start()
    found = read_pairs(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [pair.answer for pair in found.pairs] == ["乙。"]
    assert found.warnings[-1].startswith("S, row 1048576: the question is empty")
    assert peak < 50 << 20


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([["甲", "乙"], ["丙", "丁"]], "S, row 1: no header line with question and answer"),
        ([["问题", "答案"], ["甲？", "=A1"]], "S, row 2: the formula of B2 has no value yet"),
        ([["问题", "答案"], ["甲？", "#REF!"]], "S, row 2: B2 holds #REF!"),
        ([["问题", "问题", "答案"], ["甲？", "甲？", "乙"]], "two columns are named"),
    ],
)
def test_what_cannot_be_used_is_named_by_cell(
    tmp_path: Path, lines: list[list[Any]], reason: str
) -> None:
    with pytest.raises(PairsError, match=reason):
        read_pairs(workbook(tmp_path / "a.xlsx", S=lines))


def test_other_files_under_its_name_and_old_workbooks(tmp_path: Path) -> None:
    path = workbook(tmp_path / "a.xlsx", S=[["问题", "答案"], ["甲？", "乙。"]])
    whole = path.read_bytes()
    for content, reason in (
        (OLD_OFFICE + b"\0" * 600, "encrypted or an old .xls"),
        ("问题,答案\n甲？,乙。\n".encode(), "broken, or not an .xlsx"),
        (whole[: len(whole) // 2], "broken, or not an .xlsx"),
        (whole[:300] + b"\0" * 300 + whole[600:], "broken"),
    ):
        path.write_bytes(content)
        with pytest.raises(PairsError, match=f"a.xlsx: .*{reason}"):
            read_pairs(path)
    for name, command in {
        "b.xls": "soffice --headless --convert-to xlsx b.xls",
        "我的 题库.et": "soffice --headless --convert-to xlsx '我的 题库.et'",
    }.items():
        with pytest.raises(PairsError, match=command):
            read_pairs(tmp_path / name)


def test_without_openpyxl_one_line_says_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workbook(tmp_path / "a.xlsx", S=[["问题", "答案"], ["甲？", "乙。"]])
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "openpyxl":
            raise ModuleNotFoundError("No module named 'openpyxl'", name="openpyxl")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(PairsError) as error:
        read_pairs(path)
    assert "\n" not in str(error.value)
    assert f"`{sys.executable} -m pip install openpyxl" in str(error.value)


def test_a_damaged_workbook_is_one_line(tmp_path: Path) -> None:
    path = workbook(tmp_path / "题库.xlsx", 题=[["question", "answer"], ["甲？", "乙。"]])
    content = bytearray(path.read_bytes())
    part = b"xl/worksheets/sheet1.xml"
    start = content.index(part) + len(part)
    content[start : start + 20] = b"\xff" * 20
    path.write_bytes(content)
    with pytest.raises(PairsError, match="it is broken"):
        read_pairs(path)
