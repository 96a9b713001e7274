"""The demo model's parts: a tokenizer, a Qwen3 configuration, and files that old and new
Transformers (4.55 … 5.x) and vLLM (0.10.0 … newest) read alike.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common.prompting import write_system_prompt

# Short, because every training row carries it and a toy has no use for instructions.
SYSTEM_PROMPT = "你是教材答疑助手。"

# As in Qwen3: the first three are control tokens, the think marks are ordinary added tokens.
END_OF_TEXT, IM_START, IM_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
THINK, END_THINK = "<think>", "</think>"

# Qwen3's chat form: ChatML, and an empty think block where thinking is switched off.
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}"
    "{{- '<|im_start|>assistant\\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}"
    "{{- '<think>\\n\\n</think>\\n\\n' }}"
    "{%- endif %}"
    "{%- endif %}"
)

# Chinese characters and full-width punctuation stand alone: with merged words, one dropped or
# added character changes every token around it, and a reworded question looks all new.
_CJK = r"[\u3000-\u303f\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef]"
# Identifiers are cut where a reader cuts them: cudaMemcpyAsync → cuda Memcpy Async, 256 → 2 5 6.
_ASCII = r" ?[A-Z]?[a-z]+| ?[A-Z]+(?![a-z])|[0-9]| ?[^\sA-Za-z0-9]|\s+"


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Any:
    """A byte-level BPE tokenizer (tokenizers.Tokenizer) with Qwen's chat tokens.

    Every text can be encoded: bytes that training never saw are tokens themselves.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CJK), "isolated"),
            pre_tokenizers.Split(Regex(_ASCII), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - 5,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([END_OF_TEXT, IM_START, IM_END])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in (THINK, END_THINK)])
    return tokenizer


def wrap_tokenizer(tokenizer: Any) -> Any:
    """The same tokenizer as Transformers' class, with the chat template."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=IM_END,
        pad_token=END_OF_TEXT,
        chat_template=CHAT_TEMPLATE,
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )


MAX_POSITIONS = 2048


def model_config(tokenizer: Any, hidden: int, layers: int, intermediate: int) -> dict[str, Any]:
    """config.json in the field names of Transformers 4.x, which 5.x also reads.

    All widths are multiples of 128, so that AWQ with group size 128 applies; heads are 64 wide,
    which vLLM's CPU attention supports.
    """
    ids = {token: tokenizer.token_to_id(token) for token in (END_OF_TEXT, IM_END)}
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": -(-tokenizer.get_vocab_size() // 64) * 64,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // 64,
        "num_key_value_heads": max(1, hidden // 128),
        "head_dim": 64,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        # 0.02 suits wide models: a narrow one would spend its first steps on growing its weights.
        "initializer_range": 0.05,
        "max_position_embeddings": MAX_POSITIONS,
        "max_window_layers": layers,
        "rms_norm_eps": 1e-6,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "sliding_window": None,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "use_cache": True,
        "torch_dtype": "bfloat16",
        "bos_token_id": ids[END_OF_TEXT],
        "eos_token_id": ids[IM_END],
        "pad_token_id": ids[END_OF_TEXT],
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def save_model(directory: Path, model: Any, tokenizer: Any, config: dict[str, Any]) -> None:
    """Write weights (bfloat16 safetensors), config, tokenizer, chat template, system prompt.

    The JSON files are written here and not by `save_pretrained`, whose newer versions use field
    names (`dtype`, `rope_parameters`, `TokenizersBackend`) that Transformers 4.55 cannot read.
    bfloat16 because vLLM would cast float32 weights to it anyway: so both engines compute alike.
    """
    import torch
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    weights = {
        name: tensor.detach().to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"  # tied to the embedding
    }
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "model.safetensors").chmod(0o644)  # written 0600; other users serve it too
    _write_json(directory / "config.json", config)
    stops = [config["eos_token_id"], config["pad_token_id"]]
    _write_json(
        directory / "generation_config.json",
        {"do_sample": False, "eos_token_id": stops, "pad_token_id": config["pad_token_id"]},
    )
    tokenizer.save(str(directory / "tokenizer.json"))
    _write_json(
        directory / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": None,
            "eos_token": IM_END,
            "pad_token": END_OF_TEXT,
            "unk_token": None,
            "add_bos_token": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": MAX_POSITIONS,
            "chat_template": CHAT_TEMPLATE,
        },
    )
    (directory / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    write_system_prompt(directory, SYSTEM_PROMPT)
