"""The engine on Transformers, for machines where vLLM cannot be installed. Slower, same answers.

Prompts are sorted by length and padded on the left, so that a padded batch wastes little.
"""

import logging
import queue
import threading
import time
from typing import Any

from common.prompting import turn_ends
from serving.engine.base import Answer, Batch, EngineError
from serving.engine.detokenize import answer_text
from serving.engine.repetition import LOOK_EVERY, RepetitionWatch, TokenKinds, token_kinds
from serving.settings import Settings

log = logging.getLogger(__name__)

# Rows that run at once: more waste padding, fewer waste a laptop's GPU or CPU.
ROWS = 32

# A prompt of a batch, its place there and its tokens.
Row = tuple[Batch, int, list[int]]


class TransformersEngine:
    """`Engine` on `AutoModelForCausalLM.generate`."""

    name = "transformers"
    recovering = False  # a failed batch ends with an error, and the next one is tried

    def __init__(self, settings: Settings):
        self._settings = settings
        self._inbox: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._error: EngineError | None = None
        self._thread = threading.Thread(target=self._run, name="hf-engine", daemon=True)
        self._info: dict[str, Any] = {"name": self.name}
        self._kinds: TokenKinds | None = None
        self.max_model_len = settings.max_model_len
        self.warmup_questions = ROWS

    def start(self) -> None:
        """Load model and tokenizer. Raises EngineError."""
        import torch
        import transformers
        from transformers import AutoModelForCausalLM, AutoTokenizer

        began = time.monotonic()
        dtype = "auto" if self._settings.dtype == "auto" else getattr(torch, self._settings.dtype)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self._settings.model_dir)
            # Weights are data: no pickle is unpacked, no code of the model's directory runs.
            model = AutoModelForCausalLM.from_pretrained(
                self._settings.model_dir,
                torch_dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
            )
        except (OSError, ValueError, ImportError) as error:
            raise EngineError(f"MODEL_DIR={self._settings.model_dir}: {error}") from error
        self._model = model.to(device).eval()
        if self._settings.end_repetition:
            self._kinds = token_kinds(self._tokenizer)
        self._eos = _eos_ids(self._model, self._tokenizer)
        longest = getattr(model.config, "max_position_embeddings", self.max_model_len)
        self.max_model_len = min(self.max_model_len, longest)
        self._info |= {
            "version": transformers.__version__,
            "device": {"kind": device, "name": device},
            "max_model_len": self.max_model_len,
            "load_seconds": round(time.monotonic() - began, 2),
        }
        self._thread.start()

    def submit(self, batch: Batch) -> None:
        """Hand a batch to the engine's thread. Raises EngineError when that has died."""
        if self._error is not None:
            raise self._error
        self._inbox.put(batch)

    def healthy(self) -> bool:
        """Whether the engine's thread is up."""
        return self._error is None and self._thread.is_alive()

    def stats(self) -> dict[str, float]:
        """Batches that wait."""
        return {"waiting": self._inbox.qsize()}

    def info(self) -> dict[str, Any]:
        """Transformers' version and the device."""
        return self._info

    def stop(self) -> None:
        """End the engine's thread after its running batch."""
        self._inbox.put(None)
        self._thread.join(timeout=30)

    def _run(self) -> None:
        draws: list[Row] = []  # further draws wait until nothing else does
        while True:
            batches = [self._inbox.get()] if not draws else []
            while not self._inbox.empty():  # calls that arrived together share batches
                batches.append(self._inbox.get())
            live = [batch for batch in batches if batch is not None]
            draws += _rows([batch for batch in live if batch.is_draws])
            rows = _rows([batch for batch in live if not batch.is_draws])
            self._answer(rows)
            if None in batches:
                self._error = EngineError("the engine was stopped")
                for batch, *_ in draws:
                    batch.fail(self._error)
                return
            if not rows and draws:
                self._answer(draws[:ROWS])
                draws = [row for row in draws[ROWS:] if not row[0].done.done()]

    def _answer(self, rows: list[Row]) -> None:
        """Answer rows, either draws or none (one temperature); their batches fail when it fails."""
        rows.sort(key=lambda row: len(row[2]))
        for start in range(0, len(rows), ROWS):
            now = time.monotonic()
            in_time = []
            for row in rows[start : start + ROWS]:
                batch, index, _ = row
                if batch.deadline > now:
                    in_time.append(row)
                else:
                    batch.finish(index, Answer("", 0, "deadline"))
            try:
                if in_time:
                    self._answer_rows(in_time)
            except Exception as error:  # noqa: BLE001 - out of memory, mostly: the next may fit
                log.error("a batch failed", exc_info=True)
                for batch, *_ in rows:
                    batch.fail(EngineError(f"Transformers failed: {type(error).__name__}: {error}"))
                return

    def _answer_rows(self, rows: list[Row]) -> None:
        import torch

        width = max(len(prompt) for _, _, prompt in rows)
        pad = self._tokenizer.pad_token_id or 0
        ids = torch.full((len(rows), width), pad)
        mask = torch.zeros_like(ids)
        for row, (_, _, prompt) in enumerate(rows):
            ids[row, width - len(prompt) :] = torch.tensor(prompt)
            mask[row, width - len(prompt) :] = 1
        longest = max(batch.max_tokens[index] for batch, index, _ in rows)
        watches = [RepetitionWatch(self._kinds) for _ in rows] if self._kinds else []

        def to_end(input_ids: Any, scores: Any, **_: Any) -> Any:
            now = time.monotonic()
            # Read at every token: a deadline may be brought forward meanwhile.
            ends = [now >= batch.deadline for batch, _, _ in rows]
            written = input_ids.shape[1] - width
            if watches and written % LOOK_EVERY == 0:
                for row, ids in enumerate(input_ids[:, width:].tolist()):
                    # A row that has ended is padded, which looks like a loop and does no harm.
                    ends[row] |= watches[row].look(ids) is not None
            return torch.tensor(ends, device=input_ids.device)

        sampling = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        own = rows[0][0].draw_temperature
        temperature = self._settings.temperature if own is None else own
        if temperature > 0:
            sampling = {"do_sample": True, "temperature": temperature}
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                max_new_tokens=longest,
                eos_token_id=sorted(self._eos),
                pad_token_id=pad,
                stopping_criteria=[to_end],
                **sampling,
            )
        for (batch, index, _), new in zip(rows, output[:, width:].tolist(), strict=True):
            batch.finish(index, self._cut(new, batch.max_tokens[index]))

    def _cut(self, ids: list[int], max_tokens: int) -> Answer:
        end = next((i for i, token in enumerate(ids) if token in self._eos), None)
        kept = ids[: max_tokens if end is None else min(end, max_tokens)]
        if end is None:  # a row that its deadline stopped is padded
            while kept and kept[-1] == self._tokenizer.pad_token_id:
                kept.pop()
        if end is None and self._kinds is not None:
            first_turn = RepetitionWatch(self._kinds).look(kept, at_once=True)
            if first_turn is not None:
                text = answer_text(self._tokenizer, kept[:first_turn])
                return Answer(text, first_turn, "repeat")
        text = answer_text(self._tokenizer, kept)
        if end is not None and end <= max_tokens:
            return Answer(text, len(kept), "stop")
        return Answer(text, len(kept), "length" if len(kept) >= max_tokens else "deadline")


def _rows(batches: list[Batch]) -> list[Row]:
    return [(batch, i, prompt) for batch in batches for i, prompt in enumerate(batch.prompts)]


def _eos_ids(model: Any, tokenizer: Any) -> set[int]:
    """End tokens, as vLLM has them: the generation config's, the tokenizer's, and turn_ends."""
    named = model.generation_config.eos_token_id
    ends = {*(named if isinstance(named, list) else [named]), tokenizer.eos_token_id}
    return {*ends, *turn_ends(tokenizer)} - {None}
