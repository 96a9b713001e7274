"""Training rows: the serving prompt token by token, loss on the answer, nothing cut in silence."""

import json
from pathlib import Path

import pytest

from common.pairs import Pair, PairsError
from common.prompting import render_prompts, tokenize_prompts
from train.base import ModelError
from train.dataset import DataError, encode_rows, fitting_rows, load_rows
from train.excluded import ExcludedError
from train.recipe import Recipe

QWEN = Path(__file__).parents[2] / "shared" / "qwen3-4b"
# Qwen2.5's template has no thinking switch and writes a system message of its own.
QWEN25_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' %}"
    "{{- '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}"
    "{%- endif %}{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)


def said(pair: Pair) -> tuple[str, str]:
    return pair.question, pair.answer


def recipe(folder: Path, **fields) -> Recipe:
    given = {"model_name_or_path": "m", "dataset_dir": folder, "output_dir": folder / "out"}
    return Recipe(**{**given, "cutoff_len": 64, **fields})


def write(path: Path, *rows: dict) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def qwen():
    pytest.importorskip("transformers")
    if not QWEN.is_dir():
        pytest.skip("needs ../shared/qwen3-4b")
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(QWEN)


@pytest.mark.real
@pytest.mark.parametrize("family", ["Qwen3, thinking off", "Qwen2.5"])
def test_training_and_serving_see_the_same_tokens(qwen, family):
    original = qwen.chat_template
    try:
        if family == "Qwen2.5":
            qwen.chat_template = QWEN25_TEMPLATE
        question, answer = "什么是warp（线程束）？", "warp是32个线程的一组。"
        (row,) = encode_rows(qwen, [Pair(question, answer)], "你是助手。")
        served = tokenize_prompts(qwen, render_prompts(qwen, [question], "你是助手。"))[0]
        assert row["input_ids"][: len(served)] == served
        own = qwen.apply_chat_template(
            [{"role": "system", "content": "你是助手。"}, {"role": "user", "content": question}],
            add_generation_prompt=True,
            enable_thinking=False,
            return_dict=True,
        )["input_ids"]
        assert served == own
        text = qwen.decode(served)
        assert text.endswith("<think>\n\n</think>\n\n") == (family != "Qwen2.5")
        assert row["labels"] == [-100] * len(served) + row["input_ids"][len(served) :]
        assert qwen.decode(row["input_ids"][len(served) :]) == answer + "<|im_end|>"
    finally:
        qwen.chat_template = original


def test_held_out_wordings_are_not_trained_on(tmp_path):
    write(
        tmp_path / "p.jsonl",
        {"question": "a1", "rephrasings": ["a2", "a3"], "answer": "A"},
        {"question": "b1", "answer": "B"},
    )
    rows = load_rows(recipe(tmp_path, train_file="p.jsonl", dev_file=None, calibration_file=None))
    assert sorted(map(said, rows.train)) == [("a1", "A"), ("a2", "A"), ("b1", "B")]
    assert list(map(said, rows.dev)) == [("a3", "A")] and rows.calibration == rows.train
    again = load_rows(recipe(tmp_path, train_file="p.jsonl", dev_file=None, calibration_file=None))
    assert again == rows
    # As `python -m data` writes them: a row for each wording, one group for a pair.
    split = [{"question": q, "answer": q[0].upper(), "group": q[0]} for q in ("a1", "a2", "a3")]
    write(tmp_path / "q.jsonl", *split, {"question": "b1", "answer": "B", "group": "b"})
    same = load_rows(recipe(tmp_path, train_file="q.jsonl", dev_file=None, calibration_file=None))
    assert sorted(map(said, same.train)) == sorted(map(said, rows.train))
    assert list(map(said, same.dev)) == [("a3", "A")]


def test_a_dev_question_in_training_is_an_error(tmp_path):
    write(tmp_path / "train.jsonl", {"question": "a", "answer": "A"})
    write(tmp_path / "dev.jsonl", {"question": "a", "answer": "A"})
    write(tmp_path / "calibration.jsonl", {"question": "c", "answer": "C"})
    with pytest.raises(DataError, match="1 dev questions are also train questions"):
        load_rows(recipe(tmp_path))


def test_missing_files_are_named(tmp_path):
    with pytest.raises(PairsError, match="train.jsonl: no such file"):
        load_rows(recipe(tmp_path))
    (tmp_path / "train.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="train.jsonl is empty"):
        load_rows(recipe(tmp_path))


def test_long_rows_are_counted_and_listed_never_cut(tmp_path):
    encoded = [{"input_ids": [1] * length, "labels": [-100] * length} for length in (10, 100, 70)]
    rows = [Pair("short", "A"), Pair("very long", "B"), Pair("long", "C")]
    with pytest.raises(DataError) as error:
        fitting_rows(encoded, rows, recipe(tmp_path))
    text = str(error.value)
    assert "2 of 3 rows" in text and "100 tokens: very long" in text and "70 tokens: long" in text
    kept, lines = fitting_rows(encoded, rows, recipe(tmp_path, drop_long_rows=True))
    assert kept == encoded[:1] and len(lines) == 2


def test_general_rows_are_mixed_in_by_their_share_and_never_judged(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", *({"question": f"q{i}", "answer": f"A{i}"} for i in range(30)))
    write(tmp_path / "dev.jsonl", {"question": "dev?", "answer": "D"})
    general = tmp_path / "general.jsonl"
    write(general, *({"instruction": f"g{i}", "input": "", "output": "G"} for i in range(50)))
    given = {"calibration_file": None, "mix_file": general, "mix_share": 0.25}
    rows = load_rows(recipe(tmp_path, **given))
    assert sum(row.answer == "G" for row in rows.train) == 10 and len(rows.train) == 40
    assert [row.question for row in rows.dev] == ["dev?"] and general in rows.files
    assert rows.train == load_rows(recipe(tmp_path, **given)).train
    few = load_rows(recipe(tmp_path, **{**given, "mix_share": 0.9}))
    assert len(few.train) == 80 and "only 50 rows, 62% of all" in few.notes[0]


def with_examples(tmp_path: Path, **fields) -> Recipe:
    example = {"passages": ["甲"], "question": "示例？", "answer": "示例答。"}
    write(tmp_path / "mine.jsonl", example)
    (tmp_path / "index").mkdir(exist_ok=True)
    given = {"retrieval_dir": tmp_path / "index", "retrieval_examples": tmp_path / "mine.jsonl"}
    return recipe(tmp_path, calibration_file=None, **given, **fields)


def test_worked_examples_stand_before_the_books_questions_alone(tmp_path: Path) -> None:
    """Not before a talk, nor before general rows; and a row is as long as it then is."""
    talk = [{"role": r, "content": c} for r, c in (("user", "一？"), ("assistant", "1"))]
    more = [{"role": r, "content": c} for r, c in (("user", "二？"), ("assistant", "2"))]
    write(tmp_path / "train.jsonl", {"messages": talk + more}, {"question": "三？", "answer": "3"})
    write(tmp_path / "dev.jsonl", {"question": "dev?", "answer": "D"})
    write(tmp_path / "general.jsonl", *({"question": f"g{i}?", "answer": "G"} for i in range(9)))
    made = with_examples(tmp_path, mix_file=tmp_path / "general.jsonl")
    rows = load_rows(made)
    shown = {row.question: len(row.examples) for row in rows.train if row.answer != "G"}
    assert shown == {"一？": 1, "二？": 0, "三？": 1}
    assert [len(row.examples) for row in rows.train if row.answer == "G"] == [0]
    ((user, answer),) = rows.dev[0].examples
    assert "甲" in user and user.endswith("示例？") and answer == "示例答。"
    assert rows.dev[0].alone.examples == ()
    off = made.model_copy(update={"retrieval_dir": None})
    assert not any(row.examples for row in load_rows(off).train)


def test_examples_that_hold_a_test_or_dev_question_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", {"question": "一？", "answer": "1"})
    write(tmp_path / "dev.jsonl", {"question": "二？", "answer": "2"})
    write(tmp_path / "test.jsonl", {"question": "示例 ?", "answer": "x"})
    with pytest.raises(ExcludedError, match="retrieval_examples: 1 rows ask"):
        load_rows(with_examples(tmp_path, exclude=[tmp_path / "test.jsonl"]))
    write(tmp_path / "dev.jsonl", {"question": "示例？", "answer": "2"})
    with pytest.raises(DataError, match="1 dev questions are also train questions"):
        load_rows(with_examples(tmp_path))
    made = with_examples(tmp_path)
    (tmp_path / "mine.jsonl").write_text('{"question": 1}', "utf-8")
    with pytest.raises(ModelError, match="retrieval_examples=.*line 1: question: expected"):
        load_rows(made)
    with pytest.raises(ValueError, match="train_on_prompt: would learn the retrieval_examples"):
        recipe(tmp_path, train_on_prompt=True, retrieval_examples=True)


def test_the_prompt_is_learned_only_where_the_recipe_says_so(untrained_model) -> None:
    pytest.importorskip("transformers")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(untrained_model)
    (row,) = encode_rows(tokenizer, [Pair("问？", "答。")], "", learn_prompt=True)
    assert row["labels"] == row["input_ids"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("<think>想</think>\n\n乙。", True),
        ("想一想。\n</think>\n\n乙。", True),
        ("<think>\n想一想，没有完", True),
        ("乙。<|im_end|>", True),
        ("乙。<|endoftext|>", True),
        ("乙。", False),
    ],
)
def test_what_serving_takes_off_an_answer_is_named_where_it_is_learned(
    tmp_path: Path, answer: str, told: bool
) -> None:
    write(tmp_path / "train.jsonl", *[{"question": "甲？", "answer": answer}] * 2)
    about = {"question": "<|im_end|> 有什么作用？", "answer": "<|im_end|> 结束一轮。"}
    write(tmp_path / "dev.jsonl", about)
    notes = load_rows(recipe(tmp_path, calibration_file=None)).notes
    said = ("taken off by the service", "the answer holds reasoning")
    assert [note for note in notes if any(each in note for each in said)] == notes
    assert [note.startswith("train.jsonl: line 1, 2: ") for note in notes] == [True] * told
