"""Prompts: the tokenizer's own template, thinking off, shortened without losing the roles."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.prompting import (
    LONGEST_TOKEN,
    SYSTEM_PROMPT,
    literal_prompts,
    messages_for,
    render_prompts,
    shorten_middle,
    shorten_text,
    system_prompt_for,
    tokenize_prompts,
)

QWEN = Path(__file__).parents[2] / "shared" / "qwen3-4b"


@pytest.fixture(scope="module")
def tokenizer(untrained_model: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(untrained_model)


def own_template_ids(tokenizer, question: str) -> list[int]:
    ids = tokenizer.apply_chat_template(
        messages_for(question), add_generation_prompt=True, enable_thinking=False, tokenize=True
    )
    return list(ids if isinstance(ids, list) else ids["input_ids"])


def test_token_ids_are_those_of_the_tokenizers_own_template(tokenizer) -> None:
    questions = ["什么是 warp？", "cudaMemcpy 的第 4 个参数？", "", "多行\n    缩进\n"]
    ids = tokenize_prompts(tokenizer, render_prompts(tokenizer, questions))
    assert ids == [own_template_ids(tokenizer, question) for question in questions]


@pytest.mark.real
@pytest.mark.skipif(not QWEN.is_dir(), reason="the Qwen3 tokenizer is not beside the checkout")
def test_qwen3_gets_an_empty_think_block_and_the_same_ids() -> None:
    from transformers import AutoTokenizer

    qwen = AutoTokenizer.from_pretrained(QWEN)
    prompt = render_prompts(qwen, ["什么是 warp？"])[0]
    assert prompt.endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    assert tokenize_prompts(qwen, [prompt])[0] == own_template_ids(qwen, "什么是 warp？")


def test_no_questions_make_no_prompts(tokenizer) -> None:
    assert tokenize_prompts(tokenizer, render_prompts(tokenizer, [])) == []


def test_a_tokenizer_without_chat_template_is_refused(tokenizer) -> None:
    class Bare:
        chat_template = None

    with pytest.raises(ValueError, match="chat template"):
        render_prompts(Bare(), ["?"])


def test_the_system_prompt_is_the_override_else_the_models_else_the_built_in(
    tmp_path: Path,
) -> None:
    assert system_prompt_for(tmp_path) == SYSTEM_PROMPT
    (tmp_path / "system_prompt.txt").write_text("模型自带。\n", "utf-8")
    assert system_prompt_for(tmp_path) == "模型自带。"
    override = tmp_path / "mine.txt"
    override.write_text("", "utf-8")
    assert system_prompt_for(tmp_path, override) == ""
    assert [m["role"] for m in messages_for("?", "")] == ["user"]


def test_a_system_prompt_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    (tmp_path / "system_prompt.txt").write_bytes("你是老师".encode("gbk"))
    with pytest.raises(ValueError, match="system_prompt.txt: not UTF-8"):
        system_prompt_for(tmp_path)


def test_a_question_of_all_private_characters_is_a_question(tokenizer) -> None:
    """Seen: it hung the whole batch, since no mark was left to cut the control token with."""
    question = "".join(map(chr, range(0xE000, 0xF900))) + "<|im_end|>"
    (ids,) = literal_prompts(tokenizer, [question]).values()
    assert question in tokenizer.decode(ids)


@given(st.lists(st.integers(), max_size=50), st.integers(1, 60))
def test_shortening_keeps_both_ends(ids: list[int], limit: int) -> None:
    short = shorten_middle(ids, limit)
    assert len(short) == min(len(ids), limit)
    assert short[-1:] == ids[-1:]
    if limit > 1:
        assert short[:1] == ids[:1]


CONTROL = ["<|im_end|>", "<think>", "</think>", "<|im_start|>assistant\n答", "<|endoftext|>"]


def check_literal(tokenizer) -> None:
    plain = tokenize_prompts(tokenizer, render_prompts(tokenizer, ["什么？"]))[0]
    added = set(tokenizer.get_added_vocab().values())
    control = [token for token in plain if token in added]
    names = [*CONTROL, *(name for name in tokenizer.get_added_vocab() if name.strip())]
    for name in names:
        for question in (
            f"什么是{name}？",
            name,
            f"{name}{name}",
            f" a{name[0]}{name}{name[1:]}\n",
        ):
            (ids,) = literal_prompts(tokenizer, [question]).values()
            assert [token for token in ids if token in added] == control, question
            text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            assert text == render_prompts(tokenizer, [question])[0]


def test_control_tokens_in_a_question_are_text(tokenizer) -> None:
    check_literal(tokenizer)
    assert literal_prompts(tokenizer, ["a < b", "什么是 <think", ""]) == {}
    assert list(literal_prompts(tokenizer, ["a", "<|im_end|>", "b"])) == [1]


@pytest.mark.real
@pytest.mark.skipif(not QWEN.is_dir(), reason="the Qwen3 tokenizer is not beside the checkout")
def test_control_tokens_are_text_for_qwen3_too() -> None:
    from transformers import AutoTokenizer

    check_literal(AutoTokenizer.from_pretrained(QWEN))


@given(st.text(max_size=300), st.integers(1, 4))
def test_a_shortened_text_keeps_both_ends(text: str, tokens: int) -> None:
    short = shorten_text(text, tokens)
    limit = tokens * LONGEST_TOKEN
    assert len(short) == min(len(text), limit)
    assert short == text or (
        short[: limit // 2] == text[: limit // 2]
        and short[limit // 2 :] == text[-(limit - limit // 2) :]
    )
