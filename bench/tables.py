"""The tables of README.md, README.en.md and bench/*.md, made from bench/results/.

    python -m bench.tables          rewrites each table between its marks

A test checks that the pages hold what the recorded results give.
"""

import json
import statistics
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from bench.engine_tables import deadlines_table, equal_table, faults_table, natural_table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench/results"

# Labels of the pages by the names in the results; a name that is not here is shown as it is.
NAMES = {
    "service": "本服务，bf16（默认设置）",
    "raw defaults": "vLLM 默认设置，一次 `LLM.generate`",
    "openai": "`vllm serve`，358 个并发请求",
    "transformers": "Transformers `generate`，每批 64 题",
    "serial": "本服务，一次一题",
    "core in its own process": "引擎在单独的进程",
    "no split of attention": "注意力不分段",
    "no prefix cache": "不缓存系统提示",
    "256 at once": "`MAX_NUM_SEQS=256`，分两拨",
    "256 at once, filled one by one": "`MAX_NUM_SEQS=256`，分两拨，空位逐个补（旧做法）",
    "256 at once, no graphs above 256": "`MAX_NUM_SEQS=256`，没有 256 以上的图（沐曦的上限）",
    "Triton attention": "Triton 注意力",
    "q/k norm and rope fused": "q/k 归一化与旋转位置融合",
    "not compiled, full graphs": "不编译，只用整图",
    "not compiled, core in its own process": "不编译，引擎在单独的进程",
    "fp8, core in its own process": "FP8，引擎在单独的进程",
    "awq by Marlin": "AWQ，Marlin 核",
    "no block shortcut": "不走 KV 块的捷径（已删去的一项）",
    "vLLM's first model runner": "vLLM 的第一代 model runner",
    "no asynchronous scheduling": "不异步调度",
    "no asynchronous scheduling, no block shortcut": "不异步调度，不走捷径",
    "as MetaX": "像沐曦：256 并发、图到 256、不异步调度",
    "as MetaX, no block shortcut": "像沐曦，不走捷径",
    "two copies on two GPUs": "两块 H200，每块一份模型",
    "one model on two GPUs": "两块 H200 合跑一份模型",
    "fp8": "FP8",
    "fp8, weights only": "FP8，只压权重（Marlin）",
    "fp8, cuBLAS": "FP8，cuBLAS 核",
    "fp8, fixed scales of activations": "FP8，激活用固定的比例",
    "fp8, fixed scales, cuBLAS": "FP8，激活用固定的比例，cuBLAS 核",
    "fp8, fixed scales of activations, weights of zeros": "FP8，激活用固定的比例（权重多是零）",
    "fp8, fixed scales, cuBLAS, weights of zeros": "FP8，激活用固定的比例，cuBLAS 核（权重多是零）",
    "no system prompt": "没有系统提示",
    "int8": "W8A8 int8",
    "awq": "AWQ W4A16",
}
KINDS = {
    "matrix products": "矩阵乘",
    "attention": "注意力",
    "norms, activations, rope, quantizing": "归一化、激活、量化",
    "sampling": "采样",
}
STAGES = {
    "HTTP and JSON": "HTTP 和 JSON",
    "rendering": "套模板",
    "tokenising": "分词",
    "looking for control tokens": "找控制标记",
    "adding requests": "交给 vLLM",
    "prefill": "读提示",
    "decode, full": "写，满批（九成以上）",
    "decode, between": "写，中间",
    "decode, tail": "写，尾部（一成以下）",
    "post-processing": "整理回答",
    "step loop and threads": "循环和线程",
    "all steps together": "所有步合计",
}
# `waiting`: the part of a step in which the host waits for the device.
PARTS = {
    "schedule": "调度",
    "execute": "发射",
    "update": "更新",
    "output": "输出",
    "waiting": "等 GPU",
}
WINDOWS = {
    "358 answers": "358",
    "decode, full": "358",
    "about 43 answers": "≈ 43",
    "decode, tail": "< 36",
    "about 6 answers": "≈ 6",
}
# The sections of bench/train_gpu.py that the page shows.
TRAINING = {
    "lora packed 8k": "LoRA，装箱 8,192（`qwen3-4b-lora.yaml` 的取值）",
    "lora packed 8k, compiled": "同上，`torch_compile=true`",
    "lora packed 16k": "LoRA，装箱 16,384",
    "lora packed 16k, compiled": "同上，`torch_compile=true`",
    "lora packed": "LoRA，装箱 4,096",
    "lora unpacked": "LoRA，不装箱，24 行一批",
    "qlora packed": "QLoRA（NF4），装箱 4,096",
    "full packed": "全参数，梯度检查点，装箱 4,096",
    "plain TRL": "TRL 与 PEFT 的默认值（8 行一批，秩 8）",
}
SCORES = {
    "zh": {
        "columns": ["模型和题目", "准确率", "训练之前", "上限", "复述问题"],
        "demo, sample basic": "演示模型，示例基础集 48 题（**演示，不代表质量**）",
        "demo, sample bonus": "演示模型，示例加分集 39 题（**演示，不代表质量**）",
        "0.5B, untuned, sample book at hand": "Qwen2.5-Coder-0.5B，未微调，翻着示例教材，"
        "示例 87 题",
        "0.5B, untuned": "Qwen2.5-Coder-0.5B，未微调，真实教材的 64 道新题",
        "1.5B, untuned": "Qwen2.5-Coder-1.5B，未微调，同样 64 题",
        "0.5B, untuned, book at hand": "Qwen2.5-Coder-0.5B，未微调，**答题时翻书**，同样 64 题",
        "1.5B, untuned, book at hand": "Qwen2.5-Coder-1.5B，未微调，**答题时翻书**，同样 64 题",
        "0.5B, tuned": "Qwen2.5-Coder-0.5B，用从前的 0.5B 配方微调，92 道新题",
        "0.5B, tuned on composed answers, book at hand": "Qwen2.5-Coder-0.5B，学 1.5B 翻书重答的"
        "训练题（`data compose`），翻书，64 道 dev 题",
        "0.5B, tuned on composed answers": "同样，每题只留一遍（501 行），不翻书，同样 64 题",
        "1.5B, untuned, book, examples": "Qwen2.5-Coder-1.5B，未微调，翻书，两个示例"
        "（服务的默认），同样 64 题",
        "1.5B, untuned, book, examples, 16 draws": "同样，16 遍取最一致的，同样 64 题",
    },
    "en": {
        "columns": ["model and questions", "accuracy", "before training", "ceiling", "echo"],
        "demo, sample basic": "demo model, 48 of the sample basic set (**a demo, not quality**)",
        "demo, sample bonus": "demo model, 39 of the sample bonus set (**a demo, not quality**)",
        "0.5B, untuned, sample book at hand": "Qwen2.5-Coder-0.5B untuned, the sample book at "
        "hand, the sample's 87",
        "0.5B, untuned": "Qwen2.5-Coder-0.5B untuned, 64 held-out questions on the real book",
        "1.5B, untuned": "Qwen2.5-Coder-1.5B untuned, the same 64",
        "0.5B, untuned, book at hand": "Qwen2.5-Coder-0.5B untuned, **book at hand**, the same 64",
        "1.5B, untuned, book at hand": "Qwen2.5-Coder-1.5B untuned, **book at hand**, the same 64",
        "0.5B, tuned": "Qwen2.5-Coder-0.5B tuned by the 0.5B recipe of then, 92 held-out questions",
        "0.5B, tuned on composed answers, book at hand": "Qwen2.5-Coder-0.5B tuned on what a 1.5B "
        "with the book answered (`data compose`), book at hand, 64 dev questions",
        "0.5B, tuned on composed answers": "the same, one answer a question (501 rows), without "
        "the book, the same 64",
        "1.5B, untuned, book, examples": "Qwen2.5-Coder-1.5B untuned, book at hand, two worked "
        "examples (the service's default), the same 64",
        "1.5B, untuned, book, examples, 16 draws": "the same, the most agreeing of 16 draws, the "
        "same 64",
    },
}


def both(words: dict[str, str], name: str, more: tuple[str, str] = ("", "")) -> str:
    """The Chinese label of a result and its own name, which is English, each with more after it."""
    label = words.get(name, name)
    is_chinese = any("\u4e00" <= character <= "\u9fff" for character in label)
    return f"{label}{more[0]} · {name}{more[1]}" if is_chinese else label + more[0]


def candidates_table(results: dict[str, Any]) -> str:
    """A row for each candidate: median seconds, their ratio to vLLM's defaults and to the floor."""
    rows = results["candidates"]
    plain = statistics.median(rows["raw defaults"]["seconds"])
    columns = ["方式 way", "秒，中位数 seconds", "÷ vLLM 默认 defaults", "÷ 下限 floor"]
    lines = [f"| {' | '.join(columns)} |", "| --- | --- | --- | --- |"]
    for name, row in rows.items():
        if "seconds" not in row:
            continue
        seconds = statistics.median(row["seconds"])
        if count := row.get("questions"):  # another amount of work: its seconds stand alone
            label = both(NAMES, name, (f"，前 {count} 题", f", first {count}"))
            lines.append(f"| {label} | {seconds:.2f} | | |")
            continue
        floor = row.get("floor_seconds")
        beside = f"{seconds / floor:.2f}" if floor else ""
        label = both(NAMES, name)
        lines.append(f"| {label} | {seconds:.2f} | {seconds / plain:.2f} | {beside} |")
    return "\n".join(lines)


def variants_table(results: dict[str, Any]) -> str:
    """A row for every setting tried: median seconds, beside the default's on the same machine."""
    columns = ["设置 setting", "秒，中位数 seconds", "同一台机器的默认 default", "比值 ratio"]
    lines = [f"| {' | '.join(columns)} |", "| --- | --- | --- | --- |"]
    for run in results["runs"]:
        medians = {
            name: statistics.median(row["seconds"]) for name, row in run["candidates"].items()
        }
        plain = medians.pop("service")
        lines += [
            f"| {both(NAMES, name)} | {seconds:.2f} | {plain:.2f} | {seconds / plain:.2f} |"
            for name, seconds in medians.items()
        ]
    return "\n".join(lines)


def stages_table(results: dict[str, Any]) -> str:
    """Where one bf16 batch's time goes: seconds and, of steps, the host's parts in milliseconds."""
    columns = ["阶段 stage", "秒 s", "步数 steps", "每步 ms a step"]
    columns += [f"{label} {part}" for part, label in PARTS.items()]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for row in results["breakdowns"]["bf16"]["rows"]:
        cells = [both(STAGES, row["stage"]), f"{row['seconds']:.3f}"]
        if steps := row.get("steps"):
            each = [f"{1000 * row[part] / steps:.1f}" for part in PARTS]
            cells += [str(steps), f"{row['mean_step_ms']:.1f}", *each]
        else:
            cells += [""] * (2 + len(PARTS))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def steps_table(results: dict[str, Any]) -> str:
    """A row for every format and phase: what the device does in one step."""
    columns = ["权重 weights", "正在写 running", "GPU 忙 busy, ms"]
    columns += [f"{label} {kind}" for kind, label in KINDS.items()]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for form, breakdown in results["breakdowns"].items():
        for window, found in breakdown["kernels"].items():
            if window not in WINDOWS:
                continue
            kinds = [f"{found['kinds_ms'].get(kind, 0.0):.2f}" for kind in KINDS]
            cells = [form, WINDOWS[window], f"{found['busy_ms']:.2f}", *kinds]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def training_table(results: dict[str, Any]) -> str:
    """A row for every way to train: tokens a second, share of the matrix rate, peak memory."""
    columns = ["方式 way", "token/秒 a second", "占比 share", "显存峰值 peak memory"]
    lines = [f"| {' | '.join(columns)} |", "| --- | --- | --- | --- |"]
    measured = {row["name"]: row for row in results["sections"]}
    for name in TRAINING:
        row = measured[name]
        lines.append(
            f"| {both(TRAINING, name)} | {row['tokens_per_s']:,} | {100 * row['mfu']:.0f} % "
            f"| {row['peak_bytes'] / 1e9:.1f} GB |"
        )
    return "\n".join(lines)


def scores_table(language: str, results: dict[str, Any]) -> str:
    """A row for every score: accuracy, beside ceiling, echoed questions and the untuned model."""
    words = SCORES[language]
    lines = [f"| {' | '.join(words['columns'])} |", "| --- " * 5 + "|"]
    for row in results["rows"]:
        before = row.get("base", row.get("untrained"))
        cells = [
            words[row["name"]],
            f"{row['accuracy']:.3f}",
            "" if before is None else f"{before:.3f}",
            f"{row['ceiling']:.3f}",
            f"{row['echo']:.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# A mark's name, the results (all files of a pattern as a list), and the table made of them.
TABLES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "scores": ("scores.json", partial(scores_table, "zh")),
    "scores-en": ("scores.json", partial(scores_table, "en")),
    "gpu-candidates": ("serve_h100.json", candidates_table),
    "cpu-candidates": ("serve_cpu.json", candidates_table),
    "training": ("train_h100.json", training_table),
    "gpu-stages": ("breakdown_h100.json", stages_table),
    "gpu-steps": ("breakdown_h100.json", steps_table),
    "gpu-variants": ("variants_h100.json", variants_table),
    "engines-equal": ("engines_h100_*.json", equal_table),
    "engines-natural": ("engines_h100_*.json", natural_table),
    "engines-old": ("engines_0.10.0_cpu*.json", natural_table),
    "deadlines": ("deadlines_cpu.json", deadlines_table),
    "faults": ("faults_cpu.json", faults_table),
}
# The tables of each page.
PAGES = {
    ROOT / "README.md": ("scores",),
    ROOT / "README.en.md": ("scores-en",),
    ROOT / "bench/README.md": (
        *("engines-equal", "engines-natural", "engines-old"),
        *("gpu-candidates", "cpu-candidates", "training"),
    ),
    ROOT / "bench/LOG.md": (*("gpu-stages", "gpu-steps", "gpu-variants", "deadlines", "faults"),),
}


def filled(text: str, names: Iterable[str]) -> str:
    """A page's text with these tables generated anew. Raises ValueError when a mark is missing."""
    for name in names:
        file, table = TABLES[name]
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        _, also_found, after = rest.partition(end)
        if not (found and also_found):
            raise ValueError(f"the page lacks the marks {begin.strip()} … {end.strip()}")
        read = [json.loads(p.read_text(encoding="utf-8")) for p in sorted(RESULTS.glob(file))]
        results = read if "*" in file else read[0]
        text = before + begin + table(results) + "\n" + end + after
    return text


if __name__ == "__main__":
    for page, names in PAGES.items():
        page.write_text(filled(page.read_text(encoding="utf-8"), names), encoding="utf-8")
