"""A recipe: every choice of one training run, in LLaMA-Factory's words, checked before the work.

`load_recipe(path, ["num_train_epochs=1", …])` reads the YAML, applies the overrides and reports
all errors at once, each with its field.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from common.language import either
from common.prompting import system_prompt_for
from common.text_encodings import decode

AnyRecipe = TypeVar("AnyRecipe", bound=BaseModel)
Format = Literal["awq", "awq-gemm", "gptq", "fp8", "int8", "bnb-8bit", "bnb-4bit"]


# The service's own defaults (serving/settings.py; a test compares).
SERVED_TOKENS, SERVED_CONTEXT = 640, 2048
SERVED_PASSAGES, SERVED_PASSAGE_TOKENS = 2, 1200


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
    exclude: list[Path] = Field(
        [], description="test sets: a train, dev or calibration row that asks their question stops"
    )
    cutoff_len: int = Field(1024, ge=16, description="longest row in tokens; longer is an error")
    drop_long_rows: bool = Field(False, description="leave longer rows out instead of stopping")
    max_samples: int | None = Field(None, ge=1, description="use the first rows only")
    mix_file: Path | None = Field(
        None, description="general instruction rows to learn along, against forgetting"
    )
    mix_share: float = Field(0.2, gt=0, lt=1, description="their share of all rows, drawn by seed")
    train_on_prompt: bool = Field(False, description="loss on the prompt as well as the answer")
    default_system: str | None = Field(
        None,
        description="system prompt to train and serve with, '' for none; null: the base's own file "
        "system_prompt.txt, else the built-in one",
    )

    # method
    finetuning_type: Literal["lora", "full"] = "lora"
    quantization_bit: Literal[4, 8] | None = Field(None, description="QLoRA: base in 4 or 8 bit")
    backend: Literal["trl", "unsloth"] = "trl"
    lora_rank: int = Field(16, ge=1, le=512)
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    lora_target: str = Field("all", description="all, or module names separated by commas")
    use_rslora: bool = Field(
        False, description="scale by alpha / sqrt(rank) (arXiv:2312.03732): for large ranks"
    )
    use_dora: bool = Field(
        False, description="magnitude and direction apart (arXiv:2402.09353); slower"
    )
    neftune_noise_alpha: float | None = Field(
        None, gt=0, description="noise on embeddings in training (arXiv:2310.05914), often 5"
    )

    # train
    output_dir: Path = Field(description="adapter/, merged/, awq/ … go here")
    per_device_train_batch_size: int = Field(1, ge=1)
    gradient_accumulation_steps: int = Field(1, ge=1)
    learning_rate: float = Field(1e-4, gt=0, le=1)
    num_train_epochs: float = Field(2, gt=0)
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
    seed: int = Field(42, ge=0, lt=2**32)
    logging_steps: int = Field(10, ge=1)
    save_total_limit: int = Field(2, ge=1)
    report_to: Literal["none", "tensorboard"] = "tensorboard"

    # choosing the checkpoint, the base among them, by the judge's score on dev questions
    eval_samples: int = Field(
        100, ge=0, description="dev questions answered before training and after each epoch"
    )
    eval_max_new_tokens: int = Field(
        SERVED_TOKENS, ge=1, description="longest answer; the default is the service's"
    )
    early_stopping_patience: int | None = Field(
        2, ge=1, description="epochs without a gain over the base and all before"
    )
    retrieval_dir: Path | None = Field(
        Path("index"),
        description="index of the book: dev questions are asked with its passages, as in serving; "
        "the default folder may be empty, null: never",
    )
    retrieval_passages: int = Field(SERVED_PASSAGES, ge=0, le=20)
    retrieval_tokens: int = Field(SERVED_PASSAGE_TOKENS, ge=0)

    # general ability, before the export (train/guard.py)
    guard: str | None = Field(
        None,
        description="multiple-choice questions that base and tuned model are asked: a jsonl or "
        "GAOKAO-Bench json file, or a task of lm-evaluation-harness (cmmlu, ceval-valid)",
    )
    guard_samples: int = Field(
        200, ge=1, description="of a file drawn by seed; of the harness' tasks the first of each"
    )
    max_ability_drop: float = Field(
        0.05, ge=0, le=1, description="a larger and certain fall stops before the export"
    )

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

    @field_validator("export_formats", "exclude", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        """`export_formats=awq-gemm,int8`, as everybody writes it in a shell."""
        if isinstance(value, str):
            return [name.strip() for name in value.split(",") if name.strip()]
        return value

    @model_validator(mode="after")
    def _choices_fit(self) -> "Recipe":
        wrong = []
        if self.packing and self.group_by_length:
            wrong.append(
                either(
                    "packing 和 group_by_length 只能选一个：packing 没有填充可省",
                    "packing and group_by_length: one of them; packing has no padding to save",
                )
            )
        if self.packing and self.pack_len < self.cutoff_len:
            wrong.append(
                either(
                    f"pack_len {self.pack_len}：小于 cutoff_len {self.cutoff_len}",
                    f"pack_len {self.pack_len}: less than cutoff_len {self.cutoff_len}",
                )
            )
        if self.finetuning_type == "full" and self.quantization_bit:
            wrong.append(
                either(
                    "quantization_bit：全量微调需要未量化的权重",
                    "quantization_bit: full fine-tuning needs unquantized weights",
                )
            )
        if self.backend == "unsloth" and self.use_dora:
            wrong.append(either("use_dora：只能用 backend=trl", "use_dora: with backend=trl only"))
        if self.mix_file and not self.mix_file.is_file():
            path = self.mix_file
            wrong.append(either(f"mix_file：没有文件 {path}", f"mix_file: no such file {path}"))
        if self.eval_max_new_tokens >= SERVED_CONTEXT:
            longest = self.eval_max_new_tokens
            wrong.append(
                either(
                    f"eval_max_new_tokens {longest}：服务的整个上下文只有 {SERVED_CONTEXT}",
                    f"eval_max_new_tokens {longest}: the service's whole context has "
                    f"{SERVED_CONTEXT}",
                )
            )
        if self.finetuning_type == "full" and self.backend == "unsloth":
            wrong.append(
                either("backend：unsloth 在这里只用于 lora", "backend: unsloth is for lora here")
            )
        if self.accelerate_config and not self.accelerate_config.is_file():
            path = self.accelerate_config
            wrong.append(
                either(
                    f"accelerate_config：没有文件 {path}", f"accelerate_config: no such file {path}"
                )
            )
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
    fields, problems = _read(path), []
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            problems.append(
                either(
                    f"  {override}：应写成 键=值，等号两边没有空格",
                    f"  {override}: expected key=value, without spaces around the sign",
                )
            )
            continue
        try:
            fields[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            problems.append(
                either(
                    f"  {override}：等号右边不是合法的 YAML",
                    f"  {override}: the value is no valid YAML",
                )
            )
    # A shell fills ~ in neither YAML nor key=~/value.
    fields = {
        key: str(Path(value).expanduser()) if str(value).startswith("~/") else value
        for key, value in fields.items()
    }
    try:
        # In YAML 1.1, 2e-4 is text; pydantic reads it as the number that a field asks for.
        recipe = model.model_validate(fields)
    except ValidationError as error:
        raise RecipeError(_explained(path, problems, error, model)) from error
    if problems:
        raise RecipeError(_unusable(path, problems))
    return recipe


class _OnceLoader(yaml.SafeLoader):
    """YAML's safe loader, which refuses a key that stands twice: the last would win silently."""


def _once(loader: _OnceLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    lines: dict[Any, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if key.value in lines:
            raise yaml.YAMLError(
                either(
                    f"{key.value} 写了两次：第 {lines[key.value]} 行和第 {line} 行",
                    f"{key.value} stands twice: in lines {lines[key.value]} and {line}",
                )
            )
        lines[key.value] = line
    return loader.construct_mapping(node, deep=True)


_OnceLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _once)


def _read(path: Path) -> dict[str, Any]:
    """The fields of a YAML file in any usual encoding. Raises RecipeError."""
    try:
        fields = yaml.load(decode(path.read_bytes()), _OnceLoader)  # noqa: S506  a safe loader
    except OSError as error:
        why = error.strerror or error
        if isinstance(error, FileNotFoundError):
            why = either("没有这个文件", "no such file")
        raise RecipeError(either(f"{path}：{why}", f"{path}: {why}")) from error
    except yaml.YAMLError as error:
        raise RecipeError(
            either(f"{path}：不是合法的 YAML：{error}", f"{path}: no valid YAML: {error}")
        ) from error
    except ValueError as error:
        raise RecipeError(either(f"{path}：{error}", f"{path}: {error}")) from error
    if not isinstance(fields, dict):
        raise RecipeError(
            either(f"{path}：应是一行行的 `键: 值`", f"{path}: expected `key: value` lines")
        )
    return fields


def _unusable(path: Path, problems: Sequence[str]) -> str:
    head = either(f"{path}：这份配方不能用：", f"{path}: cannot be used:")
    return "\n".join([head, *problems])


def _explained(
    path: Path, problems: list[str], error: ValidationError, model: type[BaseModel]
) -> str:
    lines = list(problems)
    if {item["loc"][-1] for item in error.errors() if item["loc"]} & {"stage", "do_train"}:
        lines.append(
            either(
                "  这像是 LLaMA-Factory 的配置：从 train/recipes/ 里挑一份，把同名的值搬过去",
                "  this looks like LLaMA-Factory's: take one of train/recipes/, and bring over the "
                "values of the keys that it has",
            )
        )
    for item in error.errors():
        field = ".".join(map(str, item["loc"]))
        if item["type"] == "extra_forbidden":
            like = _nearest(field, model)
            lines.append(either(f"  {field}：没有这个键{like}", f"  {field}: no such key{like}"))
        elif item["type"] == "missing":
            lines.append(either(f"  {field}：缺少", f"  {field}: missing"))
        elif field:
            told, got = item["msg"], item["input"]
            lines.append(
                either(
                    f"  {field}：{_in_chinese(item)}（现在是 {got!r}）",
                    f"  {field}: {told} (got {got!r})",
                )
            )
        else:
            lines.append(f"  {item['msg'].removeprefix('Value error, ')}")
    return _unusable(path, lines)


def _in_chinese(item: Any) -> str:
    """pydantic's message of a wrong value; its own words for kinds that a recipe rarely meets."""
    limits = item.get("ctx", {})
    known = {
        "greater_than": "应大于 {gt}",
        "greater_than_equal": "应不小于 {ge}",
        "less_than": "应小于 {lt}",
        "less_than_equal": "应不大于 {le}",
        "literal_error": "应是 {expected} 之一",
        "int_parsing": "应是整数",
        "int_type": "应是整数",
        "int_from_float": "应是整数",
        "float_parsing": "应是数",
        "float_type": "应是数",
        "bool_parsing": "应是 true 或 false",
        "bool_type": "应是 true 或 false",
        "string_type": "应是文字",
        "string_too_short": "不能为空",
        "path_type": "应是路径",
        "list_type": "应是列表",
    }
    text = known.get(item["type"])
    return text.format(**limits) if text else str(item["msg"])


def _nearest(field: str, model: type[BaseModel]) -> str:
    from difflib import get_close_matches

    found = get_close_matches(field, model.model_fields, 1)
    if not found:
        return ""
    return either(f"；是不是 {found[0]}？", f"; did you mean {found[0]}?")
