"""What would end a run later, told before it starts: by `--dry-run`, and by the run itself."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from common.language import either
from common.safetensors_header import ModelFileError, read_header
from retrieval.passages import PASSAGES_NAME
from train.base import ModelError, base_directory
from train.book import uses_book
from train.recipe import Recipe
from train.served import need_python


def check_recipe(recipe: Recipe, exports: bool = False) -> None:
    """Raise ModelError with a line for each setting that this machine or the base cannot follow.

    exports: also what comes after training asks for. A base that is still to be fetched or made is
    not looked at.
    """
    found = [*_output(recipe), *_method(recipe), *_machine(recipe)]
    if exports:
        try:
            need_python(recipe.serve_python)  # after the training it starts vLLM for the check
        except ModelError as error:
            found.append(str(error))
    folder = recipe.retrieval_dir
    if folder and uses_book(recipe) and not (folder / PASSAGES_NAME).is_file():
        found.append(
            either(
                f"retrieval_dir={folder}：里面没有索引（{PASSAGES_NAME}）；"
                "先 bash run.sh retrieval build，或写 retrieval_dir=null",
                f"retrieval_dir={folder}: no index in it ({PASSAGES_NAME}): "
                "make one with `bash run.sh retrieval build`, or set retrieval_dir=null",
            )
        )
    if recipe.retrieval_examples and not uses_book(recipe):
        found.append(
            either(
                "retrieval_examples：没有索引（retrieval_dir），服务不会放示例",
                "retrieval_examples: without an index (retrieval_dir) the service shows none",
            )
        )
    if found:
        raise ModelError("\n  ".join(["", *found]) if len(found) > 1 else found[0])


def _output(recipe: Recipe) -> Iterator[str]:
    out = recipe.output_dir
    for folder in (out, *out.parents):
        if folder.exists():
            if not folder.is_dir():
                yield either(
                    f"output_dir={out}：{folder} 是一个文件，不是目录",
                    f"output_dir={out}: {folder} is a file, not a folder",
                )
            break
    base = Path(recipe.model_name_or_path).resolve()
    written = [
        out,
        out / "adapter",
        out / "merged",
        *(out / form for form in recipe.export_formats),
    ]
    if base in [folder.resolve() for folder in written]:
        yield either(
            f"output_dir={out}：这次训练会写进它自己的基座 {base}；换一个 output_dir",
            f"output_dir={out}: the run would write into its own base {base}; set another",
        )


def _method(recipe: Recipe) -> Iterator[str]:
    """lora_target against the base's weights: PEFT passes over a name that fits nothing as long as
    another one does, and a part of the model stays untrained."""
    base = base_directory(recipe)
    if recipe.lora_target == "all" or recipe.finetuning_type == "full" or base is None:
        return
    try:
        names = {
            name.removesuffix(".weight")
            for file in base.glob("*.safetensors")
            for name in read_header(file)
        }
    except ModelFileError:  # the look at the base's files says so
        return
    wanted = [name.strip() for name in recipe.lora_target.split(",")]
    lost = [n for n in wanted if not any(w == n or w.endswith(f".{n}") for w in names)]
    if lost and names:
        layers = {name.rpartition(".")[2] for name in names if ".layers." in name}
        known = ", ".join(sorted(name for name in layers if "norm" not in name))
        yield either(
            f"lora_target：基座里没有 {'、'.join(lost)}；有 {known}，或写 all",
            f"lora_target: the base has no {', '.join(lost)}; it has {known}; or write all",
        )


def _machine(recipe: Recipe) -> Iterator[str]:
    """Packages and devices."""
    import torch
    from transformers.training_args import OptimizerNames

    optimizers = [each.value for each in OptimizerNames]
    if recipe.optim not in optimizers:
        usual = ", ".join(name for name in optimizers if name.startswith("adamw_torch"))
        yield either(
            f"optim={recipe.optim}：没有这个优化器；常用的有 {usual}",
            f"optim={recipe.optim}: no such optimizer; usual ones are {usual}",
        )
    gpu = torch.cuda.is_available()
    flash = gpu and importlib.util.find_spec("flash_attn")
    if recipe.attn_implementation == "flash_attention_2" and not flash:
        yield either(
            "attn_implementation=flash_attention_2：要有 GPU 和 flash-attn 包；auto 不需要",
            "attn_implementation=flash_attention_2: needs a GPU and the package flash-attn; "
            "auto does without",
        )
    if recipe.use_liger_kernel and not gpu:
        yield either(
            "use_liger_kernel=true：要有 GPU；删掉这一项，有 GPU 时会自动打开",
            "use_liger_kernel=true: needs a GPU; take it out, and it is on where there is one",
        )
    if recipe.backend == "unsloth" and importlib.util.find_spec("unsloth") is None:
        yield either(
            "backend=unsloth：这里没有安装它；backend=trl 用同一份配方",
            "backend=unsloth: not installed here; backend=trl takes the same recipe",
        )
    cards = torch.cuda.device_count()
    if cards and recipe.num_processes > cards:
        yield either(
            f"num_processes={recipe.num_processes}：这里只有 {cards} 块 GPU",
            f"num_processes={recipe.num_processes}: there are {cards} GPUs here",
        )
