"""Logits of a model directory on questions, by whichever Transformers runs this file.

    python -m train.logits MODEL_DIR QUESTIONS.json OUT.safetensors

So the training environment and the one that serves (Transformers 4.55 in the judge's image) can be
compared: imports of the kit stay within what ships, and Python within 3.10.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.prompting import render_prompts, system_prompt_for, tokenize_prompts

POSITIONS = 8  # of each prompt's end: the first token of the answer and those that lead to it


def load_for_logits(directory: Path) -> Any:
    """The model in float32 on the CPU. Raises ValueError when weights for it are missing."""
    import torch
    import transformers

    older = tuple(map(int, transformers.__version__.split(".")[:2])) < (4, 56)
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        directory,
        output_loading_info=True,
        use_safetensors=True,
        **{"torch_dtype" if older else "dtype": torch.float32},
    )
    lost = [*report["missing_keys"], *report.get("mismatched_keys", [])]
    if lost:
        raise ValueError(f"{directory}: no weights for {len(lost)} tensors ({lost[0]}, …)")
    return model.eval()


def last_logits(model: Any, rows: Sequence[Sequence[int]], positions: int = POSITIONS) -> Any:
    """Logits at the last `positions` of each row of token ids: (all positions, vocabulary)."""
    import torch

    with torch.inference_mode():
        parts = [model(torch.tensor([row])).logits[0, -positions:].float() for row in rows]
    return torch.cat(parts)


def relative(found: Any, reference: Any) -> float:
    """‖found − reference‖ / ‖reference‖."""
    return float((found - reference).norm() / reference.norm())


def prompt_ids(directory: Path, questions: Sequence[str]) -> list[list[int]]:
    """Token ids of the questions' prompts, as the directory's service would render them."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(directory)
    prompts = render_prompts(tokenizer, questions, system_prompt_for(directory))
    return tokenize_prompts(tokenizer, prompts)


def main(directory: str, questions: str, out: str) -> None:
    """Write logits, and in the file's metadata the token ids and Transformers' version."""
    import transformers
    from safetensors.torch import save_file

    asked = json.loads(Path(questions).read_text(encoding="utf-8"))
    ids = prompt_ids(Path(directory), asked)
    logits = last_logits(load_for_logits(Path(directory)), ids)
    told = {"ids": json.dumps(ids), "transformers": transformers.__version__}
    save_file({"logits": logits.contiguous()}, out, metadata=told)


if __name__ == "__main__":
    main(*sys.argv[1:])
