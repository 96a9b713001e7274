"""The tables of several engines: of bench.engines' own files, deadlines and faults.

Used by bench/tables.py. A further run's file goes into bench/results/ as it was written:
engines_h100_NAME.json.
"""

import statistics
from collections.abc import Sequence
from typing import Any

NOT_YET = "还没有测 · not measured yet"


def equal_table(results: Sequence[dict[str, Any]]) -> str:
    """A row for each model and candidate: median seconds beside raw vLLM's and the floor."""
    columns = ["模型 model", "方式 way", "秒 s", "同时轮流测的裸 vLLM raw in turn", "比值 ratio"]
    columns += ["÷ 下限 floor", "GPU 忙 busy %", "启动 start s"]
    rows = []
    for figures in results:
        for name, row in figures["equal_tokens"].items():
            if "seconds" not in row:
                rows.append([model_of(figures), name, "失败 failed", "", "", "", "", ""])
                continue
            seconds, floor = statistics.median(row["seconds"]), row.get("floor_seconds")
            raw = row.get("raw_seconds")
            rows.append(
                [
                    *(model_of(figures), name, f"{seconds:.2f}"),
                    f"{statistics.median(raw):.2f}" if raw else "",
                    f"{row['ratio_to_raw']:.2f}" if "ratio_to_raw" in row else "",
                    f"{seconds / floor:.2f}" if floor else "",
                    str(row.get("busy_percent", "")),
                    str(row.get("start_seconds", "")),
                ]
            )
    return as_table(columns, rows)


def natural_table(results: Sequence[dict[str, Any]]) -> str:
    """A row for each model and service: seconds, characters a second, score, loops left."""
    columns = ["模型 model", "方式 way", "秒 s", "字符/秒 characters/s", "得分 score"]
    columns += ["结尾是循环 end in a loop", "与第一行相同 same as the first", "GPU 忙 busy %"]
    rows = []
    for figures in results:
        for name, row in figures["natural_ends"].items():
            if "seconds" not in row:
                rows.append([model_of(figures), name, "失败 failed", "", "", "", "", ""])
                continue
            same = row.get("same_as_the_first_candidates")
            rows.append(
                [
                    *(model_of(figures), name, f"{statistics.median(row['seconds']):.2f}"),
                    f"{row['characters_a_second']:,.0f}",
                    f"{row['score']:.3f}",
                    str(row.get("loops_at_the_end", "")),
                    "" if same is None else f"{same} / {row['questions']}",
                    str(row.get("busy_percent", "")),
                ]
            )
    return as_table(columns, rows)


def model_of(figures: dict[str, Any]) -> str:
    """The model's name, with its form where the weights are random."""
    random = f"，{figures['form']}，随机权重 random weights" if figures["random_weights"] else ""
    return figures["model"] + random


def deadlines_table(results: dict[str, Any]) -> str:
    """A row for each number of engines and draws: how late each budget was, whole or not."""
    columns = ["引擎 engines", "每题几遍 draws", "预算 budget s", "晚 late s"]
    columns += ["回答 answers", "有字的 with text"]
    rows = [
        [
            *map(str, (row["engines"], row["draws"], f"{row['budget_s']:g}")),
            *(f"{row['late_s']:+.2f}", str(row["answers"]), str(row["with_text"])),
        ]
        for row in results["rows"]
    ]
    return as_table(columns, rows)


def faults_table(results: dict[str, Any]) -> str:
    """A row for each fault put into the running service with two engines, and answers drawn."""
    columns = ["错误 fault", "每题几遍 draws", "调用者得到 the caller gets", "秒 s"]
    rows = [
        [row["fault"], str(row["draws"]), row["got"], f"{row['seconds']:.1f}"]
        for row in results["rows"]
    ]
    return as_table(columns, rows)


def as_table(columns: list[str], rows: list[list[str]]) -> str:
    """Markdown; without rows a word that there are none."""
    rows = rows or [[NOT_YET, *[""] * (len(columns) - 1)]]
    lines = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
