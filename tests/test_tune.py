"""`run.sh tune`: the search, the settings file, resuming, refusals, and (slow) a run."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from common.manifest import Manifest, write_manifest
from serving.settings import SettingsError, load_settings
from tests.conftest import ROOT, TINY_PAIRS
from tune import settings_file
from tune.__main__ import main
from tune.dev import DevError, default_dev, read_dev, too_short
from tune.length import Cap
from tune.pareto import select
from tune.search import Search
from tune.space import UNSET
from tune.trial import Measure, Outcome, TrialFailedError, measure_with

SPACE = {"MAX_NUM_SEQS": [UNSET, "64", "128"], "ENABLE_PREFIX_CACHING": [UNSET, "false"]}


FAR = 1e12  # a budget that does not end


def test_the_settings_file_is_what_the_service_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"compilation_config": {"cudagraph_capture_sizes": [1, 2, 358]}}
    chosen = {"MAX_NUM_SEQS": "128", "ENGINE_ARGS": json.dumps(sizes)}
    path = tmp_path / "serve.env"
    monkeypatch.setenv("MAX_NUM_SEQS", "nonsense")  # the file is checked by itself
    settings_file.write(path, chosen, ["a note"])
    monkeypatch.delenv("MAX_NUM_SEQS")
    monkeypatch.setenv("SETTINGS_FILE", str(path))
    settings = load_settings()
    assert (settings.max_num_seqs, settings.engine_args) == (128, sizes)
    assert settings_file.may_replace(path)
    with pytest.raises(SettingsError, match="MAX_NUM_SEQZ"):
        settings_file.write(path, {"MAX_NUM_SEQZ": "1"}, [])
    assert load_settings().max_num_seqs == 128  # what was there before is still there
    path.write_text("MAX_NUM_SEQS=3\n", "utf-8")
    assert not settings_file.may_replace(path)


class Machine:
    """Stands for the service: small caches are faster, 64 at once does not start."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.stop_after = 10**9

    def __call__(self, settings: dict[str, str], name: str) -> Outcome:
        if len(self.asked) == self.stop_after:
            raise KeyboardInterrupt
        self.asked.append(settings)
        if settings.get("MAX_NUM_SEQS") == "64":
            raise TrialFailedError("out of memory")
        speed = 100.0 + 50 * ("ENABLE_PREFIX_CACHING" in settings)
        return Outcome(0.5, speed, 1.0, 2.0)


def search(folder: Path, machine: Machine) -> Search:
    made = Search(folder / "study.db", "demo", machine)
    if not made.begun:
        made.begin(lambda outcome: SPACE)
    return made


def test_every_setting_is_tried_once_and_failures_are_no_scores(tmp_path: Path) -> None:
    machine, seen = Machine(), []
    found = search(tmp_path, machine)
    assert "no settings are left" in found.run(FAR, seen.append)
    assert len(machine.asked) == len({json.dumps(s, sort_keys=True) for s in machine.asked})
    assert len(machine.asked) == 6  # all of 3 x 2, the defaults first
    assert machine.asked[0] == {}
    failed = [r for r in found.rows() if not r.ok]
    assert {r.settings["MAX_NUM_SEQS"] for r in failed} == {"64"}
    assert {r.reason for r in failed} == {"out of memory"}
    assert found.confirm(FAR)
    best = select(found.rows())
    assert "ENABLE_PREFIX_CACHING" in best.settings and len(best.measured) == 2
    assert len(found.rows()[0].measured) == 2


def test_an_interrupted_search_goes_on_where_it_was(tmp_path: Path) -> None:
    first = Machine()
    first.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        search(tmp_path, first).run(FAR, lambda row: None)
    second = Machine()
    found = search(tmp_path, second)
    found.run(FAR, lambda row: None)
    assert {} not in second.asked  # the defaults were measured in the first run
    assert not [settings for settings in second.asked if settings in first.asked]
    assert len(first.asked) + len(second.asked) == 6
    assert len(found.rows()) == 6


def test_no_time_no_trial(tmp_path: Path) -> None:
    machine = Machine()
    assert search(tmp_path, machine).run(time.monotonic() - 1, lambda row: None)
    assert len(machine.asked) == 1


def test_a_lucky_start_is_found_out(tmp_path: Path) -> None:
    class Lucky(Machine):
        def __call__(self, settings: dict[str, str], name: str) -> Outcome:
            self.asked.append(settings)
            lucky = bool(settings) and not name.endswith("again")
            return Outcome(0.5, 110.0 if lucky else 90.0 if settings else 100.0, 1.0, 2.0)

    found = search(tmp_path, Lucky())
    found.run(FAR, lambda row: None)
    assert select(found.rows()).number != 0
    assert found.confirm(FAR)
    assert select(found.rows()).number == 0


@pytest.mark.parametrize("name", ["basic", "bonus"])
@pytest.mark.parametrize("suffix", ["docx", "jsonl"])
def test_the_samples_test_sets_are_refused(name: str, suffix: str, tmp_path: Path) -> None:
    with pytest.raises(DevError, match=f"testset_{name}"):
        read_dev(ROOT / f"data/sample/testset_{name}.{suffix}")


def test_a_dev_split_with_a_question_of_ones_own_test_set_is_refused(tmp_path: Path) -> None:
    def write(name: str, *questions: str) -> Path:
        path = tmp_path / name
        rows = [json.dumps({"question": q, "answer": "答"}) for q in questions]
        path.write_text("\n".join(rows), "utf-8")
        return path

    dev, mine = write("dev.jsonl", "甲？", "乙?"), write("mine.jsonl", "乙？")
    assert len(read_dev(dev).pairs) == 2
    with pytest.raises(DevError, match="1 of its 2 questions"):
        read_dev(dev, [mine])


def test_the_demo_is_tuned_on_rows_that_are_no_test_question(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"demo": true}', "utf-8")
    assert len(read_dev(default_dev(tmp_path)).pairs) == 87
    with pytest.raises(DevError, match="--dev"):
        default_dev(tmp_path / "another")


def test_a_service_that_does_not_start_is_a_failed_trial_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "dev.jsonl").write_text('{"question": "甲？", "answer": "乙"}', "utf-8")
    measure = measure_with(tmp_path, read_dev(tmp_path / "dev.jsonl"), None, tmp_path / "out")
    with pytest.raises(TrialFailedError, match="MAX_TOKENS"):
        measure({"MAX_TOKENS": "many"}, "trial_001")


def test_only_the_length_is_chosen_and_the_rest_of_the_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dev, written = tmp_path / "dev.jsonl", tmp_path / "serve.env"
    dev.write_text(json.dumps({"question": "甲？", "answer": "乙"}) + "\n", "utf-8")
    (tmp_path / "config.json").write_text("{}")
    settings_file.write(written, {"MAX_NUM_SEQS": "64", "MAX_TOKENS": "300"}, ["before"])
    caps = iter([Cap(96, 0.6, 0.1, 0.02, 3, 0.4), None])
    monkeypatch.setattr(
        "tune.__main__.measure_with",
        lambda *_: lambda settings, name: Outcome(0.5, 9.0, 1.0, 2.0, {}, cap=next(caps)),
    )
    monkeypatch.setattr("tune.__main__.stop_on_signals", lambda: None)
    told = typer.Typer()
    told.command()(main)
    options = ["--dev", str(dev), "--model", str(tmp_path), "--out", str(tmp_path / "out")]
    for cap in ({"MAX_TOKENS": "96"}, {}):
        done = CliRunner().invoke(told, [*options, "--only-length", "--write", str(written)])
        assert done.exit_code == 0, done.output
        kept = {"RETRIEVAL_EXAMPLES": "auto", "MAX_NUM_SEQS": "64"}  # untold it would mean none
        assert settings_file.read(written) == kept | cap


def test_no_length_is_chosen_by_dev_answers_that_are_much_shorter_than_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: Path, answer: str) -> Path:
        path.write_text(json.dumps({"question": "甲？", "answer": answer}) + "\n", "utf-8")
        return path

    dev = read_dev(write(tmp_path / "dev.jsonl", "乙" * 60))
    assert too_short(dev) == "" == too_short(dev, [write(tmp_path / "alike.jsonl", "乙" * 80)])
    mine = write(tmp_path / "mine.jsonl", "乙" * 235)
    assert "mine.jsonl" in too_short(dev, [mine]) and "235" in too_short(dev, [mine])
    write(tmp_path / "train.jsonl", "乙" * 140)
    assert too_short(dev) == "", "not known to be of the same data"
    write_manifest(tmp_path, Manifest(stage="data", name="m"))
    assert "train.jsonl" in too_short(dev)

    (tmp_path / "config.json").write_text("{}")
    written = tmp_path / "serve.env"
    settings_file.write(written, {"MAX_NUM_SEQS": "64", "MAX_TOKENS": "32"}, ["before"])
    monkeypatch.setattr("tune.__main__.stop_on_signals", lambda: None)
    told = typer.Typer()
    told.command()(main)
    options = ["--dev", str(dev.path), "--model", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(told, [*options, "--only-length", "--write", str(written)])
    assert done.exit_code == 0 and "MAX_TOKENS is not set" in done.output, done.output
    assert settings_file.read(written) == {"RETRIEVAL_EXAMPLES": "auto", "MAX_NUM_SEQS": "64"}


@pytest.mark.parametrize(
    ("recipe", "variables", "asked"),
    [
        # Passages of the file are kept, and so the trial has them.
        (None, {}, {"RETRIEVAL_EXAMPLES": "auto", "RETRIEVAL_PASSAGES": "5"}),
        (None, {"RETRIEVAL_EXAMPLES": "1"}, {"RETRIEVAL_EXAMPLES": "1", "RETRIEVAL_PASSAGES": "5"}),
        (
            {"retrieval_examples": "my/ex.jsonl", "retrieval_passages": 3},
            {},
            {"RETRIEVAL_EXAMPLES": "my/ex.jsonl", "RETRIEVAL_PASSAGES": "3"},
        ),
        (
            {"retrieval_examples": "index/ex.jsonl", "retrieval_passages": 3},
            {},
            {"RETRIEVAL_EXAMPLES": "index/ex.jsonl", "RETRIEVAL_PASSAGES": "3"},
        ),
    ],
)
def test_how_questions_were_asked_in_the_trial_is_what_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recipe: dict[str, object] | None,
    variables: dict[str, str],
    asked: dict[str, str],
) -> None:
    """The file of an older model without examples, and then a new model."""
    dev, written = tmp_path / "dev.jsonl", tmp_path / "serve.env"
    dev.write_text(json.dumps({"question": "甲？", "answer": "乙"}) + "\n", "utf-8")
    (tmp_path / "config.json").write_text("{}")
    if recipe:
        write_manifest(tmp_path, Manifest(stage="lora", name="m", settings=recipe))
    older = {"RETRIEVAL_EXAMPLES": "0", "RETRIEVAL_PASSAGES": "5", "MAX_NUM_SEQS": "64"}
    settings_file.write(written, older, ["before"])
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    seen: list[dict[str, str]] = []

    @contextmanager
    def not_started(service: dict[str, str], log: Path) -> Iterator[object]:
        seen.append({k: v for k, v in service.items() if k.startswith("RETRIEVAL")})
        raise TrialFailedError("enough seen")
        yield

    def measured(*given: object) -> Measure:
        def measure(settings: dict[str, str], name: str) -> Outcome:
            with pytest.raises(TrialFailedError, match="enough"):
                measure_with(*given)(settings, name)
            return Outcome(0.5, 9.0, 1.0, 2.0, {}, cap=None)

        return measure

    monkeypatch.setattr("tune.trial._service", not_started)
    monkeypatch.setattr("tune.__main__.measure_with", measured)
    monkeypatch.setattr("tune.__main__.stop_on_signals", lambda: None)
    told = typer.Typer()
    told.command()(main)
    options = ["--dev", str(dev), "--model", str(tmp_path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(told, [*options, "--only-length", "--write", str(written)])
    assert done.exit_code == 0, done.output
    assert seen == [asked]
    assert settings_file.read(written) == asked | {"MAX_NUM_SEQS": "64"}
    stays_here = asked["RETRIEVAL_EXAMPLES"] == "my/ex.jsonl"
    assert ("set RETRIEVAL_EXAMPLES=index/ex.jsonl" in done.output) is stays_here
    assert ("my/ex.jsonl is not in the image" in written.read_text("utf-8")) is stays_here


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(600)
def test_a_run_on_the_real_service_and_one_that_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    dev = tmp_path / "dev.jsonl"
    rows = [json.dumps({"question": q, "answer": a}) for q, a in TINY_PAIRS.items()]
    dev.write_text("\n".join(rows), "utf-8")
    out, written = tmp_path / "tune", tmp_path / "serve.env"
    options = ["--dev", str(dev), "--out", str(out), "--write", str(written)]

    def run(minutes: float) -> dict:
        command = [sys.executable, "-m", "tune", *options, "--minutes", str(minutes)]
        environment = {**os.environ, "MODEL_DIR": str(tiny_model)}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads((out / "tune.json").read_text("utf-8"))

    first = run(0.1)
    assert len(first["trials"]) == 1 and first["trials"][0]["measured"][0][0] > 0.5
    second = run(2.5)
    assert second["trials"][0]["measured"][0] == first["trials"][0]["measured"][0]
    assert len(second["trials"]) > 1
    assert (out / "front.png").stat().st_size > 1000
    assert (
        settings_file.may_replace(written)
        and written.read_text() == (out / "serve.env").read_text()
    )
