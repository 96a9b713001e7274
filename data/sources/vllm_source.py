"""Pairs from a local model: vLLM in this process, all chunks in one batch.

The book gives the answers and the model asks (`book_answers.py`), or the model writes whole pairs
as JSON, which takes a larger one.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import field_validator, model_validator

from common.before_imports import before_imports
from common.json_reply import ReplyError
from common.language import either
from data.options import option
from data.records import Chunk, Pair, digest
from data.sources import Estimate, SourceError
from data.sources.asking import Chat
from data.sources.book_answers import (
    VERSION,
    Answers,
    book_replies,
    calls_for,
    unused_in,
)
from data.sources.prompts import (
    ModelSettings,
    estimate_tokens,
    failure_notes,
    load_prompts,
    messages,
    prompt_version,
    schema,
)
from data.sources.replies import read_reply
from data.sources.to_compose import open_calls, open_replies

ASSUMED_TOKENS_PER_SECOND = 2000  # of the whole batch on one GPU; only for the estimate
# Of one question or answer where the book answers; chunks of the CUDA tutorial had 590 to 780.
ASSUMED_PROMPT_TOKENS, ASSUMED_ANSWER_TOKENS = 700, 60
CPU_MEMORY_SHARE = 0.5
PROCESSES = "VLLM_ENABLE_V1_MULTIPROCESSING"
ENGINE_EXAMPLE = '{"gpu_memory_utilization": 0.5}'


class VllmSettings(ModelSettings):
    """`engine` holds arguments for vllm.LLM; `longest` is enforced while decoding."""

    longest: tuple[int, int] | None = (120, 1200)
    reply_tokens: int = 4096
    answers: Answers = option(
        Answers.retold,
        "vllm：答案用书里的原文，或让模型复述，或题和答案都由模型写",
        "vllm: answers are the book's text, retold, or the model's pairs",
    )
    to_compose: bool = option(
        False,
        "vllm：接着要 data compose：整本书都问，不因答案的毛病去掉题；--wordings 默认 0",
        "vllm: data compose follows: the whole book is asked about, and no question is dropped for "
        "its answer's faults; --wordings is 0 by default",
    )
    engine: str = option("{}", "vllm：引擎参数，JSON", "vllm: engine arguments as JSON")

    @field_validator("engine")
    @classmethod
    def _engine_is_an_object(cls, text: str) -> str:
        try:
            given = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{text!r}: {error}") from error
        if not isinstance(given, dict):
            raise ValueError(
                either(
                    f"要写成 JSON 对象，例如 {ENGINE_EXAMPLE}，而不是 {text!r}",
                    f"wants a JSON object such as {ENGINE_EXAMPLE}, not {text!r}",
                )
            )
        return text

    @model_validator(mode="after")
    def _model_is_there(self) -> "VllmSettings":
        if not self.model:
            raise ValueError(either("需要 --model 模型目录", "needs --model DIR"))
        if not (Path(self.model) / "config.json").is_file():
            raise ValueError(
                either(
                    f"--model {self.model}：不是模型目录（没有 config.json）。要的是本机的目录；"
                    "魔搭上的模型先下载："
                    f".venv/bin/python download_model.py {self.model} --out 目录",
                    f"--model {self.model}: no model directory (no config.json). A directory of "
                    "this machine is wanted; a model of ModelScope is downloaded first: "
                    f".venv/bin/python download_model.py {self.model} --out DIR",
                )
            )
        return self

    def unused(self) -> dict[str, str]:
        """Where the book answers, the model is asked for no kinds."""
        if self.answers is Answers.model:
            return {"to_compose": f"with --answers {Answers.model.value}"}
        kinds = {"kinds": f"without --answers {Answers.model.value}"}
        return kinds | ({"answers": "with --to-compose"} if self.to_compose else {})

    @property
    def fingerprint(self) -> str:
        """What of the settings and the model changes the pairs."""
        fields = {"longest", "reply_tokens", "engine", "to_compose"}
        fields |= {"filters_off"} if self.to_compose else set()
        chosen = self.model_dump(include=fields, exclude_defaults=True)
        shown = digest(repr(sorted(chosen.items())))[:6] if chosen else "default"
        model, version = model_digest(Path(self.model)), prompt_version(self)
        if self.answers is not Answers.model:
            asked = load_prompts(self.prompts).book_answers_version
            low, high = self.style.chars
            version = f"{self.answers.value}-{VERSION}-{asked}-{low}-{high}"
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


def load_engine(settings: VllmSettings) -> Any:
    """A vllm.LLM that writes JSON without blanks; what `engine` says comes last."""
    before_imports()
    from vllm import LLM
    from vllm.platforms import current_platform

    usual = compact()
    in_process = False
    if current_platform.is_cpu():
        # vLLM asks for 92 % of the memory, which other programs share, and compiles for a minute.
        usual |= {"gpu_memory_utilization": CPU_MEMORY_SHARE, "enforce_eager": True}
        # In processes of its own it keeps one core for the first of them, which only waits.
        in_process = PROCESSES not in os.environ
    if in_process:
        os.environ[PROCESSES] = "0"
    llm = LLM(model=settings.model, **{**usual, **json.loads(settings.engine)})
    if in_process:  # a second one, a reviewer, would take this one's memory for its own
        os.environ[PROCESSES] = "1"
    return llm


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
        self._settings = settings
        self._llm = load_engine(settings)

    def replies(self, chunks: Sequence[Chunk]) -> list[tuple[str, str]]:
        """(reply text, finish reason) of each chunk, in order."""
        from vllm import SamplingParams

        settings = self._settings
        if settings.answers is not Answers.model:
            if settings.to_compose:
                told = open_replies(chunks, settings, self.ask)
            else:
                told = book_replies(chunks, settings, settings.answers, self.ask)
            return [(text, "stop") for text in told]
        # Greedy, so that a chunk's pairs do not depend on which batch or worker it was in.
        params = SamplingParams(
            temperature=0.0, max_tokens=settings.reply_tokens, **structured(schema(settings))
        )
        outputs = self._chat([messages(chunk, settings) for chunk in chunks], params)
        return [(o.outputs[0].text, o.outputs[0].finish_reason or "") for o in outputs]

    def ask(
        self, chats: Sequence[Chat], tokens: int, count: int, temperature: float
    ) -> list[list[str]]:
        """`count` replies to each chat, "" for one that did not end.

        The engine's seed is fixed; one for each chat ends vLLM on a CPU ("CPU Generator does not
        use offset", 0.32.0).
        """
        from vllm import SamplingParams

        params = SamplingParams(temperature=temperature, max_tokens=tokens, n=count)
        return [
            [one.text if one.finish_reason == "stop" else "" for one in output.outputs]
            for output in self._chat(chats, params)
        ]

    def _chat(self, chats: Sequence[Chat], params: Any) -> list[Any]:
        if not chats:
            return []
        return self._llm.chat(
            list(chats),
            params,
            use_tqdm=len(chats) > 1,
            chat_template_kwargs={"enable_thinking": False},
        )


class VllmSource:
    """Asks a local model about all chunks in one batch."""

    name = "vllm"
    one_batch = True

    def __init__(self, settings: VllmSettings) -> None:
        self.settings = settings
        self.fingerprint = settings.fingerprint
        self.notes: list[str] = []

    def estimate(self, chunks: Sequence[Chunk]) -> Estimate:
        """One prompt a chunk, or some for each stretch of it; tokens and time are rough."""
        speed = ASSUMED_TOKENS_PER_SECOND
        basis = either(f"假定一块 GPU 每秒 {speed} 词元", f"assuming {speed} tokens/s on one GPU")
        settings = self.settings
        if settings.answers is Answers.model:
            calls = len(chunks)
            prompt, answer = estimate_tokens(chunks, settings)
        else:
            calls = (
                open_calls(chunks, settings)
                if settings.to_compose
                else calls_for(chunks, settings, settings.answers)
            )
            prompt, answer = calls * ASSUMED_PROMPT_TOKENS, calls * ASSUMED_ANSWER_TOKENS
        return Estimate(calls, prompt, answer, answer / ASSUMED_TOKENS_PER_SECOND, basis)

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
        """Pairs from replies; what came to none is counted into `notes`."""
        failures: Counter[str] = Counter()
        unused: Counter[str] = Counter()
        own = self.settings.answers is Answers.model
        for chunk, (text, finish) in zip(chunks, replies, strict=True):
            try:
                most = self.settings.per_chunk if own else len(text)
                pairs = read_reply(text, chunk, self.name, most)
                unused.update({} if own else unused_in(text))
                yield chunk, pairs
            except ReplyError as error:
                cut = finish == "length"  # whole pairs before the cut were kept
                failures["cut off at the token limit" if cut else error.reason] += 1
        self.notes += failure_notes(self.name, failures)
        self.notes += [
            either(
                f"{self.name}：书里 {count} 处没有成为问答：{reason}",
                f"{self.name}: {count} places of the book came to no pair: {reason}",
            )
            for reason, count in sorted(unused.items())
        ]
