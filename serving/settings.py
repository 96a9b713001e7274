"""Every setting of the service: the only module that reads the environment.

Each field is an environment variable of the same name in capitals; what is not set there is read
from a settings file (`serve.env`, which `run.sh tune` writes). The defaults suit the judge's
machine; the table in docs/serving.md is generated from this class (`python -m serving.settings`).
"""

import os
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    Field,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

SETTINGS_FILE = "serve.env"


class Settings(BaseSettings):
    """The service's settings. Raises pydantic's ValidationError naming all bad fields at once."""

    # "model_dir" is a plain word here, not one of pydantic's own model_* methods.
    model_config = SettingsConfigDict(env_prefix="", protected_namespaces=(), frozen=True)

    settings_file: str = Field(
        SETTINGS_FILE,
        description="File with further settings, `NAME=value` a line; `bash run.sh tune` writes "
        "one. Variables win over it. Empty: none is read.",
    )
    model_dir: Path = Field(
        Path("model/served"), description="Model directory in Transformers layout."
    )
    system_prompt_file: Path | None = Field(
        None,
        description="File with the system prompt. Unset: the model directory's "
        "`system_prompt.txt` if it has one, else the built-in prompt.",
    )
    serve_mode: Literal["batch", "serial"] = Field(
        "batch",
        description="Status told to the judge: `batch` gets all questions in one call, "
        "`serial` one question a call.",
    )
    predict_budget_s: float = Field(
        330.0,
        gt=0,
        description="Seconds from a call's arrival after which its unfinished answers are "
        "returned as they stand. The judge allows 360 s.",
    )
    health_budget_s: float = Field(
        170.0,
        gt=0,
        description="Seconds from the process's start in which the port must be open. "
        "The judge allows 180 s.",
    )
    startup: Literal["tuned", "eager"] = Field(
        "tuned",
        description="`tuned` compiles and captures CUDA graphs, and restarts as `eager` when that "
        "fails or takes too long; `eager` starts fast and answers slowly.",
    )
    startup_reserve_s: float = Field(
        45.0,
        ge=0,
        description="Seconds of HEALTH_BUDGET_S kept back for the second, eager start.",
    )
    startup_why: str = Field("", description="Set by the service itself when it starts again.")
    max_tokens: int = Field(
        640,
        gt=0,
        description="Longest answer in tokens. The longest reference of a bonus-like test set "
        "has 526.",
    )
    end_repetition: bool = Field(
        True,
        description="End an answer that has come to repeat the same tokens over and over, and keep "
        "one turn of the loop, or that copies a long stretch of itself or goes round in "
        "the same phrases, without what it repeats. `false`: answers go on to MAX_TOKENS; for "
        "books whose answers repeat something exactly, such as long tables of the same number.",
    )
    temperature: float = Field(
        0.0, ge=0, description="0 answers greedily: the same question, the same answer."
    )
    seed: int = Field(0, description="Seed of the engine; matters when TEMPERATURE is above 0.")
    answer_draws: int = Field(
        1,
        ge=1,
        le=64,
        description="Answers written to each question: the greedy one and further draws, of which "
        "the one that agrees most with the others is given. So many times the decoding, for a "
        "higher score. 1: the greedy answer.",
    )
    draw_temperature: float = Field(
        0.5,
        gt=0,
        le=2,
        description="Temperature of the further draws of ANSWER_DRAWS and REPEAT_REDRAWS.",
    )
    repeat_redraws: int = Field(
        1,
        ge=0,
        le=16,
        description="Further draws of an answer that only repeats its question, of which one that "
        "says more is given, where there is one: the one that agrees most with the others. Beside "
        "ANSWER_DRAWS there are none: it has draws already. 0: the repetition stands.",
    )
    engine: Literal["auto", "vllm", "transformers"] = Field(
        "auto", description="`auto` takes vLLM whenever it can be imported."
    )
    engine_fallback: bool = Field(
        False,
        description="When vLLM fails to start: go on with Transformers instead of stopping. "
        "Off, because a slow service is a failed submission that looks like a working one.",
    )
    engine_in_process: bool | None = Field(
        None,
        description="vLLM's engine core inside the service's process. Unset: the device's "
        "default (serving/engine/devices.py), and never with several GPUs or asked-for "
        "async_scheduling.",
    )
    engines_per_gpu: PositiveInt | Literal["auto"] = Field(
        1,
        description="Engines on one device, each in a process of its own with a part of the memory "
        "and of MAX_NUM_SEQS; they share the questions out. `auto`: 2 for a small model on a large "
        "GPU, asked without a book (measured on NVIDIA, not on MetaX), else 1.",
    )
    cuda_mps: bool = Field(
        False,
        description="With several engines: start NVIDIA's multi-process service, so that they run "
        "on the GPU at the same time instead of in turns.",
    )
    draft_tokens: int = Field(
        0,
        ge=0,
        le=16,
        description="Tokens that vLLM guesses in each step from what stands in the prompt and the "
        "answer so far (n-gram drafts); the answers stay the same. For prompts with passages, "
        "where 4 is a start; without passages it gained nothing. 0: none.",
    )
    retrieval_dir: Path | None = Field(
        Path("index"),
        description="Index of the book (`python -m retrieval build`), whose passages then stand "
        "before each question. The default folder may be empty: questions are asked alone.",
    )
    retrieval_passages: int = Field(
        2, ge=0, le=20, description="Passages before a question. 0: none, whatever the index."
    )
    retrieval_tokens: int = Field(
        1200,
        ge=0,
        description="Tokens of all passages before a question together; fewer where the question "
        "leaves less room in the context.",
    )
    retrieval_examples: Literal["auto"] | bool | Path = Field(
        "auto",
        union_mode="left_to_right",
        description="Worked examples as turns of the talk before every question, where an index is "
        "served: `1` the kit's own two, `0` none, or a jsonl file with passages, question and "
        "answer a line. `auto`, or empty: a trained model as it was trained; else on from 1B "
        "parameters on, with RETRIEVAL_PASSAGES 3, RETRIEVAL_TOKENS 2000 and MAX_MODEL_LEN 2848 "
        "where these are unset. A 1.5B gained by that, a 0.5B lost (docs/retrieval.md). In a "
        "settings file that does not name it: `0`.",
    )
    retrieval_why: str = Field(
        "", description="Set by the service itself: what RETRIEVAL_EXAMPLES=auto came to, and why."
    )
    retrieval_encoder: Path | None = Field(
        None,
        description="Directory of the bi-encoder that the index was built with: searched by "
        "meaning, too. Unset: BM25 alone.",
    )
    retrieval_reranker: Path | None = Field(
        None, description="Directory of a cross-encoder that orders what was found. Unset: none."
    )
    retrieval_rerank_first: int = Field(
        10,
        ge=2,
        le=100,
        description="Passages of a question that RETRIEVAL_RERANKER reads: each costs time, and "
        "the right one is seldom lower (docs/retrieval.md).",
    )
    max_model_len: int = Field(
        2048,
        gt=0,
        description="Context in tokens, question and answer together, RETRIEVAL_EXAMPLES on top; "
        "lowered to what the model allows. Longer prompts are shortened at their middle.",
    )
    max_num_seqs: int | None = Field(
        None,
        gt=0,
        description="Answers that vLLM writes at once. Unset: the device's default.",
    )
    max_num_batched_tokens: int | None = Field(
        None, gt=0, description="Tokens that vLLM processes in one step. Unset: vLLM's own."
    )
    gpu_memory_utilization: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the device's memory for weights and KV cache. "
        "Unset: the device's default.",
    )
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = Field(
        "auto", description="Data type of the weights. `auto`: the model's own, or the device's."
    )
    quantization: str | None = Field(
        None, description="vLLM's name of the weights' format. Unset: read from the model."
    )
    enforce_eager: bool | None = Field(
        None,
        description="Run without compilation and CUDA graphs: starts faster, answers slower. "
        "Unset: the device's default.",
    )
    compile_cache_dir: Path | None = Field(
        None,
        description="Directory in which vLLM and Triton keep what they compile; one that an "
        "earlier start on the same kind of device left, or a .tar of it, makes a fresh start "
        "faster. It holds programs: use only your own. Unset: their own places.",
    )
    enable_prefix_caching: bool = Field(
        True, description="Keep the KV cache of the system prompt between questions."
    )
    tensor_parallel_size: int = Field(1, gt=0, description="GPUs that the model is spread over.")
    distributed_executor_backend: Literal["mp", "ray"] | None = Field(
        None,
        description="What runs the GPUs: `mp` processes of this host, `ray` also other hosts'. "
        "Unset: vLLM's choice.",
    )
    engine_args: dict[str, Any] = Field(
        {},
        description="JSON object of further arguments for vLLM's `LLM(...)`; they win over "
        "everything above.",
    )
    warmup: bool = Field(
        True,
        description="Answer made-up questions before the port opens, so that nothing is "
        "compiled or captured in the first real call.",
    )
    max_body_bytes: int = Field(
        16 * 1024 * 1024, gt=0, description="Largest request body accepted, in bytes."
    )
    max_queue: int = Field(
        1024,
        gt=0,
        description="Calls in progress; beyond them a call is refused at once with 503 and "
        "Retry-After. How many questions a call holds does not matter.",
    )
    shutdown_grace_s: float = Field(
        3.0,
        ge=0,
        description="Seconds after TERM in which running calls may still finish; then they are "
        "answered with what there is.",
    )
    crash_dir: Path = Field(
        Path("report/crashes"),
        description="Where a report is written when the engine is lost: the shape of its work, "
        "not its text.",
    )
    api_token: SecretStr | None = Field(
        None,
        description="Asked for (`Authorization: Bearer …`) by every path but `/` and `/predict`. "
        "Unset: none is.",
    )

    @field_validator("retrieval_examples", mode="before")
    @classmethod
    def _auto_in_any_spelling(cls, told: Any) -> Any:
        # Else "" would be the folder ".", and "AUTO" a file of that name.
        empty = isinstance(told, str) and told.strip().lower() in ("", "auto")
        return "auto" if empty else told

    @field_validator("answer_draws")
    @classmethod
    def _draws_make_sense(cls, draws: int, others: ValidationInfo) -> int:
        if draws == 2:
            told = "two answers agree with each other equally: take 1, or 3 and more"
            raise PydanticCustomError("draws", told)
        if draws > 1 and others.data.get("temperature"):
            told = "the first answer is greedy: leave TEMPERATURE at 0 and set DRAW_TEMPERATURE"
            raise PydanticCustomError("draws", told)
        return draws


class SettingsError(ValueError):
    """The environment holds settings that cannot be used; the message lists all of them."""


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment and the settings file.

    Raises SettingsError with one line for each bad field, a name in the file that is no setting
    among them.
    """
    # The only one that must be known before the others; which file it is, the file cannot say.
    file = os.environ.get("SETTINGS_FILE", SETTINGS_FILE)
    if file not in ("", SETTINGS_FILE) and not Path(file).is_file():
        raise SettingsError(f"SETTINGS_FILE={file}: no such file")
    try:
        settings = Settings(_env_file=file or None, _env_file_encoding="utf-8", **overrides)
        if settings.settings_file != file:
            raise SettingsError(f"{file}: SETTINGS_FILE is a variable, it cannot stand in the file")
        # One written before `auto` was made for how the service asked then.
        if file and Path(file).is_file() and "retrieval_examples" not in settings.model_fields_set:
            told = f"{file} does not name RETRIEVAL_EXAMPLES"
            update = {"retrieval_examples": False, "retrieval_why": told}
            settings = settings.model_copy(update=update)
        return settings
    except SettingsError:
        raise
    except ValidationError as error:
        lines = [
            f"  {'.'.join(str(part) for part in item['loc']).upper()}: {item['msg']}"
            f" (got {item['input']!r})"
            for item in error.errors()
        ]
        raise SettingsError(
            f"these settings cannot be used (from the environment, or from {file}; see the "
            "table in docs/serving.md):\n" + "\n".join(lines)
        ) from error
    except ValueError as error:
        # pydantic-settings reports an unparsable JSON value (ENGINE_ARGS) outside validation, and
        # a settings file that is no text.
        raise SettingsError(f"{error}; ENGINE_ARGS must be a JSON object") from error


def settings_table() -> str:
    """The Markdown table of docs/serving.md: name, default, meaning."""
    rows = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = "unset" if field.default is None else f"`{field.default}`"
        rows.append(f"| `{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.write(settings_table() + "\n")
