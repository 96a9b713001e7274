"""The speed tables of README.md and bench/README.md, made from bench/results/.

    python -m bench.tables          writes them between their marks

A test checks that both hold what the recorded results give.
"""

import json
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench/results"

# What the results call them, and the pages' words. A result without a name here keeps its own.
NAMES = {
    "service": "本服务，bf16（默认设置）",
    "raw defaults": "vLLM 默认设置，一次 `LLM.generate`",
    "openai": "`vllm serve`，358 个并发请求",
    "transformers": "Transformers `generate`，每批 64 题",
    "serial": "本服务，一次一题",
    "core in its own process": "引擎在单独的进程",
    "no split of attention": "注意力不分段",
    "no prefix cache": "不缓存系统提示",
    "256 at once": "`MAX_NUM_SEQS=256`（沐曦的上限），分两拨",
    "fp8": "FP8",
    "fp8, weights only": "FP8，只压权重（Marlin）",
    "int8": "W8A8 int8",
    "awq": "AWQ W4A16",
}
KINDS = {
    "matrix products": "矩阵乘",
    "attention": "注意力",
    "norms, activations, rope, quantizing": "归一化、激活、量化",
    "sampling": "采样",
}
WINDOWS = {
    "358 answers": "358 题",
    "decode, full": "358 题",
    "about 43 answers": "约 43 题",
    "decode, tail": "不到 36 题",
    "about 6 answers": "约 6 题",
}


def candidates_table(results: dict[str, Any]) -> str:
    """A row for every candidate: median seconds, beside raw defaults and beside its floor."""
    rows = results["candidates"]
    plain = statistics.median(rows["raw defaults"]["seconds"])
    lines = ["| 方式 | 秒（中位数） | ÷ vLLM 默认 | ÷ 下限 |", "| --- | --- | --- | --- |"]
    for name, row in rows.items():
        if "seconds" not in row:
            continue
        seconds = statistics.median(row["seconds"])
        label = NAMES.get(name, name)
        if "questions" in row:  # another amount of work: its seconds stand alone
            lines.append(f"| {label}，前 {row['questions']} 题 | {seconds:.2f} | | |")
            continue
        floor = row.get("floor_seconds")
        beside = f"{seconds / floor:.2f}" if floor else ""
        lines.append(f"| {label} | {seconds:.2f} | {seconds / plain:.2f} | {beside} |")
    return "\n".join(lines)


def steps_table(results: dict[str, Any]) -> str:
    """A row for every format and phase: what the device does in one step."""
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


# Name of README's mark, the results, and the table made of them.
TABLES = {
    "gpu-candidates": ("serve_h100.json", candidates_table),
    "gpu-steps": ("breakdown_h100.json", steps_table),
    "cpu-candidates": ("serve_cpu.json", candidates_table),
}


# The tables of each page.
PAGES = {ROOT / "README.md": ("gpu-candidates",), ROOT / "bench/README.md": tuple(TABLES)}


def filled(text: str, names: Iterable[str]) -> str:
    """A page's text with these tables as the results give them. Raises ValueError: no such mark."""
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
