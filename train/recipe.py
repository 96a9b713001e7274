"""A recipe: every choice of one training run, in LLaMA-Factory's words (train/recipe_file.py reads
its YAML)."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from common.language import either
from common.prompting import system_prompt_for

Format = Literal["awq", "awq-gemm", "gptq", "fp8", "int8", "bnb-8bit", "bnb-4bit"]


# The service's own defaults (serving/settings.py; a test compares).
SERVED_TOKENS, SERVED_CONTEXT = 640, 2048
SERVED_PASSAGES, SERVED_PASSAGE_TOKENS = 2, 1200


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
    eval_strategy: Literal["epoch", "end"] = Field(
        "epoch",
        description="judge every epoch and keep the best; end: the last step alone, no checkpoints",
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
    retrieval_examples: bool | Path = Field(
        False,
        union_mode="left_to_right",
        description="worked examples before dev and train questions, not learned, as the service's "
        "RETRIEVAL_EXAMPLES: true the kit's own, or a jsonl file",
    )

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
        if self.train_on_prompt and self.retrieval_examples:
            wrong.append(
                either(
                    "train_on_prompt：会把 retrieval_examples 的示例也学进去，只能选一个",
                    "train_on_prompt: would learn the retrieval_examples, too; one of them",
                )
            )
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
