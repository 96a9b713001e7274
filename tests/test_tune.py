"""`run.sh tune`: the front, the choice, the settings file, resuming, refusals, and (slow) a run."""

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
from common.pairs import Pair, PairFile
from judging.judge import Result, score
from judging.protocol import Replies
from serving.settings import SettingsError, load_settings
from tests.conftest import ROOT, TINY_PAIRS
from tune import settings_file
from tune.__main__ import main
from tune.dev import DevError, default_dev, read_dev
from tune.length import Cap, best_length
from tune.pareto import TrialResult, pareto_front, plot, select
from tune.search import Search
from tune.space import UNSET, Facts, Space, settings_of, space_of
from tune.trial import Measure, Outcome, TrialFailedError, measure_with

SPACE = {"MAX_NUM_SEQS": [UNSET, "64", "128"], "ENABLE_PREFIX_CACHING": [UNSET, "false"]}
FAR = 1e12  # a budget that does not end


def row(number: int, score: float, speed: float, reason: str = "") -> TrialResult:
    return TrialResult(number, {"MAX_TOKENS": str(number)}, [(score, speed)], reason)


def test_the_front_keeps_what_nothing_beats() -> None:
    rows = [row(0, 0.5, 100), row(1, 0.5, 90), row(2, 0.4, 200), row(3, 0.3, 150),
            row(4, 0.6, 10), row(5, 0.9, 900, "it broke"),
            TrialResult(6, {}, [], "no start")]  # fmt: skip
    assert [r.number for r in pareto_front(rows)] == [2, 0, 4]


@pytest.mark.parametrize(
    ("others", "may_lose", "best"),
    [
        ([row(1, 0.5, 120), row(2, 0.4, 200)], 0.0, 1),  # faster at the same score
        ([row(1, 0.5, 120), row(2, 0.4, 200)], 0.1, 2),  # the person gives up score
        ([row(1, 0.5, 101)], 0.0, 0),  # less than two starts of the same settings differ by
        ([row(1, 0.5, 500, "it broke")], 0.0, 0),
    ],
)
def test_the_choice_is_the_fastest_of_equal_score(
    others: list[TrialResult], may_lose: float, best: int
) -> None:
    assert select([row(0, 0.5, 100), *others], may_lose).number == best


def test_a_score_that_is_needed_may_cost_speed() -> None:
    rows = [row(0, 0.30, 100), row(1, 0.36, 30), row(2, 0.40, 20), row(3, 0.31, 200)]
    assert select(rows).number == 3
    assert select(rows, at_least=0.35).number == 1
    assert select(rows, at_least=0.5).number == 2  # none reaches it: the highest
    assert select(rows, at_least=0.25).number == 3  # the defaults reach it


def test_a_gain_within_the_noise_of_two_starts_is_none() -> None:
    defaults, other = row(0, 0.5, 100), row(1, 0.5, 130)
    defaults.measured.append((0.5, 112))
    assert select([defaults, other]).number == 1  # so far; it is started again
    other.measured.append((0.5, 111))
    assert select([defaults, other]).number == 0
    other.measured[-1] = (0.5, 113)
    assert select([defaults, other]).number == 1


def test_nothing_is_chosen_without_the_defaults() -> None:
    with pytest.raises(ValueError, match="defaults"):
        select([row(0, 0.5, 100, "it broke"), row(1, 0.5, 120)])


def test_the_chart_is_a_png(tmp_path: Path) -> None:
    rows = [row(0, 0.5, 100), row(1, 0.4, 120), TrialResult(2, {}, [], "no start")]
    plot(rows, rows[0], tmp_path / "front.png", "demo")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


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


def engine(kind: str) -> dict[str, object]:
    return {"device": {"kind": kind}, "in_process": True, "arguments": {"max_num_seqs": 512}}


def test_the_space_fits_device_model_and_questions() -> None:
    gpu = space_of(Facts(engine("cuda"), 100, [10, 20, 100], quantized=False))
    assert gpu["QUANTIZATION"] == [UNSET, "fp8"]
    sizes = json.loads(gpu["ENGINE_ARGS"][1])["compilation_config"]["cudagraph_capture_sizes"]
    assert {100, 512} <= set(sizes) and max(sizes) == 512
    assert gpu["MAX_NUM_SEQS"] == [UNSET, "64"]  # 128 of 100 questions is all of them
    assert gpu["MAX_TOKENS"] == [UNSET, "128", "112"]
    cpu = space_of(Facts(engine("cpu"), 100, [], quantized=False), ["MAX_NUM_SEQS"])
    assert not {"QUANTIZATION", "ENGINE_ARGS", "GPU_MEMORY_UTILIZATION", "MAX_NUM_SEQS"} & set(cpu)
    metax = space_of(Facts(engine("metax"), 9, [], quantized=False))
    assert "QUANTIZATION" not in metax
    assert "async_scheduling" in metax["ENGINE_ARGS"][1] and len(gpu["ENGINE_ARGS"]) == 2
    assert space_of(Facts({}, 9, [], quantized=False)) == {}
    capped = space_of(Facts(engine("cpu"), 9, [10], quantized=False, cap=96))
    assert capped["MAX_TOKENS"][:2] == [UNSET, "96"]  # what its answers say is tried first
    assert gpu["ANSWER_DRAWS"] == cpu["ANSWER_DRAWS"] == [UNSET, "4", "8"]
    assert list(gpu)[-1] == "ANSWER_DRAWS"  # the slowest trials come last
    assert gpu["ENGINES_PER_GPU"] == [UNSET, "1", "2", "3"] and "ENGINES_PER_GPU" not in cpu


def test_passages_and_examples_are_searched_only_where_a_book_is_at_hand() -> None:
    def space(count: int, fixed: tuple[str, ...] = ()) -> Space:
        return space_of(Facts(engine("cpu"), 100, [], quantized=False, passages=count), fixed)

    def passages(count: int, fixed: tuple[str, ...] = ()) -> list[str] | None:
        return space(count, fixed).get("RETRIEVAL_PASSAGES")

    assert "RETRIEVAL_EXAMPLES" not in space(0) and space(2)["RETRIEVAL_EXAMPLES"] == [UNSET, "1"]
    assert "RETRIEVAL_EXAMPLES" not in space(2, ("RETRIEVAL_EXAMPLES",))
    shown = Facts(engine("cpu"), 100, [], quantized=False, passages=3, examples=True)
    assert space_of(shown)["RETRIEVAL_EXAMPLES"] == [UNSET, "0"], "what is not in force is tried"
    assert passages(0) is None
    assert passages(2) == ["", "0", "1", "3", "5"]  # unset: the 2 of the defaults
    assert passages(3) == ["", "0", "1", "2", "5"]
    assert passages(2, ("RETRIEVAL_PASSAGES",)) is None
    # Drafts come from the passages.
    assert "DRAFT_TOKENS" not in space(2)
    gpu = [space_of(Facts(engine("metax"), 9, [], False, passages=n)) for n in (0, 2)]
    assert "DRAFT_TOKENS" not in gpu[0] and gpu[1]["DRAFT_TOKENS"] == [UNSET, "4"]


def test_more_passages_come_with_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    three = settings_of({"RETRIEVAL_PASSAGES": "3", "ANSWER_DRAWS": UNSET})
    assert three == {
        "RETRIEVAL_PASSAGES": "3",
        "RETRIEVAL_TOKENS": "1900",
        "MAX_MODEL_LEN": "2748",
    }
    for few in ({"RETRIEVAL_PASSAGES": "1"}, {"RETRIEVAL_PASSAGES": "0"}, {"MAX_TOKENS": "96"}):
        assert settings_of(few) == few
    monkeypatch.setenv("RETRIEVAL_TOKENS", "5000")
    five = settings_of({"RETRIEVAL_PASSAGES": "5"})
    assert "RETRIEVAL_TOKENS" not in five and five["MAX_MODEL_LEN"] == "4148"


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


def judged(path: Path, answers: list[str], references: list[str]) -> Result:
    pairs = [Pair(f"问题{i}？", reference) for i, reference in enumerate(references)]
    replies = Replies("batch", answers, [None] * len(pairs), 4.0, 0, None)
    return Result(PairFile(path, pairs), pairs, replies, score(pairs, answers))


def test_the_cap_of_the_best_score_is_chosen_by_the_answers(untrained_model: Path) -> None:
    good = "use CUDA to launch a kernel of many threads in blocks and grids"
    rambling = [good + " and then some more words about nothing" * 30, good]
    cap = best_length(judged(Path("dev.jsonl"), rambling, [good, good]), untrained_model)
    assert cap and cap.cut == 1 and cap.change > 0.1 and cap.kept < 0.5
    assert f"MAX_TOKENS={cap.tokens}" in cap.told()
    for answers in ([good, good], ["", ""]):  # nothing to gain; nothing said
        assert best_length(judged(Path("dev.jsonl"), answers, [good] * 2), untrained_model) is None


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
