"""A recipe: every choice of one training run, in LLaMA-Factory's words, checked before the work.

`load_recipe(path, ["num_train_epochs=1", …])` reads the YAML, applies the overrides and reports
all errors at once, each with its field.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from common.prompting import system_prompt_for

AnyRecipe = TypeVar("AnyRecipe", bound=BaseModel)
Format = Literal["awq", "awq-gemm", "gptq", "fp8", "int8", "bnb-8bit", "bnb-4bit"]


class RecipeError(ValueError):
    """A recipe that cannot be used; the message lists every wrong field."""


class Recipe(BaseModel):
    """One run, from base model and data to what is served. Names as in LLaMA-Factory."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=(), frozen=True)

    # model
    model_name_or_path: str = Field(min_length=1, description="directory or hub id of the base")
    hub: Literal["modelscope", "hf"] = Field("modelscope", description="where a hub id is fetched")
    demo_base_steps: int | None = Field(
        None, ge=0, description="make the base with so many steps of train.demo when it is missing"
    )

    # data
    dataset_dir: Path = Field(description="what `python -m data` wrote")
    train_file: str = Field("train.jsonl", description="rows to learn, inside dataset_dir")
    dev_file: str | None = Field(
        "dev.jsonl", description="rows to choose by; null: the last wording of each train pair"
    )
    calibration_file: str | None = Field(
        "calibration.jsonl", description="rows to quantize with; null: the train rows"
    )
    cutoff_len: int = Field(1024, ge=16, description="longest row in tokens; longer is an error")
    drop_long_rows: bool = Field(False, description="leave longer rows out instead of stopping")
    max_samples: int | None = Field(None, ge=1, description="use the first rows only")
    default_system: str | None = Field(
        None,
        description="system prompt to train and serve with, '' for none; null: the base's own file "
        "system_prompt.txt, else the built-in one",
    )

    # method
    finetuning_type: Literal["lora", "full"] = "lora"
    quantization_bit: Literal[4, 8] | None = Field(None, description="QLoRA: base in 4 or 8 bit")
    backend: Literal["trl", "unsloth"] = "trl"
    lora_rank: int = Field(32, ge=1, le=512)
    lora_alpha: int = Field(64, ge=1)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    lora_target: str = Field("all", description="all, or module names separated by commas")

    # train
    output_dir: Path = Field(description="adapter/, merged/, awq/ … go here")
    per_device_train_batch_size: int = Field(1, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    learning_rate: float = Field(2e-4, gt=0, le=1)
    num_train_epochs: float = Field(3, gt=0)
    max_steps: int = Field(-1, ge=-1, description="-1: by num_train_epochs")
    lr_scheduler_type: Literal["linear", "cosine", "constant_with_warmup"] = "cosine"
    warmup_ratio: float = Field(0.05, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    optim: str = "adamw_torch_fused"
    packing: bool = Field(True, description="fill sequences of pack_len with whole rows")
    pack_len: int = Field(4096, ge=16, description="tokens of a packed sequence")
    group_by_length: bool = Field(False, description="batches of rows of similar length")
    bf16: bool | None = Field(None, description="null: on where the GPU has it")
    gradient_checkpointing: bool = False
    use_liger_kernel: bool | None = Field(None, description="null: when installed, on CUDA")
    attn_implementation: Literal[
        "auto", "varlen", "sdpa", "eager", "flash_attention_2", "flex_attention"
    ] = Field("auto", description="auto: varlen (train/packed_attention.py) where it runs, or sdpa")
    torch_compile: bool = Field(
        False, description="compile the layers: a minute, then faster steps"
    )
    seed: int = 42
    logging_steps: int = Field(10, ge=1)
    save_total_limit: int = Field(2, ge=1)
    report_to: Literal["none", "tensorboard"] = "tensorboard"

    # choosing the checkpoint
    eval_samples: int = Field(100, ge=0, description="dev questions answered after each epoch")
    eval_max_new_tokens: int = Field(256, ge=1)
    early_stopping_patience: int | None = Field(2, ge=1, description="epochs without a gain")

    # several devices
    num_processes: int = Field(1, ge=1, description="more than 1: accelerate launch")
    accelerate_config: Path | None = Field(None, description="accelerate's YAML: FSDP, DeepSpeed")

    # export
    export_size: float = Field(5, gt=0, description="largest weight file in GB")
    export_formats: list[Format] = Field(["awq", "awq-gemm"], description="quantized exports")
    calibration_samples: int = Field(256, ge=1)
    serve_python: Path = Field(
        Path(".venv/bin/python"), description="the python that has vLLM, for check and compare"
    )
    check_samples: int = Field(100, ge=1, description="dev questions asked of each export")
    check_base: bool = Field(True, description="ask the base too: did training help?")
    max_score_drop: float = Field(0.02, ge=0, le=1, description="below the merged model's score")

    def system_prompt(self, base: Path) -> str:
        """What the model is trained with, and served with afterwards; base: its directory."""
        if self.default_system is None:
            return system_prompt_for(base)
        # As it will be read from its file; YAML's `|` ends with a line feed.
        return self.default_system.strip()

    @model_validator(mode="after")
    def _choices_fit(self) -> "Recipe":
        wrong = []
        if self.packing and self.group_by_length:
            wrong.append("packing and group_by_length: one of them; packing has no padding to save")
        if self.packing and self.pack_len < self.cutoff_len:
            wrong.append(f"pack_len {self.pack_len}: less than cutoff_len {self.cutoff_len}")
        if self.finetuning_type == "full" and self.quantization_bit:
            wrong.append("quantization_bit: full fine-tuning needs unquantized weights")
        if self.finetuning_type == "full" and self.backend == "unsloth":
            wrong.append("backend: unsloth is for lora here")
        if self.accelerate_config and not self.accelerate_config.is_file():
            wrong.append(f"accelerate_config: no such file {self.accelerate_config}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self


def load_recipe(
    path: Path, overrides: Sequence[str] = (), model: type[AnyRecipe] = Recipe
) -> AnyRecipe:
    """The checked recipe of a YAML file with `key=value` overrides (values are YAML too).

    model: what it is a recipe of.

    Raises RecipeError with one line per problem.
    """
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: {error.strerror or error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: no valid YAML: {error}") from error
    if not isinstance(fields, dict):
        raise RecipeError(f"{path}: expected `key: value` lines")
    problems = []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            problems.append(f"  {override}: expected key=value")
            continue
        try:
            fields[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            problems.append(f"  {override}: the value is no valid YAML")
    try:
        # In YAML 1.1, 2e-4 is text; pydantic reads it as the number that a field asks for.
        recipe = model.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(_explained(path, problems, error, model)) from error
    if problems:
        raise RecipeError(f"{path}: cannot be used:\n" + "\n".join(problems))
    return recipe


def _explained(
    path: Path, problems: list[str], error: ValidationError, model: type[BaseModel]
) -> str:
    lines = list(problems)
    for item in error.errors():
        field = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            lines.append(f"  {field}: no such key{_nearest(field, model)}")
        elif item["type"] == "missing":
            lines.append(f"  {field}: missing")
        elif field:
            lines.append(f"  {field}: {item['msg']} (got {item['input']!r})")
        else:
            lines.append(f"  {item['msg'].removeprefix('Value error, ')}")
    return f"{path}: cannot be used:\n" + "\n".join(lines)


def _nearest(field: str, model: type[BaseModel]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(field, model.model_fields, 1)
    return f"; did you mean {found[0]}?" if found else ""
