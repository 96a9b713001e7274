"""Preferences (optional): of a model's own answers to train questions, the judge's best and worst.

Several answers are drawn for each question, the judge's score ranks them, and TRL's DPO (Rafailov
et al. 2023, arXiv:2305.18290) raises the best over the worst. The result is a second adapter on top
of the first, for `train merge`; the verdict compares both on the dev questions.

The reference that DPO stays close to is the same model with the second adapter switched off (TRL's
choice for a PEFT model). Batches are padded on the right, chosen answers above rejected ones, so
attention needs no kernel for packed rows, and no row of its mask is empty.
"""

import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.language import either
from common.manifest import Manifest, file_record, library_versions, read_manifest, write_manifest
from common.pairs import Pair
from common.prompting import render_talks, write_system_prompt
from judging.scoring import repeats_question, rouge_l
from retrieval.prompt import FORM
from train.asking import as_served, spread
from train.base import ModelError, fetch_base, load_model, load_tokenizer
from train.dataset import DataError, load_rows, talk_of
from train.finite import need_finite, stop_at_nan, trained
from train.generate import greedy_answers, sampled_answers
from train.recipe import Recipe
from train.samples import write_sample
from train.verdict import Verdict, forget_judgement, reach_verdict

LEAST_PAIRS = 4
DRAWN_AT_ONCE = 512  # answers; fewer where memory asks for it (train/generate.py)
COPIED_WORDS = 10  # of an instruction in one run; names of books and things are shorter
_WORD = re.compile(r"[a-z0-9]+|[\u3400-\u4dbf\u4e00-\u9fff]")


@dataclass(frozen=True)
class PreferenceSettings:
    """questions: how many train questions are asked; draws: answers to each, at `temperature`.

    gap: least difference of score between the best and the worst; a question without is left out.
    beta: DPO's; larger stays closer to the model that answered.
    """

    questions: int = 200
    draws: int = 6
    temperature: float = 0.9
    gap: float = 0.1
    beta: float = 0.1
    learning_rate: float = 5e-6
    epochs: float = 1


@dataclass(frozen=True)
class Preference:
    """One question as it is served, and two of the model's own answers with their scores."""

    row: Pair
    chosen: str
    rejected: str
    best: float
    worst: float


def prefer(
    recipe: Recipe, settings: PreferenceSettings, say: Callable[[str], None] = print
) -> tuple[Path, Verdict]:
    """Train preferences on top of the recipe's adapter; returns the new adapter and the verdict.

    What the verdict calls base is the model before this step. The adapter is in
    `output_dir/prefer/adapter`; merge it after the first: `merge --adapter A --adapter B`.
    Raises DataError where too few questions have answers of different score, and ModelError,
    before an adapter is written, for numbers that are not finite.
    """
    import torch
    from transformers import set_seed

    started = time.monotonic()
    base, rows, out = fetch_base(recipe), load_rows(recipe), recipe.output_dir / "prefer"
    first = recipe.output_dir / "adapter"
    if recipe.finetuning_type != "lora" or recipe.quantization_bit:
        raise ModelError(
            either(
                "prefer：只用于不带 quantization_bit 的 lora；合并的是两者之和",
                "prefer: for lora without quantization_bit; the sum of both is merged",
            )
        )
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    forget_judgement(out)
    out.mkdir(parents=True, exist_ok=True)
    set_seed(recipe.seed)
    tokenizer, model = load_tokenizer(base), load_model(base, _padded(recipe))
    if first.is_dir():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, first).merge_and_unload(safe_merge=True)
    system = recipe.system_prompt(base)
    asked = as_served(recipe, tokenizer, spread(rows.train, settings.questions), system)
    say(f"drawing {settings.draws} answers to each of {len(asked)} train questions")
    with torch.autocast(model.device.type, torch.bfloat16, enabled=model.dtype == torch.bfloat16):
        # All draws of a question side by side: prompts of one length, and few large batches.
        drawn = sampled_answers(
            model,
            tokenizer,
            [row for row in asked for _ in range(settings.draws)],
            system,
            recipe.eval_max_new_tokens,
            settings.temperature,
            DRAWN_AT_ONCE,
        )
    draws = [drawn[i : i + settings.draws] for i in range(0, len(drawn), settings.draws)]
    preferences = ranked(asked, draws, settings.gap, system)
    _write_preferences(out / "preferences.jsonl", preferences)
    count, gap = len(preferences), f"{settings.gap:g}"
    say(
        either(
            f"{count} 题的回答相差 {gap} 分以上",
            f"{count} questions have answers {gap} apart or more",
        )
    )
    if len(preferences) < LEAST_PAIRS:
        raise DataError(
            either(
                f"{len(asked)} 道训练题里只有 {len(preferences)} 道的回答得分不同；"
                "多问几道（--questions）、多抽几个（--draws），或减小 --gap",
                f"only {len(preferences)} of {len(asked)} train questions have answers of "
                "different score; ask more (--questions), draw more (--draws) or accept a "
                "smaller --gap",
            )
        )
    dev = spread(rows.dev, recipe.eval_samples)
    dev_asked = as_served(recipe, tokenizer, dev, system)
    dev = [row.alone for row in dev]
    judged = recipe.model_copy(update={"output_dir": out})
    answers = greedy_answers(model, tokenizer, dev_asked, system, recipe.eval_max_new_tokens)
    write_sample(out, 0, dev, answers)
    trainer = _trainer(recipe, settings, model, tokenizer, preferences, system, out)
    stop_at_nan(trainer)
    trainer.train()
    tuned = trainer.accelerator.unwrap_model(trainer.model)
    need_finite(trained(tuned))
    with trainer.accelerator.autocast():
        answers = greedy_answers(tuned, tokenizer, dev_asked, system, recipe.eval_max_new_tokens)
    step = max(1, trainer.state.global_step)
    write_sample(out, step, dev, answers)
    verdict = reach_verdict(judged, {step: settings.epochs})
    adapter = out / "adapter"
    tuned.save_pretrained(str(adapter))
    write_system_prompt(adapter, system)
    _record(recipe, settings, adapter, preferences, verdict, time.monotonic() - started)
    return adapter, verdict


def _padded(recipe: Recipe) -> Recipe:
    """The recipe with attention for padded batches, where it leaves the choice to us."""
    if recipe.attn_implementation not in ("auto", "varlen"):
        return recipe
    return recipe.model_copy(update={"attn_implementation": "sdpa"})


def ranked(
    rows: Sequence[Pair], draws: Sequence[Sequence[str]], gap: float, system: str = ""
) -> list[Preference]:
    """Best and worst drawn answer of each row by the judge's score; see PreferenceSettings.gap.

    An answer that repeats its question or an instruction of its prompt is worth 0, as in reports,
    and never the better one. Of equal scores the shorter answer is the better one: stray words cost
    precision elsewhere.
    """
    found = []
    for row, texts in zip(rows, draws, strict=True):
        worth = {text: _worth(row, text, row.system or system) for text in texts if text.strip()}
        scored = sorted(((score or 0.0, -len(text), text) for text, score in worth.items()))
        able = [each for each in scored if worth[each[2]] is not None]
        if not able:
            continue
        best, worst = able[-1], scored[0]
        if best[2] != worst[2] and best[0] - worst[0] >= gap:
            found.append(Preference(row, best[2], worst[2], best[0], worst[0]))
    return found


def _worth(row: Pair, text: str, system: str) -> float | None:
    """The judge's score of an answer; None where it repeats what it was asked."""
    if repeats_question(row.alone.question, row.answer, text):
        return None
    told = [system, *FORM.split("{passages}")]
    if any(copies(each, text, row.answer) for each in told):
        return None
    return rouge_l(row.answer, text)


def copies(instruction: str, text: str, reference: str) -> bool:
    """Whether a text has COPIED_WORDS of an instruction in a run that the reference has not.

    Words are Chinese characters and runs of [a-z0-9].
    """

    def runs(of: str) -> set[tuple[str, ...]]:
        words = _WORD.findall(of.lower())
        return {tuple(words[i : i + COPIED_WORDS]) for i in range(len(words) - COPIED_WORDS + 1)}

    return bool(runs(instruction) & runs(text) - runs(reference))


def _trainer(
    recipe: Recipe,
    settings: PreferenceSettings,
    model: Any,
    tokenizer: Any,
    preferences: Sequence[Preference],
    system: str,
    out: Path,
) -> Any:
    """TRL's DPOTrainer on a fresh LoRA; its reference is the same model with the LoRA off."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    talks = [talk_of(each.row, system) for each in preferences]
    rows = [
        {"prompt": prompt, "chosen": each.chosen, "rejected": each.rejected}
        for prompt, each in zip(render_talks(tokenizer, talks), preferences, strict=True)
    ]
    cuda = torch.cuda.is_available()
    target = "all-linear" if recipe.lora_target == "all" else recipe.lora_target.split(",")
    return DPOTrainer(
        model=model,
        args=DPOConfig(
            output_dir=str(out / "checkpoints"),
            beta=settings.beta,
            learning_rate=settings.learning_rate,
            num_train_epochs=settings.epochs,
            per_device_train_batch_size=4,
            max_length=None,
            bf16=cuda if recipe.bf16 is None else recipe.bf16,
            use_cpu=not cuda,
            gradient_checkpointing=recipe.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            save_strategy="no",
            logging_steps=recipe.logging_steps,
            report_to="none",
            seed=recipe.seed,
            dataloader_pin_memory=cuda,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(
            r=recipe.lora_rank,
            lora_alpha=recipe.lora_alpha,
            target_modules=target,
            task_type="CAUSAL_LM",
        ),
    )


def _write_preferences(path: Path, preferences: Sequence[Preference]) -> None:
    lines = [
        json.dumps(
            {
                "question": each.row.question,
                "chosen": each.chosen,
                "rejected": each.rejected,
                "scores": [round(each.best, 4), round(each.worst, 4)],
            },
            ensure_ascii=False,
        )
        for each in preferences
    ]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _record(
    recipe: Recipe,
    settings: PreferenceSettings,
    adapter: Path,
    preferences: Sequence[Preference],
    verdict: Verdict,
    seconds: float,
) -> None:
    parents = [m for m in (read_manifest(recipe.output_dir / "adapter"),) if m]
    write_manifest(
        adapter,
        Manifest(
            stage="prefer",
            name=recipe.output_dir.name,
            demo=any(parent.demo for parent in parents),
            inputs=[file_record(recipe.dataset_dir / recipe.train_file)],
            settings=vars(settings) | {"verdict": verdict.model_dump()},
            counts={"preferences": len(preferences)},
            scores={"dev_judge_base": verdict.base, "dev_judge_tuned": verdict.tuned},
            versions=library_versions(["torch", "transformers", "trl", "peft"]),
            seconds=round(seconds, 1),
            parents=parents,
        ),
    )
