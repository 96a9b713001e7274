"""A reviewer that asks a small model nothing: how likely is it to write an answer's sentence?

Of what the rules take from a book, sentences that are garbled, mistranslated or say little are
less likely. What it tells apart, and by how much: docs/data.md.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from common.language import either
from data.review import Rated, Reviewer
from data.sources.vllm_source import VllmSettings, load_engine

ASPECT = "fluent"
# Mean log-probability of a token. Chosen with the 0.5B on 152 pairs (their highest 30 %); on 208
# pairs of other books 88 % of what it keeps is good, and 85 % with the 1.5B
# (bench/results/data_rules_fluency.jsonl). Models of other families have another scale.
LEAST = -3.24
# (model_type, hidden_size) of the two: all that their config.json says of them.
MEASURED_MODELS = (("qwen2", 896), ("qwen2", 1536))


def not_measured(model: Path, strict_rules: bool) -> str:
    """One line where the threshold meets what it was not measured on, else "".

    strict_rules: all pairs are by `--rules strict`.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    same_model = (config.get("model_type"), config.get("hidden_size")) in MEASURED_MODELS
    others = [
        *([] if strict_rules else [either("别的题", "other pairs")]),
        *([] if same_model else [either("别的模型", "another model")]),
    ]
    if not others:
        return ""
    return either(
        f"--review fluency 的界线（{LEAST}）只在 --rules strict 的题、Qwen2.5-Coder 0.5B 和 1.5B 上"
        f"量过；这里是{'、'.join(others)}，去掉得对不对没有量过：先读报告里去掉的例子",
        f"--review fluency: its threshold ({LEAST}) was measured on pairs of --rules strict with "
        f"Qwen2.5-Coder 0.5B and 1.5B alone; here are {' and '.join(others)}, so read the dropped "
        "examples in the report first",
    )


@dataclass(kw_only=True)
class FluencyReviewer(Reviewer):
    """Denies the pairs whose answers a model finds unlikely; `means`: mean log-probability of the
    tokens of each text."""

    kind: ClassVar[str] = "fluency-1"
    means: Callable[[Sequence[str]], list[float]]
    least: float = LEAST

    def _texts(self, rows: Sequence[Rated]) -> list[str]:
        return [row.pair.answer for row in rows]

    def _ratings(self, texts: Sequence[str]) -> Iterator[dict[str, Any]]:
        return ({"mean": mean} for mean in self.means(texts))

    def _denied(self, rating: dict[str, Any]) -> str:
        return "" if rating["mean"] >= self.least else ASPECT


def means_of(settings: VllmSettings) -> Callable[[Sequence[str]], list[float]]:
    """Measures texts with a vLLM engine, loaded at the first call."""
    loaded: list[Any] = []

    def means(texts: Sequence[str]) -> list[float]:
        from vllm import SamplingParams

        if not loaded:
            loaded.append(load_engine(settings))
        tokenizer = loaded[0].get_tokenizer()
        before = tokenizer("\n", add_special_tokens=False)["input_ids"]
        tokens = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        params = SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0)
        prompts = [{"prompt_token_ids": before + ids} for ids in tokens]
        outputs = loaded[0].generate(prompts, params)
        return [
            sum(
                place[token].logprob
                for place, token in zip(output.prompt_logprobs[len(before) :], ids, strict=True)
            )
            / max(len(ids), 1)
            for output, ids in zip(outputs, tokens, strict=True)
        ]

    return means
