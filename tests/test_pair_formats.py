"""One reader: the same talks give the same pairs in every layout and encoding, to every room."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from common.pairs import Pair, PairsError, by_fact
from common.read_pairs import read_pairs
from common.row_talks import bare
from common.text_doubts import doubts_about
from common.text_encodings import decode
from data.contamination import texts_of
from data.formats import merged_pairs, read_told
from judging.testset import read_testset
from train.dataset import load_rows
from train.recipe import Recipe

FEWER = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# Anything that JSON holds, U+2028 and its like among it, without white space at its ends.
TEXTS = st.text(
    st.one_of(
        st.characters(exclude_categories=["Cs"]),
        st.sampled_from("问题答案是什么，。\u2028\u2029\u0085\v\f\x1c\n\t\"\\'<>&:,;{}[]"),
    ),
    min_size=1,
    max_size=30,
).map(bare).filter(lambda text: text and not text.startswith("<think>"))  # fmt: skip
TURNS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3)
TALKS = st.lists(st.tuples(TURNS, st.one_of(st.just(""), TEXTS)), min_size=1, max_size=4)


def messages(turns: list, system: str, role: str = "role", text: str = "content") -> list:
    user, assistant = ("user", "assistant") if role == "role" else ("human", "gpt")
    said = [{role: "system", text: system}] if system else []
    for asked, answered in turns:
        said += [{role: user, text: asked}, {role: assistant, text: answered}]
    return said


def flat(question: str, answer: str) -> Callable[[list, str], dict[str, Any]]:
    def row(turns: list, system: str) -> dict[str, Any]:
        *before, (asked, answered) = turns
        return {question: asked, answer: answered, "history": before, "system": system}

    return row


LAYOUTS: dict[str, Callable[[list, str], dict[str, Any]]] = {
    "messages": lambda turns, system: {"messages": messages(turns, system)},
    "sharegpt": lambda turns, system: {"conversations": messages(turns, system, "from", "value")},
    "sharegpt, system beside": lambda turns, system: {
        "conversations": messages(turns, "", "from", "value"), "system": system},
    "content in parts": lambda turns, system: {"messages": [
        {**each, "content": [{"type": "text", "text": each["content"]}]}
        for each in messages(turns, system)]},
    "query/response": flat("query", "response"),
    "question/answer": flat("question", "answer"),
    "question/reference": flat("question", "reference"),
    "alpaca": lambda turns, system: {**flat("instruction", "output")(turns, system), "input": ""},
    "history as messages": lambda turns, system: {
        **flat("instruction", "output")(turns, system), "history": messages(turns[:-1], "")},
}  # fmt: skip
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
FILES = [".jsonl", ".jsonl with \\r\\n", ".json", ".json indented", ".csv", ".tsv"]


def csv_text(rows: list[dict[str, Any]], delimiter: str) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(
        out, list(dict.fromkeys(n for row in rows for n in row)), delimiter=delimiter
    )
    writer.writeheader()
    for row in rows:
        writer.writerow({n: v if isinstance(v, str) else json.dumps(v) for n, v in row.items()})
    return out.getvalue()


def write(folder: Path, name: str, rows: list[dict[str, Any]], file: str, encoding: str) -> Path:
    suffix, _, how = file.partition(" ")
    if suffix == ".jsonl":
        end = "\r\n" if how else "\n"
        text = end.join(json.dumps(row, ensure_ascii=False) for row in rows) + end
    elif suffix == ".json":
        text = json.dumps(rows, ensure_ascii=False, indent=2 if how else None)
    else:
        text = csv_text(rows, "\t" if suffix == ".tsv" else ",")
    path = folder / f"{name}{suffix}"
    path.write_bytes(text.encode(encoding))
    return path


def wanted_pairs(talks: list) -> list[Pair]:
    return [
        Pair(asked, answered, history=tuple(turns[:number]), system=system)
        for turns, system in talks
        for number, (asked, answered) in enumerate(turns)
    ]


def learned_by_train(path: Path, folder: Path) -> list[Pair]:
    """What training learns of a file, in no order; nothing of the dev rows is in it."""
    (folder / "dev.jsonl").write_text('{"question": "\U0010fffe", "answer": "a"}', "utf-8")
    fields = {"model_name_or_path": "m", "dataset_dir": folder, "output_dir": folder / "out"}
    recipe = Recipe(**fields, train_file=path.name, dev_file="dev.jsonl", calibration_file=None)
    return load_rows(recipe).train


@FEWER
@given(TALKS, st.sampled_from(list(LAYOUTS)), st.sampled_from(FILES), st.sampled_from(ENCODINGS))
def test_every_room_sees_the_same_pairs_in_every_layout_and_encoding(
    tmp_path: Path, talks: list, layout: str, file: str, encoding: str
) -> None:
    if file in (".csv", ".tsv") and "\\x00" in repr(talks):
        return  # Python's csv writes them and does not read them before 3.11
    rows = [LAYOUTS[layout](turns, system) for turns, system in talks]
    path = write(tmp_path, "rows", rows, file, encoding)
    wanted = wanted_pairs(talks)
    try:
        found = read_pairs(path)
    except PairsError as error:  # a few characters that are common Chinese in GBK
        assert encoding == "utf-8" and "both as UTF-8 and as GBK" in str(error)
        return
    assert found.pairs == wanted
    assert bool(found.warnings) == any(doubts_about(pair) for pair in wanted)
    assert read_told(path) == wanted
    learned = learned_by_train(path, tmp_path)
    assert set(learned) == set(wanted) and len(learned) == len(set(wanted))
    held = {text for pair in wanted for text in texts_of(pair)}
    assert {(each.question, each.answer) for each in wanted} <= held
    merged = [(p.question, p.answer, p.history, p.system) for p in merged_pairs(path)]
    assert merged == [(p.question, p.answer, p.history, p.system) for p in wanted]
    if any(pair.history for pair in wanted):
        with pytest.raises(PairsError, match="turn 2: a question with a talk before it"):
            read_testset(path)
    else:
        assert read_testset(path).pairs == wanted


COMMON = st.text("问题答案是什么线程内存由它组成一二三，。？：abc012 \n", min_size=1, max_size=30)
CHINESE = COMMON.map(str.strip).filter(lambda text: any("一" <= c <= "龥" for c in text))


@FEWER
@given(st.lists(st.tuples(CHINESE, CHINESE), min_size=1, max_size=4), st.sampled_from(FILES),
       st.sampled_from(["gbk", "gb18030", "gb2312"]))  # fmt: skip
@example([("一", "一")], ".jsonl", "gbk")  # its bytes are UTF-8 as well
@example([("么", "么")], ".json indented", "gbk")
def test_gbk_is_told_from_utf8_or_refused(
    tmp_path: Path, pairs: list, file: str, encoding: str
) -> None:
    rows = [{"question": question, "answer": answer} for question, answer in pairs]
    path = write(tmp_path, "rows", rows, file, encoding)
    try:
        found = read_pairs(path).pairs
    except PairsError as error:
        assert "save it as UTF-8" in str(error)
    else:
        assert [(pair.question, pair.answer) for pair in found] == pairs


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("問題是甚麼？執行緒與記憶體有何關係".encode("big5"), "Big5"),
        ("スレッドとは何ですか".encode("shift_jis"), "not UTF-8"),
        ("“smart” quotes and naïve café".encode("cp1252"), "not UTF-8"),
        ("Что такое поток".encode("cp1251"), "not UTF-8"),
        ("什么是线程？一组线程。".encode()[:-1] + b'"', "damaged at byte"),
        ("什么是".encode() + b"\xff" + "线程？一组线程。".encode(), "damaged at byte"),
        ("什么是线程".encode() + b"\0\0", "NUL"),
        ("\ufeff什么是线程".encode("utf-16-le") + b"\x00\xd8", "UTF-16"),
        (b"\xef\xbb\xbf\xff\xfe", "UTF-8"),
    ],
)
def test_other_encodings_are_refused_with_what_to_do(
    tmp_path: Path, data: bytes, reason: str
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"question": "' + data + b'", "answer": "32"}')
    if data.startswith((b"\xef", b"\xff")):
        path.write_bytes(data)
    with pytest.raises(PairsError, match=f"rows.jsonl: .*(?:{reason}).*save it as UTF-8"):
        read_pairs(path)


def test_a_short_text_that_is_both_is_not_guessed(tmp_path: Path) -> None:
    both = "摹模膜磨".encode("gbk")
    both.decode("utf-8")  # valid, and nonsense
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"question": "' + both + b'", "answer": "a"}')
    with pytest.raises(PairsError, match="both as UTF-8 and as GBK"):
        read_pairs(path)
    path.write_bytes('{"question": "naïve café, 20 °C", "answer": "µ"}'.encode())
    assert read_pairs(path).pairs[0].question == "naïve café, 20 °C"


@pytest.mark.parametrize("text", ["SQLite 是数据库。", "ARROW1 是列名。", "PAR1 是参数名。"])
def test_a_text_may_begin_with_the_name_of_another_kind(text: str) -> None:
    assert decode(text.encode()) == text


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"SQLite format 3\0\x10\0", "SQLite"),
        (b"ARROW1\0\0\xff\xff", "Arrow"),
        (b"PAR1\x15\0\x15", "Parquet"),
        (b"PAR1" + b"\x15\x04" * 40 + b"PAR1", "Parquet"),
    ],
)
def test_files_of_other_kinds_are_refused_by_their_first_bytes(data: bytes, kind: str) -> None:
    with pytest.raises(ValueError, match=f"a {kind} file"):
        decode(data)


def rows_file(tmp_path: Path, *rows: Any, name: str = "rows.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


USER, ASSISTANT = {"role": "user", "content": "甲？"}, {"role": "assistant", "content": "乙。"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": [USER, USER, ASSISTANT]}, "message 2: two user turns in a row"),
        ({"messages": [ASSISTANT, USER, ASSISTANT]}, "message 1: an assistant turn without"),
        ({"messages": [USER, ASSISTANT, ASSISTANT]}, "message 3: an assistant turn without"),
        ({"messages": [USER, {"role": "tool", "content": "1"}, ASSISTANT]}, "role 'tool'"),
        ({"messages": [USER, ASSISTANT, {"role": "system", "content": "s"}]}, "stands first"),
        ({"messages": [USER, {**ASSISTANT, "tool_calls": [{}]}]}, "a tool call"),
        ({"messages": [USER, {**ASSISTANT, "weight": 0.5}]}, "weight: expected 0 or 1"),
        ({"messages": [USER, {**ASSISTANT, "content": None}]}, "expected text, got NoneType"),
        ({"messages": [{**USER, "content": [{"type": "image"}]}, ASSISTANT]}, "no text"),
        ({"messages": [USER, ASSISTANT, {**USER, "content": ""}, ASSISTANT]}, "turn 2: the"),
        ({"conversations": ["甲？", "乙。"]}, "conversations: expected a list of objects"),
        ({"query": "甲？", "response": "乙。", "history": [["丙"]]}, "history: expected a list of"),
        ({"query": "甲？", "response": "乙。", "history": [["丙", 1]]}, "history: expected text"),
        ({"query": "甲？", "response": "乙。", "history": "丙"}, "history: expected a list of"),
        ({"question": "甲？", "answer": ["乙。"]}, "answer: expected text, got list"),
        ({"question": "甲？", "answer": "乙。", "rephrasings": "丙？"}, "rephrasings: expected"),
        ({"question": "甲？", "answer": "乙。", "input": 3}, "input: expected text, got int"),
        ({"question": "甲？", "answer": "乙。", "query": "丙", "response": "丁。"}, "two layouts"),
        ({"messages": [{"role": "system", "content": "s"}, USER, ASSISTANT], "system": "t"},
         "two system messages that differ"),
        ({"text": "甲？", "label": "乙。"}, "known: messages, conversations"),
        ("甲？", "expected an object"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_line(tmp_path: Path, row: Any, reason: str) -> None:
    good = {"question": "己？", "answer": "庚。"}
    with pytest.raises(PairsError, match=f"rows.jsonl, line 2: .*{reason}"):
        read_pairs(rows_file(tmp_path, good, row))


def test_the_first_ten_bad_rows_are_named_and_the_others_counted(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match=r"(?s)line 1: .*line 10: .*\n… and 2 more$") as error:
        read_pairs(rows_file(tmp_path, *[{"question": "甲？"}] * 12))
    assert "line 11" not in str(error.value)


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    path = rows_file(
        tmp_path,
        {"messages": [USER, ASSISTANT, {"role": "user", "content": "谢谢"}]},
        {"question": "", "answer": "乙。"},
        {"query": "图里是什么？", "response": "甲。", "images": ["a.png"]},
    )
    found = read_pairs(path)
    assert [pair.question for pair in found.pairs] == ["甲？", "图里是什么？"]
    assert found.warnings == [
        "line 1: the last user turn has no answer, left out",
        "line 2: the question is empty, left out",
        "line 3: neither asked nor learned: images",
    ]


def test_input_stands_below_the_question_and_its_wordings(tmp_path: Path) -> None:
    path = rows_file(
        tmp_path,
        {"instruction": "解释代码。", "input": "f();", "output": "调", "wordings": ["说明。"]},
        {"question": "解释代码。", "input": "f();", "answer": "调用。"},
    )  # fmt: skip
    first, second = read_pairs(path).pairs
    assert first.wordings == ["解释代码。\nf();", "说明。\nf();"]
    assert second.question == "解释代码。\nf();"


def test_an_answer_of_weight_0_is_read_and_not_learned(tmp_path: Path) -> None:
    bad = {"role": "assistant", "content": "坏。", "weight": 0}
    path = rows_file(
        tmp_path,
        {"messages": [USER, bad, {"role": "user", "content": "再说。"}, ASSISTANT]},
        {"messages": [USER, {**ASSISTANT, "loss": True}]},
        {"question": "丙？", "answer": "坏。", "weight": 0},
    )
    assert [pair.learn for pair in read_pairs(path).pairs] == [False, True, True, False]
    learned = learned_by_train(path, tmp_path)
    assert sorted(pair.answer for pair in learned) == ["乙。", "乙。"]
    rows = [
        {"question": "丙？", "answer": "坏。", "weight": 0},
        {"question": "丁？", "answer": "好。"},
    ]
    single = rows_file(tmp_path, *rows, name="a.jsonl")
    assert [pair.question for pair in read_testset(single).pairs] == ["丁？"]
    assert "line 1: its answer has weight 0" in read_testset(single).warnings[0]
    assert [pair.question for pair in merged_pairs(single)] == ["丁？"]


def test_a_system_message_is_said_not_to_be_asked(tmp_path: Path) -> None:
    system = {"role": "system", "content": "只用英文。"}
    found = read_testset(rows_file(tmp_path, *[{"messages": [system, USER, ASSISTANT]}] * 12))
    assert len(found.pairs) == 12
    (warning,) = found.warnings
    assert warning.startswith("line 1, 2, 3") and "… (12 in all): its system message" in warning


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_one_object_over_many_lines_and_rows_under_a_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(json.dumps({"question": "甲？", "answer": "乙。"}, indent=1), "utf-8")
    assert read_pairs(path).pairs == [Pair("甲？", "乙。")]
    path.write_text(
        json.dumps({"data": [{"question": "甲？", "answer": "乙。"}]}, indent=1), "utf-8"
    )
    with pytest.raises(PairsError, match="under 'data': save that list alone"):
        read_pairs(path)


ROWS = [{"question": "甲？", "answer": "乙。"}, {"question": "丙？", "answer": "丁。"}]


@pytest.mark.parametrize("between", ["\n", ",\n", "", "\n\n"])
@pytest.mark.parametrize("indent", [None, 2])
def test_objects_however_they_stand_one_after_another(
    tmp_path: Path, between: str, indent: int | None
) -> None:
    path = tmp_path / "rows.jsonl"
    texts = [json.dumps(row, indent=indent, ensure_ascii=False) for row in ROWS]
    path.write_text(between.join(texts) + "\n", "utf-8")
    found = read_pairs(path).pairs
    assert [(pair.question, pair.answer) for pair in found] == [("甲？", "乙。"), ("丙？", "丁。")]
    assert found[1].where == f"line {1 + texts[0].count(chr(10)) + between.count(chr(10))}"


def test_line_ends_of_windows_inside_a_text_are_line_ends(tmp_path: Path) -> None:
    row = {"messages": [{**USER, "content": "甲\r\n？"}, {**ASSISTANT, "content": "乙\r\n。"}]}
    (pair,) = read_pairs(rows_file(tmp_path, row)).pairs
    assert (pair.question, pair.answer) == ("甲\n？", "乙\n。")


def test_a_fault_in_objects_over_many_lines_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS[0], indent=1) + '\n{\n "question": 丙\n}\n', "utf-8")
    with pytest.raises(PairsError, match="line 5: not JSON"):
        read_pairs(path)


@pytest.mark.parametrize(
    "row",
    [
        {"Question": "甲？", "Answer": "乙。"},
        {" instruction": "甲？", "OUTPUT ": "乙。"},
        {"prompt": "甲？", "completion": "乙。"},
    ],
)
def test_names_of_fields_in_other_letters(tmp_path: Path, row: dict) -> None:
    (pair,) = read_pairs(rows_file(tmp_path, row)).pairs
    assert (pair.question, pair.answer) == ("甲？", "乙。")


@pytest.mark.parametrize(
    ("data", "kind"),
    [(gzip.compress(b"{}"), "gzip"), (b"PK\x03\x04...", "xlsx"), (b"%PDF-1.7", "PDF")],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, data: bytes, kind: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(data)
    with pytest.raises(PairsError, match=f"not text but a .*{kind}.*unpack it"):
        read_pairs(path)


def test_a_fault_in_an_array_is_named_by_item_and_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[\n{"question": "甲？", "answer": "乙。"},\n{"question": 1 2}\n]', "utf-8")
    with pytest.raises(PairsError, match=r"item 2 \(line 3\): not JSON"):
        read_pairs(path)


def test_rows_of_one_fact_become_one_pair_talks_stay_apart() -> None:
    talk = Pair("甲？", "A", history=(("你好", "好"),), group="1")
    pairs = by_fact([Pair("甲？", "A", group="1"), Pair("乙？", "A", group="1"), talk])
    assert [pair.wordings for pair in pairs] == [["甲？", "乙？"], ["甲？"]]


@pytest.mark.parametrize(
    "row",
    [
        {"题目": "块是什么？", "参考答案": "一组线程。"},
        {"提问": "块是什么？", "回答": "一组线程。", "难度": "易"},
        {"问": "块是什么？", "答": "一组线程。"},
        {"q": "块是什么？", "a": "一组线程。"},
        {"指令": "块是什么？", "输入": "", "输出": "一组线程。"},
        {"kind": "QA", "input": "块是什么？", "target": "一组线程。"},
        {"input": "块是什么？", "output": "一组线程。"},
        {"conversation": [{"human": "块是什么？", "assistant": "一组线程。"}]},
    ],
)
def test_names_that_leave_no_doubt_are_read(tmp_path: Path, row: dict) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False), "utf-8")
    found = [(pair.question, pair.answer) for pair in read_pairs(path).pairs]
    assert found == [("块是什么？", "一组线程。")]


def test_a_number_is_an_answer_and_a_named_list_is_told_how_to_save(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"question": "几个线程？", "answer": 32}]', "utf-8")
    assert read_pairs(path).pairs[0].answer == "32"
    path.write_text('{"data": [{"question": "几个线程？", "answer": "32"}]}', "utf-8")
    with pytest.raises(PairsError, match="under 'data': save that list alone"):
        read_pairs(path)
    path.write_text('[{"q1": "甲？", "问题": "乙？", "答案": "一"}]', "utf-8")
    assert read_pairs(path).pairs[0].question == "乙？"


def test_two_columns_of_questions_are_not_chosen_between(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"提问": "甲？", "题目": "乙？", "回答": "一"}\n', "utf-8")
    with pytest.raises(PairsError, match="line 1"):
        read_pairs(path)
