"""Candidates side by side: groups, variants, and one that fails among others."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.candidates import Ready
from bench.processes import BenchError
from bench.serve import in_groups, load_variants, measure_together
from tests.conftest import ROOT


def test_groups_keep_the_order_and_the_first_may_stand_alone() -> None:
    names = list("abcdef")
    assert in_groups(names, 4) == [list("abcd"), list("ef")]
    assert in_groups(names, 4, first_alone=True) == [["a"], list("bcde"), ["f"]]
    assert in_groups([], 4, first_alone=True) == []


def test_variants_settings_are_texts_and_know_the_models_place(tmp_path: Path) -> None:
    path = tmp_path / "variants.json"
    settings = {"MODEL_DIR": "{model}-awq", "ENGINE_ARGS": {"block_size": 64}}
    path.write_text(json.dumps([{"name": "awq", "settings": settings, "prediction": "less"}]))
    (row,) = load_variants(path, Path("/m/shape"))
    assert row["settings"] == {"MODEL_DIR": "/m/shape-awq", "ENGINE_ARGS": '{"block_size": 64}'}


def test_every_list_of_variants_can_be_read() -> None:
    for path in Path("bench").glob("variants_*.json"):
        rows = load_variants(path, Path("m"))
        assert all(row["prediction"] and row["settings"] for row in rows)


def test_one_that_does_not_start_or_measure_costs_only_its_own_row() -> None:
    open_now: list[str] = []
    asked: list[str] = []

    @contextlib.contextmanager
    def job(name: str, start: bool = True, measure: bool = True, runs: int = 9) -> Iterator[Ready]:
        if not start:
            raise BenchError("no such model")
        open_now.append(name)

        def once() -> dict[str, float]:
            assert len(open_now) == 3, "measured before all had started"
            asked.append(name)
            if not measure:
                raise BenchError("it died")
            return {"seconds": float(len(asked)), "raw_seconds": 1.0}

        def first() -> dict[str, float]:
            assert len(open_now) == 3 and not asked, "the first call is measured like the others"
            return {"first_call_seconds": 9.0}

        yield Ready(once, lambda: {"start_seconds": 5.0}, runs, first if name == "good" else None)
        open_now.remove(name)

    jobs = {
        "good": job("good"),
        "mute": job("mute", start=False),
        "ill": job("ill", measure=False),
        "slow": job("slow", runs=1),
    }
    figures = dict(measure_together(jobs, 3))
    assert asked == ["good", "ill", "slow", "good", "good"], "in turn"
    assert figures["good"]["seconds"] == [1.0, 4.0, 5.0]
    assert figures["good"]["ratio_to_raw"] == 4.0 and figures["good"]["start_seconds"] == 5.0
    assert figures["good"]["first_call_seconds"] == 9.0
    assert figures["slow"]["seconds"] == [3.0] and figures["slow"]["start_seconds"] == 5.0
    assert figures["mute"] == {"failed": "no such model"}
    assert figures["ill"] == {"failed": "it died"}
    assert open_now == []


def test_when_nothing_could_be_measured_the_bench_fails(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    options = ["nosuch", "--only", "service", "--questions", "2", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "bench.serve", *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    assert done.returncode == 1
    why = json.loads(out.read_text("utf-8"))["candidates"]["service"]["failed"]
    assert "MODEL_DIR=nosuch: no config.json there" in why
