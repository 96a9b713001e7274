"""Adapters into full weights: one, or several one after another, each proven by its logits."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common.language import either
from common.manifest import (
    MANIFEST_NAME,
    Manifest,
    directory_records,
    library_versions,
    read_manifest,
    write_manifest,
)
from common.model_files import model_files_problems
from common.prompting import SYSTEM_PROMPT_FILE, messages_for, system_prompt_for, talk_ids
from train.adapters import need_own_base, put_on, read_config
from train.base import (
    ModelError,
    check_base,
    load_tokenizer,
    need_disk,
    save_full,
    stored_dtype,
    weight_bytes,
)
from train.logits import last_logits, load_for_logits, relative

# Logits may differ by this share of what the adapter changes, or of themselves (float32 sums in
# another order); an adapter of which half was merged differs by more than half of it.
SHARE_OF_EFFECT, SHARE_OF_LOGITS = 0.02, 1e-3
PROBE_ROWS, PROBE_TOKENS = 4, 48


@dataclass(frozen=True)
class Proof:
    """Distances between logits over all probe positions, as shares of the reference's norm:
    effect, of base + adapters from the base; error, of the merged weights from base + adapters."""

    effect: float
    error: float

    def holds(self) -> bool:
        """Whether the merged weights answer as base + adapters do."""
        return self.error <= max(SHARE_OF_EFFECT * self.effect, SHARE_OF_LOGITS)


def merge(base: Path, adapters: Sequence[Path], out: Path, shard_gb: float = 5) -> Path:
    """Write base + adapters as full weights (float32 sums, saved in the base's data type).

    Several adapters are added in the order given: W + s1·B1·A1 + s2·B2·A2; the system prompt is
    the one that the last of them was trained with. Logits prove the sums and the written files.
    Raises ModelError when an adapter is missing, broken, or does not fit the base in every tensor.
    """
    started = time.monotonic()
    if not adapters:
        raise ModelError("没有给出要合并的适配器", "no adapter to merge")
    twice = [one for n, one in enumerate(adapters) if one.resolve() in _resolved(adapters[:n])]
    if twice:
        raise ModelError(
            f"{twice[0]} 给了两次：会加两遍", f"{twice[0]} is given twice: it would count twice"
        )
    check_base(base)
    for adapter in adapters:  # before a base is loaded for a minute
        read_config(adapter)
        need_own_base(adapter, base)
    need_disk(out, weight_bytes(base) * 1.05, either("合并后的模型", "the merged model"))
    tokenizer = load_tokenizer(base)  # a base that serving cannot use is not worth merging
    for adapter in adapters:
        _note_other_prompt(adapter, tokenizer)
    probe = probe_ids(len(tokenizer))
    model, proof = merged_model(base, adapters, probe)
    # An adapter without the file was trained before recipes could choose: with its base's.
    told = (adapters[-1] / SYSTEM_PROMPT_FILE).is_file()
    system_prompt = system_prompt_for(adapters[-1] if told else base)
    round_as_saved(model, base)
    rounded = last_logits(model, probe, PROBE_TOKENS)
    (out / MANIFEST_NAME).unlink(missing_ok=True)  # of an earlier merge: not of these weights
    save_full(model, base, out, system_prompt, shard_gb)
    del model
    if problems := model_files_problems(out):
        told = "; ".join(problems)
        raise ModelError(
            f"{out} 已写出，但无法用来服务：{told}",
            f"{out} was written and cannot be served: {told}",
        )
    written = last_logits(_load(out), probe, PROBE_TOKENS)
    if (error := relative(written, rounded)) > SHARE_OF_LOGITS:
        raise ModelError(
            f"{out}：写出的权重与合并的权重回答不同（logits 相差 {error:.1%}），不能使用；"
            "请报告这个基座的 config.json",
            f"{out}: the written weights do not answer as the merged ones do (logits differ by "
            f"{error:.1%}): not to be served; please report this base's config.json",
        )
    parents = [m for m in map(read_manifest, adapters) if m]
    base_manifest = read_manifest(base)
    write_manifest(
        out,
        Manifest(
            stage="merge",
            name=out.name,
            demo=bool(base_manifest and base_manifest.demo),
            outputs=directory_records(out),
            settings={
                "base": str(base),
                "adapters": [str(a) for a in adapters],
                "proof": asdict(proof),
            },
            counts={"bytes": weight_bytes(out)},
            versions=library_versions(["torch", "transformers", "peft"]),
            seconds=round(time.monotonic() - started, 1),
            parents=parents,
        ),
    )
    return out


def _resolved(paths: Sequence[Path]) -> set[Path]:
    return {path.resolve() for path in paths}


def _note_other_prompt(adapter: Path, tokenizer: Any) -> None:
    """Say so where an adapter brings a tokenizer that asks otherwise than the base's: it was
    trained on prompts that the merged model, which has the base's, is never given."""
    from transformers import AutoTokenizer

    if not (adapter / "tokenizer_config.json").is_file():
        return
    try:
        own = AutoTokenizer.from_pretrained(adapter)
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split())
        print(
            either(
                f"注意：{adapter} 带的分词器读不出来（{told}）；用基座的",
                f"note: the tokenizer in {adapter} does not load ({told}); the base's is taken",
            )
        )
        return
    talk = [messages_for("什么是 warp？")]
    other = own.eos_token != tokenizer.eos_token
    if own.chat_template:
        other = other or talk_ids(own, talk) != talk_ids(tokenizer, talk)
    if other:
        print(
            either(
                f"注意：{adapter} 带的对话模板或结束词元与基座的不同；合并后的模型用基座的，"
                "与训练时问法不同的话，得分会低",
                f"note: {adapter} brings another chat template or end token than its base; the "
                "merged model has the base's, and scores low where it was trained on other prompts",
            )
        )


def merged_model(
    base: Path,
    adapters: Sequence[Path],
    probe: list[list[int]] | None = None,
    positions: int = PROBE_TOKENS,
) -> tuple[Any, Proof]:
    """The base model with all adapters added to its weights (float32, on the CPU), and its proof.

    probe: token ids of the rows on whose last positions logits are compared. Raises ModelError
    when an adapter does not fit, or when logits of the sums differ from those of base + adapters.
    """
    model = _load(base)
    probe = probe or probe_ids(model.config.vocab_size)
    before = last_logits(model, probe, positions)
    got = before
    for adapter in adapters:
        tuned = put_on(model, adapter, base)
        wanted = last_logits(tuned, probe, positions)
        tied = _untie(tuned)
        try:
            model = tuned.merge_and_unload(safe_merge=True).eval()
            if tied:
                _tie_if_equal(model)
        except (RuntimeError, ValueError, LookupError, AttributeError) as error:
            told = " ".join(str(error).split())
            raise ModelError(
                f"{adapter} 不能合并进 {base}：{told}",
                f"{adapter} cannot be merged into {base}: {told}",
            ) from error
        previous, got = got, last_logits(model, probe, positions)
        step = Proof(relative(wanted, previous), relative(got, wanted))
        if not step.holds():
            raise ModelError(
                f"{adapter} 合并进 {base} 之后，与“基座 + 适配器”回答不同：logits 相差 "
                f"{step.error:.2%}，而适配器的作用只有 {step.effect:.2%}",
                f"{adapter} merged into {base} does not answer as base + adapter do: logits "
                f"differ by {step.error:.2%}, the adapter changes them by {step.effect:.2%}",
            )
        if step.effect == 0:
            print(
                either(
                    f"注意：{adapter} 对输出没有任何影响，它训练过吗？",
                    f"note: {adapter} changes nothing: was it trained?",
                )
            )
    return model, Proof(relative(wanted, before), step.error)


def probe_ids(vocabulary: int) -> list[list[int]]:
    """Rows of random token ids, the same every time: any wrong weight shows in their logits."""
    import torch

    generator = torch.Generator().manual_seed(0)
    return torch.randint(vocabulary, (PROBE_ROWS, PROBE_TOKENS), generator=generator).tolist()


def _load(directory: Path) -> Any:
    try:
        return load_for_logits(directory)
    except (ValueError, OSError) as error:
        raise ModelError(f"{directory}: {' '.join(str(error).split())}") from error


def round_as_saved(model: Any, base: Path) -> None:
    """Give every weight the value that it will have in the base's data type; buffers stay."""
    dtype = stored_dtype(base)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype).to(parameter.dtype)


def _untie(model: Any) -> bool:
    """Give a tied head a matrix of its own: else what is added to it moves the embedding too.
    Returns whether it was tied."""
    causal = model.get_base_model()
    embedding = _own_layer(causal.get_input_embeddings())
    head = _own_layer(causal.get_output_embeddings())
    if head is None or head.weight is not embedding.weight:
        return False
    head.weight = type(head.weight)(head.weight.detach().clone(), requires_grad=False)
    causal.config.tie_word_embeddings = False
    return True


def _own_layer(layer: Any) -> Any:
    """The base's layer under PEFT's wrappers (LoRA layers, trained copies, trained tokens)."""
    while layer is not None:
        inner = getattr(layer, "base_layer", None) or getattr(layer, "original_module", None)
        if inner is None:
            return layer
        layer = inner
    return None


def _tie_if_equal(model: Any) -> None:
    """Tie head and embedding again where the adapter has left them the same."""
    import torch

    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    # An adapter on both (ensure_weight_tying) adds the same to both, but for the order of sums.
    tied = torch.allclose(head.weight, embedding.weight, rtol=1e-4, atol=1e-6)
    if tied:
        head.weight = embedding.weight
    model.config.tie_word_embeddings = tied
