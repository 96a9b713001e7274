"""The speed tables of README.md and bench/README.md, generated from bench/results/.

    python -m bench.tables          rewrites each table between its marks

A test checks that both pages show what the results say.
"""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

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
    "no block shortcut": "不走 KV 块的捷径",
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
    "358 answers": "358 题",
    "decode, full": "358 题",
    "about 43 answers": "约 43 题",
    "decode, tail": "不到 36 题",
    "about 6 answers": "约 6 题",
}


def candidates_table(results: dict[str, Any]) -> str:
    """A row for each candidate: median seconds, their ratio to vLLM's defaults and to the floor."""
    rows = results["candidates"]
    plain = statistics.median(rows["raw defaults"]["seconds"])
    lines = ["| 方式 | 秒（中位数） | ÷ vLLM 默认 | ÷ 下限 |", "| --- | --- | --- | --- |"]
    for name, row in rows.items():
        if "seconds" not in row:
            continue
        seconds = statistics.median(row["seconds"])
        label = NAMES.get(name, name)
        if "questions" in row:  # it answered fewer questions: a ratio would mislead
            lines.append(f"| {label}，前 {row['questions']} 题 | {seconds:.2f} | | |")
            continue
        floor = row.get("floor_seconds")
        beside = f"{seconds / floor:.2f}" if floor else ""
        lines.append(f"| {label} | {seconds:.2f} | {seconds / plain:.2f} | {beside} |")
    return "\n".join(lines)


def variants_table(results: dict[str, Any]) -> str:
    """A row for each setting tried: median seconds, and their ratio to the defaults' on the same
    machine."""
    lines = ["| 设置 | 秒（中位数） | 同一台机器的默认设置 | 比值 |", "| --- | --- | --- | --- |"]
    for run in results["runs"]:
        medians = {
            name: statistics.median(row["seconds"]) for name, row in run["candidates"].items()
        }
        plain = medians.pop("service")
        lines += [
            f"| {NAMES.get(name, name)} | {seconds:.2f} | {plain:.2f} | {seconds / plain:.2f} |"
            for name, seconds in medians.items()
        ]
    return "\n".join(lines)


def stages_table(results: dict[str, Any]) -> str:
    """A row for each stage of one bf16 batch: seconds; of steps, their parts in milliseconds."""
    columns = ["阶段", "秒", "步数", "每步（毫秒）", *PARTS.values()]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for row in results["breakdowns"]["bf16"]["rows"]:
        label = STAGES.get(row["stage"], row["stage"])
        cells = [label, f"{row['seconds']:.3f}"]
        if steps := row.get("steps"):
            each = [f"{1000 * row[part] / steps:.1f}" for part in PARTS]
            cells += [str(steps), f"{row['mean_step_ms']:.1f}", *each]
        else:
            cells += [""] * (2 + len(PARTS))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def steps_table(results: dict[str, Any]) -> str:
    """A row for each weights' form and phase: milliseconds of the device in one step, by kernel."""
    columns = ["权重", "正在写", "GPU 忙（毫秒）", *KINDS.values()]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    for form, breakdown in results["breakdowns"].items():
        for window, found in breakdown["kernels"].items():
            if window not in WINDOWS:
                continue
            kinds = [f"{found['kinds_ms'].get(kind, 0.0):.2f}" for kind in KINDS]
            cells = [form, WINDOWS[window], f"{found['busy_ms']:.2f}", *kinds]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# By the name of the page's marks: the results, and the function that makes the table.
TABLES = {
    "gpu-candidates": ("serve_h100.json", candidates_table),
    "gpu-stages": ("breakdown_h100.json", stages_table),
    "gpu-variants": ("variants_h100.json", variants_table),
    "gpu-steps": ("breakdown_h100.json", steps_table),
    "cpu-candidates": ("serve_cpu.json", candidates_table),
}
# The tables of each page.
PAGES = {ROOT / "README.md": ("gpu-candidates",), ROOT / "bench/README.md": tuple(TABLES)}


def filled(text: str, names: Iterable[str]) -> str:
    """A page's text with these tables generated anew. Raises ValueError when a mark is missing."""
    for name in names:
        file, table = TABLES[name]
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = text.partition(begin)
        _, also_found, after = rest.partition(end)
        if not (found and also_found):
            raise ValueError(f"the page lacks the marks {begin.strip()} … {end.strip()}")
        results = json.loads((RESULTS / file).read_text(encoding="utf-8"))
        text = before + begin + table(results) + "\n" + end + after
    return text


if __name__ == "__main__":
    for page, names in PAGES.items():
        page.write_text(filled(page.read_text(encoding="utf-8"), names), encoding="utf-8")
