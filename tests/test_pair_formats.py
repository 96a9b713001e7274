"""One reader: the same talks give the same pairs in every layout and encoding, to every room."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from common.pairs import Pair, PairsError
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
