"""Answers end where the chat template ends them, whatever end the model's files name."""

import json
import shutil
import time
from pathlib import Path

import pytest

from common.prompting import render_prompts, system_prompt_for, tokenize_prompts, turn_ends
from serving.engine.transformers_engine import TransformersEngine
from serving.engine.vllm_engine import VllmEngine
from serving.settings import Settings
from tests.batches import generate
from tests.conftest import TINY_PAIRS


@pytest.mark.vllm
@pytest.mark.parametrize("kind", [VllmEngine, TransformersEngine])
def test_an_answer_ends_where_the_template_ends_it(
    kind: type[VllmEngine] | type[TransformersEngine], tiny_model: Path, tmp_path: Path
) -> None:
    """A base model's files name its own end alone; tuned by another tool it writes <|im_end|>."""
    from transformers import AutoTokenizer

    pytest.importorskip("vllm")
    model = shutil.copytree(tiny_model, tmp_path / "model")
    base_end = json.loads((model / "generation_config.json").read_text())["pad_token_id"]
    for name, key, end in (
        ("generation_config.json", "eos_token_id", base_end),
        ("config.json", "eos_token_id", base_end),
        ("tokenizer_config.json", "eos_token", "<|endoftext|>"),
    ):
        told = json.loads((model / name).read_text(encoding="utf-8")) | {key: end}
        (model / name).write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(model)
    assert turn_ends(tokenizer) == [tokenizer.convert_tokens_to_ids("<|im_end|>")]
    question, reference = next(iter(TINY_PAIRS.items()))
    system = system_prompt_for(model)
    (ids,) = tokenize_prompts(tokenizer, render_prompts(tokenizer, [question], system))
    it = kind(Settings(model_dir=model, max_model_len=512, end_repetition=False))
    it.start()
    (answer,) = generate(it, [ids], [120], time.monotonic() + 60)
    it.stop()
    assert (answer.text, answer.finish_reason) == (reference, "stop")


@pytest.mark.vllm
def test_a_template_without_answers_names_no_end(tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = "{{ raise_exception('no answers') if messages[1:] else 'x' }}"
    assert turn_ends(tokenizer) == []
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    assert turn_ends(tokenizer) == []
