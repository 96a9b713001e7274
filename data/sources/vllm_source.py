"""Pairs from a local model: vLLM in this process, structured outputs, all chunks in one batch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator

from common.json_reply import ReplyError
from common.language import either
from data.records import Chunk, Pair, digest
from data.sources import Estimate, SourceError
from data.sources.prompts import (
    ModelSettings,
    estimate_tokens,
    failure_notes,
    messages,
    prompt_version,
    schema,
)
from data.sources.replies import read_reply

ASSUMED_TOKENS_PER_SECOND = 2000  # of the whole batch on one GPU; only for the estimate


class VllmSettings(ModelSettings):
    """`engine` holds arguments for vllm.LLM; `longest` is enforced while decoding."""

    longest: tuple[int, int] | None = (120, 1200)
    reply_tokens: int = 4096
    engine: dict[str, Any] = {}

    @model_validator(mode="after")
    def _model_is_there(self) -> "VllmSettings":
        if not (Path(self.model) / "config.json").is_file():
            raise ValueError(
                either(
                    f"--source vllm 需要 --model 模型目录，而不是 {self.model!r}",
                    f"--source vllm needs --model DIR with a model in it, got {self.model!r}",
                )
            )
        return self

    @property
    def fingerprint(self) -> str:
        """What of the settings and the model changes the pairs."""
        chosen = self.model_dump(
            include={"longest", "reply_tokens", "engine"}, exclude_defaults=True
        )
        shown = digest(repr(sorted(chosen.items())))[:6] if chosen else "default"
        model, version = model_digest(Path(self.model)), prompt_version(self)
        return f"vllm/{version}/{model}/{self.per_chunk}/{self.wordings}/{shown}"


def structured(json_schema: dict[str, Any]) -> dict[str, Any]:
    """SamplingParams arguments that hold the output to a schema, under either name.

    vLLM 0.10 calls them GuidedDecodingParams; 0.11 and later StructuredOutputsParams.
    """
    try:
        from vllm.sampling_params import StructuredOutputsParams
    except ImportError:
        from vllm.sampling_params import GuidedDecodingParams

        return {"guided_decoding": GuidedDecodingParams(json=json_schema)}
    return {"structured_outputs": StructuredOutputsParams(json=json_schema)}


def compact() -> dict[str, Any]:
    """LLM arguments that forbid blanks between JSON tokens, which weak models write endlessly."""
    try:
        from vllm.sampling_params import StructuredOutputsParams  # noqa: F401 - is it there?
    except ImportError:
        return {
            "guided_decoding_backend": "xgrammar",
            "guided_decoding_disable_any_whitespace": True,
        }
    return {"structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True}}


def model_digest(model: Path) -> str:
    """Names a model by its directory and the sizes of its files, without reading them."""
    sizes = [f"{p.name}:{p.stat().st_size}" for p in sorted(model.iterdir()) if p.is_file()]
    return f"{model.name}-{digest(*sizes)[:8]}"


class Asker:
    """One vLLM engine that turns chunks into reply texts; also what a Ray worker runs."""

    def __init__(self, settings: VllmSettings) -> None:
        """Loads the model."""
        from vllm import LLM, SamplingParams

        self._settings = settings
        # Greedy, so that a chunk's pairs do not depend on which batch or worker it was in.
        self._params = SamplingParams(
            temperature=0.0, max_tokens=settings.reply_tokens, **structured(schema(settings))
        )
        self._llm = LLM(model=settings.model, **{**compact(), **settings.engine})

    def replies(self, chunks: Sequence[Chunk]) -> list[tuple[str, str]]:
        """(reply text, finish reason) of each chunk, in order."""
        outputs = self._llm.chat(
            [messages(chunk, self._settings) for chunk in chunks],
            self._params,
            use_tqdm=len(chunks) > 1,
            chat_template_kwargs={"enable_thinking": False},
        )
        return [(o.outputs[0].text, o.outputs[0].finish_reason or "") for o in outputs]


class VllmSource:
    """Asks a local model about all chunks in one batch."""

    name = "vllm"
    one_batch = True

    def __init__(self, settings: VllmSettings) -> None:
        self.settings = settings
        self.fingerprint = settings.fingerprint
        self.notes: list[str] = []

    def estimate(self, chunks: Sequence[Chunk]) -> Estimate:
        """One prompt a chunk; tokens and time are rough."""
        prompt, answer = estimate_tokens(chunks, self.settings)
        basis = f"assuming {ASSUMED_TOKENS_PER_SECOND} tokens/s on one GPU"
        return Estimate(len(chunks), prompt, answer, answer / ASSUMED_TOKENS_PER_SECOND, basis)

    def pairs(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, list[Pair]]]:
        """Pairs of each chunk in order; chunks whose reply was cut off are left out and noted."""
        if not chunks:
            return
        yield from self.read(chunks, self.replies(chunks))

    def replies(self, chunks: Sequence[Chunk]) -> list[tuple[str, str]]:
        """(reply, finish reason) of each chunk. Raises SourceError when the engine fails."""
        try:
            return Asker(self.settings).replies(chunks)
        except (RuntimeError, ValueError, OSError) as error:
            raise SourceError(f"vllm: {error}") from error

    def read(
        self, chunks: Sequence[Chunk], replies: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[Chunk, list[Pair]]]:
        """Pairs from replies; unusable replies are counted into `notes`."""
        failures: Counter[str] = Counter()
        for chunk, (text, finish) in zip(chunks, replies, strict=True):
            try:
                yield chunk, read_reply(text, chunk, self.name, self.settings.per_chunk)
            except ReplyError as error:
                cut = finish == "length"  # whole pairs before the cut were kept
                failures["cut off at the token limit" if cut else error.reason] += 1
        self.notes += failure_notes(self.name, failures)
