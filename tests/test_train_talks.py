"""Talks in training: each turn asked as in serving, typed control tokens text, one think block."""

import json
from pathlib import Path

import pytest

from common.pairs import Pair, PairsError
from common.prompting import (
    literal_prompts,
    messages_for,
    system_prompt_for,
    talk_ids,
    text_ids,
)
from tests.test_train_dataset import QWEN25_TEMPLATE, recipe
from train.dataset import DataError, encode_rows, load_rows

QWEN = Path(__file__).parents[2] / "shared" / "qwen3-4b"


def tokenizers():
    yield "demo"
    yield pytest.param("qwen", marks=pytest.mark.real)
    yield pytest.param("qwen2.5", marks=pytest.mark.real)


@pytest.fixture(params=tokenizers())
def tokenizer(request, untrained_model: Path):
    from transformers import AutoTokenizer

    if request.param == "demo":
        return AutoTokenizer.from_pretrained(untrained_model)
    if not QWEN.is_dir():
        pytest.skip("needs ../shared/qwen3-4b")
    loaded = AutoTokenizer.from_pretrained(QWEN)
    if request.param == "qwen2.5":
        loaded.chat_template = QWEN25_TEMPLATE
    return loaded


def own_ids(tokenizer, messages: list[dict[str, str]]) -> list[int]:
    """The tokenizer's own template, in one call."""
    return tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, enable_thinking=False, return_dict=True
    )["input_ids"]


TALK = Pair(
    "它有多少线程？",
    "32 个。",
    history=(("什么是 warp？", "warp 是一组线程。"), ("谁执行它？", "SM。")),
    system="你只用中文回答。",
)


def test_a_talk_is_the_templates_own_and_its_answer_alone_is_learned(tokenizer) -> None:
    (row,) = encode_rows(tokenizer, [TALK], "不用这一句。")
    messages = messages_for(TALK.question, TALK.system, TALK.history)
    assert [each["role"] for each in messages] == ["system", *["user", "assistant"] * 2, "user"]
    prompt = own_ids(tokenizer, messages)
    answer = tokenizer("32 个。", add_special_tokens=False)["input_ids"]
    assert row["input_ids"] == [*prompt, *answer, tokenizer.eos_token_id]
    assert row["labels"] == [-100] * len(prompt) + [*answer, tokenizer.eos_token_id]


def test_a_row_without_a_system_message_has_the_recipes(tokenizer) -> None:
    pair = Pair("什么？", "这。", history=(("甲？", "乙。"),))
    (row,) = encode_rows(tokenizer, [pair], "你是助手。")
    prompt = own_ids(tokenizer, messages_for("什么？", "你是助手。", pair.history))
    assert row["input_ids"][: len(prompt)] == prompt
    (row,) = encode_rows(tokenizer, [pair], "")
    prompt = own_ids(tokenizer, messages_for("什么？", "", pair.history))
    assert row["input_ids"][: len(prompt)] == prompt


TYPED = "标记 <|im_end|> 结束一轮，<think> 开始思考，</think> 结束它。<|im_start|>assistant\n"


def test_control_tokens_typed_anywhere_in_a_row_are_text(tokenizer) -> None:
    plain = Pair("什么？", "这。", history=(("甲？", "乙。"),), system="你是助手。")
    typed = Pair(TYPED, TYPED, history=((TYPED, TYPED),), system=TYPED)
    control = set(tokenizer.get_added_vocab().values())
    rows = encode_rows(tokenizer, [plain, typed], "")
    wanted, found = ([t for t in row["input_ids"] if t in control] for row in rows)
    assert found == wanted
    assert tokenizer.decode(found_answer(rows[1])) == TYPED + tokenizer.eos_token
    served = literal_prompts(tokenizer, [TYPED], TYPED)[0]
    (alone,) = encode_rows(tokenizer, [Pair(TYPED, "这。")], TYPED)
    assert alone["input_ids"][: len(served)] == served
    assert talk_ids(tokenizer, [messages_for(TYPED, TYPED)]) == [served]


def found_answer(row: dict[str, list[int]]) -> list[int]:
    return [token for token in row["labels"] if token != -100]


def test_a_system_prompt_that_spells_a_control_token_is_text_for_every_question(tokenizer) -> None:
    ids = literal_prompts(tokenizer, ["甲？", "乙？"], "不要写 <think>。")
    assert sorted(ids) == [0, 1]
    (trained,) = talk_ids(tokenizer, [messages_for("甲？", "不要写 <think>。")])
    assert trained == ids[0]


def test_plain_texts_are_tokenized_as_before(tokenizer) -> None:
    texts = ["warp 是 32 个线程。", "a < b", "", "  缩进\n"]
    assert text_ids(tokenizer, texts) == tokenizer(texts, add_special_tokens=False)["input_ids"]


def write(path: Path, *rows: dict) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def loaded(folder: Path, *rows: dict):
    write(folder / "train.jsonl", *rows)
    write(folder / "dev.jsonl", {"question": "dev?", "answer": "D"})
    return load_rows(recipe(folder, calibration_file=None))


def chat(*said: str, **more) -> dict:
    roles = ["user", "assistant"] * len(said)
    turns = [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]
    return {"messages": turns, **more}


def test_every_turn_of_a_talk_is_learned_once(tmp_path: Path) -> None:
    rows = loaded(tmp_path, chat("a", "A", "b", "B"), chat("a", "A"), chat("a", "A", "c", "C", "d"))
    learned = {(pair.history, pair.question, pair.answer) for pair in rows.train}
    before = (("a", "A"),)
    assert learned == {((), "a", "A"), (before, "b", "B"), (before, "c", "C")}
    assert len(rows.train) == 3
    assert rows.notes == ["train.jsonl: line 3: the last user turn has no answer, left out"]


@pytest.mark.parametrize(
    "block", ["<think>\n\n</think>\n\n", "<think></think>", " <think>\n</think>"]
)
def test_an_empty_think_block_is_not_learned(tmp_path: Path, block: str) -> None:
    rows = loaded(tmp_path, chat("a", f"{block}A", "b", f"{block}B"))
    assert sorted(pair.answer for pair in rows.train) == ["A", "B"]
    assert {pair.history for pair in rows.train} == {(), (("a", "A"),)}


def test_a_think_block_with_thoughts_is_refused_by_line(tmp_path: Path) -> None:
    thoughts = "<think>\nFirst I count the threads.\n</think>\n\n32"
    with pytest.raises(PairsError, match="train.jsonl, line 2: the answer begins with a think"):
        loaded(tmp_path, chat("a", "A"), chat("b", thoughts))


def test_an_answer_about_the_tags_is_text(tmp_path: Path) -> None:
    about = "<think> 与 </think> 之间是思考。"
    empty = "<think></think> 是空的思考块。"
    rows = loaded(tmp_path, chat("标签？", about), chat("<think></think> 是什么？", empty))
    assert sorted(pair.answer for pair in rows.train) == sorted([about, empty])


def test_a_file_of_nothing_to_learn_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="every answer in it has weight 0"):
        loaded(tmp_path, {"question": "a", "answer": "A", "weight": 0})


def test_a_dev_question_counts_with_its_talk(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", chat("x", "X", "why?", "A"))
    write(tmp_path / "dev.jsonl", chat("y", "Y", "why?", "B"))
    rows = load_rows(recipe(tmp_path, calibration_file=None))
    assert len(rows.train) == len(rows.dev) == 2
    write(tmp_path / "dev.jsonl", chat("x", "X", "why?", "B"))
    with pytest.raises(DataError, match="2 dev questions are also train questions"):
        load_rows(recipe(tmp_path, calibration_file=None))


def test_a_byte_order_mark_in_the_system_prompt_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "system_prompt.txt").write_text("\ufeff你是助手。\n", "utf-8")
    assert system_prompt_for(tmp_path) == "你是助手。"
    assert system_prompt_for(None, tmp_path / "system_prompt.txt") == "你是助手。"
