"""Reports of the local judge as tests need them: written as judging/report.py writes them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from judging.scoring import combine, score_item

QUESTIONS = [
    ("kernel 用什么声明？", "kernel 用 __global__ 声明，由 CPU 启动。"),
    ("为什么要调用 cudaFree？", "因为 cudaMalloc 分配的显存不会自己释放。"),
    ("warp 有多少个线程？", "一个 warp 有 32 个线程。"),
    ("shared memory 与 global memory 有什么区别？", "shared memory 在片上，global memory 在片外。"),
    ("如何同步一个 block？", "调用 __syncthreads()，block 内的线程都会等待。"),
    ("stream 是什么？", "stream 是按次序执行的任务队列，例如 cudaStream_t s。"),
]


def write_report(
    folder: Path, answers: list[str], model: str = "m", created: str = "2026-01-01", **info: Any
) -> Path:
    """A report over QUESTIONS with these answers; `info` goes into the service's settings."""
    folder.mkdir(parents=True)
    rows, items = [], []
    for (question, reference), answer in zip(QUESTIONS, answers, strict=True):
        items.append(score_item(reference, answer, question))
        rows.append(
            {"testset": "t", "where": "", "section": "一", "question": question}
            | {"reference": reference, "answer": answer, **asdict(items[-1])}
            | {"characters": len(answer), "seconds": None}
        )
    scores = combine(items)
    total = {"accuracy": scores.accuracy, "stderr": scores.stderr, "echo": scores.echo}
    total |= {"ceiling": scores.ceiling, "speed": 1000.0, "questions": len(rows)}
    summary = {
        "created": created,
        "model": model,
        "testsets": [{"name": "t", "questions": len(rows)}],
        "total": total,
        "failures": [],
        "demo": False,
        "manifest_chain": [],
        "conclusion": {"zh": "准确率高。提交前检查：", "en": "high. Next:", "command": "x"},
        "info": {"settings": info},
    }
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "answers.jsonl").write_text(lines, encoding="utf-8")
    return folder
