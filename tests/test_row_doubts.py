"""Rows of other tools: what is neither asked nor learned, or damaged, is told of by line."""

import json
from pathlib import Path
from typing import Any

import pytest

from common.pairs import PairsError
from common.read_pairs import read_pairs

USER, ASSISTANT = {"role": "user", "content": "甲？"}, {"role": "assistant", "content": "乙。"}
PAIR = {"question": "甲？", "answer": "乙。"}


def read(tmp_path: Path, *rows: Any):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return read_pairs(path)


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({**PAIR, "context": "材料"}, "context"),
        ({**PAIR, "options": ["A 一", "B 二"]}, "options"),
        ({**PAIR, "A": "一", "B": "二", "explanation": "因为"}, "A, B, explanation"),
        ({**PAIR, "system_prompt": "只用英文。"}, "system_prompt"),
        ({**PAIR, "reference": "丙。"}, "answer"),
        ({"messages": [USER, ASSISTANT], "rejected_response": "丁。"}, "rejected_response"),
        ({"messages": [USER, {**ASSISTANT, "reasoning_content": "想。"}]}, "reasoning_content"),
        ({"query": "甲？", "response": "乙。", "images": ["a.png"]}, "images"),
        ({"query": "丙", "response": "丁", "history": [USER, {**ASSISTANT, "thinking": "想"}]},
         "thinking"),
    ],
)  # fmt: skip
def test_a_field_that_is_neither_asked_nor_learned_is_named(
    tmp_path: Path, row: dict, names: str
) -> None:
    found = read(tmp_path, PAIR, row, row)
    assert found.warnings == [f"line 2, 3: neither asked nor learned: {names}"]


def test_what_says_where_a_row_comes_from_is_not_complained_of(tmp_path: Path) -> None:
    aside = {"id": 3, "source": "书", "path": ["第1章"], "score": 0.5, "tags": ["a"], "chunk": "c"}
    assert read(tmp_path, {**PAIR, **aside, "context": "", "options": []}).warnings == []


@pytest.mark.parametrize(
    "message",
    [{"train_on_turn": False}, {"train": False}, {"training": "false"}, {"loss_scale": 0.0}],
)
def test_every_trainers_mark_of_an_answer_not_to_learn_counts(
    tmp_path: Path, message: dict
) -> None:
    (pair,) = read(tmp_path, {"messages": [USER, {**ASSISTANT, **message}]}).pairs
    assert not pair.learn


def test_a_weight_between_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match="loss_scale: expected 0 or 1, got 0.3"):
        read(tmp_path, {"messages": [USER, {**ASSISTANT, "loss_scale": 0.3}]})


@pytest.mark.parametrize(
    "mark",
    [{"label": False}, {"kto_tag": False}, {"label": 0}, {"kto_tag": 0}, {"label": "False"}],
)
def test_an_answer_marked_as_bad_is_not_learned(tmp_path: Path, mark: dict) -> None:
    found = read(tmp_path, {"messages": [USER, ASSISTANT], **mark}, {**PAIR, "label": "true"})
    assert [pair.learn for pair in found.pairs] == [False, True]
    assert found.warnings == [
        "line 1: marked as a bad answer (label or kto_tag is false or 0): not learned"
    ]


def test_an_empty_think_block_written_twice_is_taken_off_twice(tmp_path: Path) -> None:
    block = "<think>\n\n</think>\n\n"
    (pair,) = read(tmp_path, {"question": "甲？", "answer": block * 2 + "乙。"}).pairs
    assert pair.answer == "乙。"


def test_two_texts_of_one_message_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match="message 1: content and value say different things"):
        read(tmp_path, {"messages": [{**USER, "value": "丙？"}, ASSISTANT]})


def test_roles_are_read_in_any_case_and_in_chinese(tmp_path: Path) -> None:
    talk = [{"role": "系统", "content": "s"}, {"role": "Human", "content": "甲？"}]
    (pair,) = read(tmp_path, {"messages": [*talk, {"role": "助手", "content": "乙。"}]}).pairs
    assert (pair.question, pair.answer, pair.system) == ("甲？", "乙。", "s")


@pytest.mark.parametrize(
    ("answer", "doubt"),
    [
        ("是 \frac{1}{2}。", "a control character U+000C"),
        ("a\x00b", "a control character U+0000"),
        ("2 \times 3", "a lost backslash"),
        ("线\ufffd程", "characters were lost"),
        ("çº¿ç¨‹æ˜¯ GPU çš„", "taken for another encoding"),
        ("#REF!", "a spreadsheet writes"),
        ("nan", "a spreadsheet writes"),
        ("一_x000D_二", "_x000D_"),
        ('=DISPIMG("ID_1",1)', "a spreadsheet writes"),
        ("<think>\n想想。\n</think>\n\n一个。", "the answer holds reasoning"),
        ("想想。\n</think>\n\n一个。", "the answer holds reasoning"),
        ("第一行。\\n第二行。", "escaped twice"),
        ("con\ufb01g", "U+FB01 (“fi”): copied from a PDF"),
        ("一\u2f8f线程", "U+2F8F (“行”)"),
        ("\uf0b7 一个", "U+F0B7: copied"),
        ("cuda\u200bMemcpy", "U+200B: copied"),
        ("ＣＵＤＡ 核", "U+FF23 (“C”)"),
        ("\U0001d45b = 32", "U+1D45B (“n”)"),
        ("线程块&nbsp;是一组线程。", "marks of web pages"),
        ("<p>线程块是一组<b>线程</b>。</p>", "marks of web pages"),
        ("一个。</s>", "end token </s>"),
        ("一个。<｜end▁of▁sentence｜>\n", "end token <｜end▁of▁sentence｜>"),
    ],
)
def test_a_text_that_was_damaged_on_the_way_is_named(
    tmp_path: Path, answer: str, doubt: str
) -> None:
    found = read(tmp_path, PAIR, {"question": "丙？", "answer": answer})
    (warning,) = found.warnings
    assert warning.startswith("line 2: ") and doubt in warning
    assert found.pairs[1].answer == answer.strip(), "told of, not changed"


@pytest.mark.parametrize(
    "question",
    [
        "<|im_start|>user\n甲？<|im_end|>\n<|im_start|>assistant\n",
        "[INST] 甲？ [/INST]",
        "Below is an instruction.\n\n### Instruction:\n甲？\n\n### Response:",
    ],
)
def test_a_prompt_that_another_tool_has_rendered_is_named(tmp_path: Path, question: str) -> None:
    (warning,) = read(tmp_path, {"question": question, "answer": "乙。"}).warnings
    assert "a chat template is in the question already" in warning
    about = {"question": "<|im_start|> 有什么作用？", "answer": "它开始一轮。"}
    assert read(tmp_path, about).warnings == []


@pytest.mark.parametrize(
    "answer",
    [
        "<s>划掉</s>",
        'printf("a\\n");',
        "\tif (x) {\n\t\ttext(x);",
        "naïve café, Ångström ¼ “x”",
        "nan 是…",
        'printf("你好\\n");',
        "网页用 <p>…</p> 分段，&lt; 写作小于号。",
        "vector<int> a; a<b && c>d",
    ],
)
def test_code_and_accents_are_no_damage(tmp_path: Path, answer: str) -> None:
    assert read(tmp_path, {"question": "丙？", "answer": answer}).warnings == []


def test_a_switch_of_the_template_in_a_question_is_named(tmp_path: Path) -> None:
    (warning,) = read(tmp_path, {"question": "甲？ /no_think", "answer": "乙。"}).warnings
    assert "the question ends with /no_think" in warning
    assert read(tmp_path, {"question": "目录 /usr/think", "answer": "乙。"}).warnings == []


def test_a_text_of_invisible_marks_alone_is_empty(tmp_path: Path) -> None:
    found = read(tmp_path, PAIR, {"question": "\ufeff丙？ \u200b", "answer": "\u200b \ufeff"})
    assert found.pairs[0].question == "甲？" and len(found.pairs) == 1
    assert found.warnings == ["line 2: the answer is empty, left out"]


@pytest.mark.parametrize("name", ["loss_mask", "train_detail"])
def test_a_mask_that_is_not_read_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(PairsError, match=f"line 1: .*{name}: not read; give each assistant"):
        read(tmp_path, {"messages": [USER, {**ASSISTANT, name: [0, 1]}]})
    with pytest.raises(PairsError, match=f"line 1: {name}: not read"):
        read(tmp_path, {"messages": [USER, ASSISTANT], name: [0, 1]})


def test_messages_in_another_tools_fields_are_refused_by_name(tmp_path: Path) -> None:
    row = {"conversation": [{"system": "s", "input": "甲？", "output": "乙。"}]}
    with pytest.raises(PairsError, match="message 1: expected role and content .* got system, inp"):
        read(tmp_path, row)
    with pytest.raises(PairsError, match="history, message 1: expected role and content"):
        read(tmp_path, {**PAIR, "history": [{"query": "丙", "response": "丁"}]})


@pytest.mark.parametrize("mark", [{"loss_scale": 0}, {"train_on_turn": False}, {"weight": 0}])
def test_a_mark_beside_the_pair_counts_for_its_answer(tmp_path: Path, mark: dict) -> None:
    (pair,) = read(tmp_path, {**PAIR, **mark}).pairs
    assert not pair.learn
