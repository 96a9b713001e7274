"""The demo model's training: a toy of Qwen3's architecture learns one small book's answers.

The loop is a plain one: Transformers' Trainer would take longer to import and set up than a tenth
of the training, and here every step can be read. It ends by steps and never by the clock, so that
one seed gives one model on a machine, busy or not.
"""

import random
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from common.before_imports import before_imports
from common.language import either
from common.pairs import Pair
from common.prompting import render_prompts, tokenize_prompts
from train.demo.model import IM_END, SYSTEM_PROMPT, train_tokenizer, wrap_tokenizer
from train.demo.pace import Pace
from train.demo.wordings import vary

VOCAB_SIZE = 4096
# Small and often: for the same work on a processor a narrow model sees each pair more often than a
# wide one, and in wordings it has never seen scores better.
HIDDEN, LAYERS, INTERMEDIATE = 128, 2, 512
BATCH = 16
POOL = 6 * BATCH  # rows sorted by length at a time
PASSES = 92  # visits of each pair, every time in another wording
PEAK_LR = 3e-3

before_imports()

Row = tuple[list[int], list[int]]  # token ids of the rendered question and of the answer


def build_tokenizer(pairs: list[Pair]) -> Any:
    """The demo's tokenizer, trained on all questions and answers and the system prompt."""
    texts = [text for pair in pairs for text in (*pair.wordings, pair.answer)]
    # The chat template's own words, so that each is one token in every row.
    texts += [SYSTEM_PROMPT, "system", "user", "assistant", "\n\n"]
    return wrap_tokenizer(train_tokenizer(texts, VOCAB_SIZE))


def build_model(config: dict[str, Any], seed: int) -> Any:
    """A Qwen3 model with random weights, float32, the same for the same seed."""
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    fields = {k: v for k, v in config.items() if k not in ("architectures", "torch_dtype")}
    return Qwen3ForCausalLM(Qwen3Config(**fields, attn_implementation="sdpa")).float()


def tokenized(tokenizer: Any, rows: list[tuple[str, str]]) -> list[Row]:
    """(question, answer) rows as ids: the prompt as it is served, the answer with <|im_end|>."""
    prompts = render_prompts(tokenizer, [question for question, _ in rows], SYSTEM_PROMPT)
    heads = tokenize_prompts(tokenizer, prompts)
    tails = tokenize_prompts(tokenizer, [answer + IM_END for _, answer in rows])
    return list(zip(heads, tails, strict=True))


def batches(tokenizer: Any, pairs: list[Pair], rng: random.Random) -> Iterator[list[Row]]:
    """Batches without end: all pairs in turn, shuffled, each time in a drawn wording.

    Rows of similar length meet in one batch, so that little is padded: POOL rows are sorted by
    length, and their batches dealt in random order.
    """
    queue: list[Pair] = []
    while True:
        drawn = []
        while len(drawn) < POOL:
            queue = queue or rng.sample(pairs, len(pairs))
            pair = queue.pop()
            drawn.append((vary(pair.wordings, pair.answer, rng), pair.answer))
        rows = sorted(tokenized(tokenizer, drawn), key=lambda row: len(row[0]) + len(row[1]))
        ready = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
        rng.shuffle(ready)
        yield from ready


def padded(rows: list[Row], pad: int) -> tuple[Any, Any]:
    """Token ids and targets [rows, longest], targets -100 except on the answer and its <|im_end|>.

    Padding is on the right: causal attention never looks there, so no mask is needed.
    """
    import torch

    width = max(len(head) + len(tail) for head, tail in rows)
    ids = torch.full((len(rows), width), pad)
    targets = torch.full((len(rows), width), -100)
    for i, (head, tail) in enumerate(rows):
        ids[i, : len(head) + len(tail)] = torch.tensor(head + tail)
        targets[i, len(head) : len(head) + len(tail)] = torch.tensor(tail)
    return ids, targets


def answer_loss(model: Any, ids: Any, targets: Any) -> Any:
    """Mean cross-entropy (nats a token) over answer tokens; logits are made for those only."""
    import torch

    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
    wanted = targets[:, 1:]
    chosen = wanted != -100
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[chosen]), wanted[chosen])


def learning_rate(progress: float) -> float:
    """Warm-up over the first 5 %, then a straight line to zero (progress 0 … 1)."""
    return PEAK_LR * min(progress / 0.05, (1 - progress) / 0.95, 1.0)


def train(
    model: Any, tokenizer: Any, pairs: list[Pair], steps: int, seed: int, console: Console
) -> list[dict[str, float]]:
    """Train in place; returns one record a step (loss, learning rate, seconds).

    The clock only warns: see pace.py.
    """
    if not steps:
        return []
    import torch

    decayed = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_LR, betas=(0.9, 0.98), fused=True)
    log: list[dict[str, float]] = []
    pace = Pace(steps)
    start = time.monotonic()
    model.train()
    columns = [
        TextColumn(either("训练", "training")),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TextColumn(either("剩余", "left")),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("training", total=steps, loss=float("nan"))
        drawn = batches(tokenizer, pairs, random.Random(seed))
        for step in range(1, steps + 1):
            rate = learning_rate(step / (steps + 1))
            for group in optimizer.param_groups:
                group["lr"] = rate
            loss = answer_loss(model, *padded(next(drawn), tokenizer.pad_token_id))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            seconds = time.monotonic() - start
            row = {"step": step, "loss": loss.item(), "learning_rate": rate, "seconds": seconds}
            log.append(row)
            bar.update(task, completed=step, loss=recent_loss(log))
            if line := pace.after(step, seconds):
                bar.console.print(line, highlight=False, soft_wrap=True)
    model.eval()
    return log


def recent_loss(log: list[dict[str, float]]) -> float:
    """Mean loss of the last 20 steps."""
    return sum(row["loss"] for row in log[-20:]) / len(log[-20:])
