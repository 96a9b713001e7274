"""The tables of all pages are those of the recorded results."""

import json
from pathlib import Path

import pytest

from bench.engine_tables import NOT_YET, equal_table, natural_table
from bench.tables import (
    PAGES,
    RESULTS,
    candidates_table,
    filled,
    scores_table,
    steps_table,
    training_table,
    variants_table,
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_a_page_holds_what_was_measured(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert filled(text, PAGES[page]) == text, "run: python -m bench.tables"


def test_a_candidate_is_compared_by_its_median() -> None:
    table = candidates_table(
        {
            "candidates": {
                "raw defaults": {"seconds": [2.0, 9.0, 1.0], "floor_seconds": 1.0},
                "new": {"seconds": [1.0, 1.0, 3.0], "floor_seconds": 0.5},
                "serial": {"seconds": [4.0], "questions": 20},
                "openai": {"failed": "no such module"},
            }
        }
    )
    assert "| new | 1.00 | 0.50 | 2.00 |" in table
    assert "前 20 题 · serial, first 20 | 4.00 | | |" in table
    assert "openai" not in table


def test_a_variant_is_compared_with_the_default_of_its_own_machine() -> None:
    fast = {"service": {"seconds": [2.0, 2.0, 8.0]}, "fp8": {"seconds": [1.0, 1.5, 1.6]}}
    slow = {"service": {"seconds": [3.0]}, "fp8": {"seconds": [3.0]}}
    table = variants_table({"runs": [{"candidates": fast}, {"candidates": slow}]})
    assert table.splitlines()[2:] == [
        "| FP8 | 1.50 | 2.00 | 0.75 |",
        "| FP8 | 3.00 | 3.00 | 1.00 |",
    ]


def test_a_step_is_told_by_kind_of_kernel() -> None:
    kernels = {"decode, tail": {"busy_ms": 4.0, "kinds_ms": {"matrix products": 3.0}}}
    table = steps_table({"breakdowns": {"awq": {"kernels": kernels}}})
    assert "| awq | < 36 | 4.00 | 3.00 | 0.00 | 0.00 | 0.00 |" in table


def test_training_is_told_in_tokens_a_second_share_and_memory() -> None:
    recorded = json.loads((RESULTS / "train_h100.json").read_text("utf-8"))
    rows = [row for row in training_table(recorded).splitlines() if "plain TRL" in row]
    assert [row.partition("· ")[2] for row in rows] == ["plain TRL | 822 | 2 % | 8.6 GB |"]


def test_a_score_stands_beside_what_it_was_before_training() -> None:
    row = {"name": "0.5B, tuned", "accuracy": 0.1, "ceiling": 1.0, "echo": 0.18}
    for before, cell in (({"base": 0.2}, "0.200"), ({"untrained": 0.0}, "0.000"), ({}, "")):
        table = scores_table("en", {"rows": [{**row, **before}]})
        assert table.endswith(f"| 0.100 | {cell} | 1.000 | 0.180 |")


def test_a_missing_mark_is_named() -> None:
    with pytest.raises(ValueError, match="gpu-candidates"):
        filled("nothing", ["gpu-candidates"])


def test_files_of_several_engines_become_rows_as_they_are() -> None:
    equal = {
        "this service, 2 engines": {
            "seconds": [1.0, 1.2, 5.0],
            "raw_seconds": [2.0, 2.4, 3.0],
            "ratio_to_raw": 0.5,
            "floor_seconds": 0.5,
            "busy_percent": 88.0,
            "start_seconds": 60.0,
        },
        "vllm serve": {"failed": "no"},
    }
    run = {"model": "m", "form": "awq", "random_weights": True, "equal_tokens": equal}
    name = "m，awq，随机权重 random weights | this service, 2 engines"
    assert f"| {name} | 1.20 | 2.40 | 0.50 | 2.40 | 88.0 | 60.0 |" in equal_table([run])
    assert "| vllm serve | 失败 failed |" in equal_table([run])
    assert NOT_YET in equal_table([]) and NOT_YET in natural_table([])
    asked = {"seconds": [2.0], "characters_a_second": 1234.5, "score": 0.4, "questions": 32}
    asked |= {"loops_at_the_end": 0, "same_as_the_first_candidates": 31}
    run = {"model": "m", "form": "", "random_weights": False, "natural_ends": {"two": asked}}
    assert "| m | two | 2.00 | 1,234 | 0.400 | 0 | 31 / 32 |  |" in natural_table([run])
