"""A training run that is killed, at any moment and again and again, ends with the same files."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a busy machine's threads must not spin
pytest.importorskip("trl")
pytest.importorskip("peft")

import contextlib

from transformers.trainer_callback import DefaultFlowCallback  # noqa: E402

from common.manifest import file_record  # noqa: E402
from tests.finetuning import losses, recipe  # noqa: E402
from train import finetune as finetune_module  # noqa: E402
from train.finetune import finetune, last_complete  # noqa: E402

ROOT = Path(__file__).parents[1]
VARYING = {"seconds", "created"}  # of a manifest


def log_of(out: Path) -> list[dict[str, float]]:
    """The log but for what measures time, or counts since the process began."""
    log = json.loads((out / "trainer_log.json").read_text(encoding="utf-8"))
    kept = ("step", "epoch", "loss", "grad_norm", "learning_rate", "eval_loss", "eval_judge")
    return [{k: row[k] for k in (*kept, "train_loss") if k in row} for row in log]


def files_of(out: Path) -> dict[str, str | dict]:
    """Every file below a run's folder by its name: its hash, or a manifest's lasting part.

    Of checkpoints the names alone: they hold times. So does the log, which `log_of` compares.
    """
    found: dict[str, str | dict] = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        name = path.relative_to(out).as_posix()
        if name == "adapter/manifest.json":
            manifest = json.loads(path.read_text(encoding="utf-8"))
            found[name] = {k: v for k, v in manifest.items() if k not in VARYING}
        elif name.startswith("checkpoints/") or name == "trainer_log.json":
            found[name] = "present"
        else:
            found[name] = file_record(path).sha256
    return found


def stop_at(step: int):
    """A method that ends the run after a step, as a kill would."""

    class KilledError(Exception):
        pass

    original = DefaultFlowCallback.on_step_end

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == step:
            raise KilledError
        return original(self, args, state, control, **kwargs)

    return KilledError, on_step_end


def test_early_stopping_counts_on_after_a_kill(base, data, tmp_path, monkeypatch):
    """Nothing is learnt, so the second epoch is the second without a gain over the base."""
    fields = {"learning_rate": 1e-12, "num_train_epochs": 10, "early_stopping_patience": 2}
    given = recipe(base, data, tmp_path / "out", **fields)
    killed, on_step_end = stop_at(5)  # the first epoch's checkpoint is written
    monkeypatch.setattr(DefaultFlowCallback, "on_step_end", on_step_end)
    with pytest.raises(killed):
        finetune(given)
    monkeypatch.undo()
    finetune(given, resume=True)
    assert len(losses(tmp_path / "out")) == 6
    before = files_of(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "adapter")  # as if killed before the result was written
    finetune(given, resume=True)
    assert len(losses(tmp_path / "out")) == 6 and files_of(tmp_path / "out") == before


@pytest.mark.parametrize("fields", [{"max_steps": 5}, {"num_train_epochs": 0.5}])
def test_a_run_killed_after_its_last_step_trains_no_further(base, data, tmp_path, fields):
    """Runs that end inside an epoch of three steps."""
    given = recipe(base, data, tmp_path / "out", **fields)
    finetune(given)
    before = files_of(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "adapter")
    finetune(given, resume=True)
    assert files_of(tmp_path / "out") == before


def test_losses_between_two_logs_survive_a_kill(base, data, tmp_path, monkeypatch):
    """Logs every second step, three steps an epoch: a checkpoint falls between two logs."""
    fields = {"logging_steps": 2, "num_train_epochs": 2}
    whole = recipe(base, data, tmp_path / "whole", **fields)
    finetune(whole)
    given = recipe(base, data, tmp_path / "out", **fields)
    killed, on_step_end = stop_at(5)
    monkeypatch.setattr(DefaultFlowCallback, "on_step_end", on_step_end)
    with pytest.raises(killed):
        finetune(given)
    monkeypatch.undo()
    finetune(given, resume=True)
    assert log_of(tmp_path / "out") == log_of(tmp_path / "whole")
    mean = log_of(tmp_path / "out")[-1]["train_loss"]
    assert mean == pytest.approx(log_of(tmp_path / "whole")[-1]["train_loss"])
    every = recipe(base, data, tmp_path / "every", num_train_epochs=2)
    finetune(every)
    assert mean == pytest.approx(sum(losses(tmp_path / "every")) / 6)


def test_resume_without_a_checkpoint_starts_from_the_beginning(base, data, tmp_path, capsys):
    given = recipe(base, data, tmp_path / "out", num_train_epochs=1)
    (tmp_path / "out" / "checkpoints" / "checkpoint-3").mkdir(parents=True)  # killed in its midst
    finetune(given, resume=True)
    told = capsys.readouterr().out
    assert "checkpoint-3 is incomplete" in told
    assert f"no whole checkpoint in {tmp_path / 'out' / 'checkpoints'}; starting from" in told
    assert len(losses(tmp_path / "out")) == 3


def test_a_kill_while_old_checkpoints_go_leaves_none_to_resume(base, data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    finetune(recipe(base, data, out, num_train_epochs=2))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def rmtree(path, ignore_errors=False):
            if Path(path).exists():  # half of it is gone when the kill comes
                (Path(path) / "checkpoint-6" / "adapter_model.safetensors").unlink()
                raise KeyboardInterrupt

        patched.setattr(finetune_module.shutil, "rmtree", rmtree)
        finetune(recipe(base, data, out, num_train_epochs=1))
    assert last_complete(out / "checkpoints") is None
    finetune(recipe(base, data, out, num_train_epochs=1), resume=True)
    assert len(losses(out)) == 3
    assert sorted(p.name for p in out.iterdir() if p.is_dir()) == [
        "adapter",
        "checkpoints",
        "samples",
    ]


class Run:
    """One `python -m train lora … --resume`, killed with all its processes when told."""

    def __init__(self, command: list[str], out: Path):
        self.told = out.with_suffix(".output")  # a file: a pipe would fill up and stop the run
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=self.told.open("wb"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait_until(self, happened: Callable[[], bool]) -> None:
        end = time.monotonic() + 300
        while not happened() and self.process.poll() is None:
            assert time.monotonic() < end, "nothing happened in 300 s"
            time.sleep(0.001)

    def kill(self) -> bool:
        """Whether it was still at work; one that ended by itself must have ended well."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        assert code in (0, -signal.SIGKILL), self.told.read_text(encoding="utf-8")[-3000:]
        return code != 0


def stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def killed_at(moment: str, command: list[str], out: Path, dice: random.Random) -> bool:
    """Start the run, wait for the moment and a little more by the dice, and kill it."""
    newest = {p.name for p in (out / "checkpoints").glob("checkpoint-*")}
    watched = {
        "weights": out / "adapter" / "adapter_model.safetensors",
        "log": out / "trainer_log.json",
        "manifest": out / "adapter" / "manifest.json",
    }
    before = {name: stamp(path) for name, path in watched.items()}
    run = Run(command, out)

    def begun() -> bool:
        names = {p.name for p in (out / "checkpoints").glob("checkpoint-*")}
        return bool(names - newest)

    if moment == "start":
        time.sleep(dice.uniform(0, 8))
    elif moment == "writing":  # a checkpoint of this size takes some hundredths of a second
        run.wait_until(begun)
        time.sleep(dice.uniform(0, 0.05))
    elif moment == "step":
        run.wait_until(begun)
        time.sleep(dice.uniform(0.05, 0.6))
    else:
        run.wait_until(lambda: stamp(watched[moment]) != before[moment])
        time.sleep(dice.uniform(0, 0.02 if moment == "weights" else 0.2))
    return run.kill()


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_files(base, data, tmp_path):
    """Five kills; KILLS=20 for more, SEED for other moments."""
    kills = int(os.environ.get("KILLS", "5"))
    dice = random.Random(int(os.environ.get("SEED", "0")))
    last = ["weights", "log", "manifest"] * (kills // 10) or ["weights"]
    rest = kills - len(last)
    moments = ["start"] * max(1, rest // 5) + ["writing", "step"] * rest
    moments = moments[:rest]
    dice.shuffle(moments)
    out = tmp_path / "out"
    # More epochs than kills may take; one that comes late in a step lets a few short ones pass.
    given = recipe(base, data, out, num_train_epochs=6 * rest, lora_dropout=0.1, logging_steps=2)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(given.model_dump(mode="json")), encoding="utf-8")
    command = [sys.executable, "-m", "train", "lora", str(path)]
    began = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    whole = tmp_path / "whole"
    out.rename(whole)
    print(f"undisturbed: {6 * rest} epochs in {time.monotonic() - began:.1f} s")
    for number, moment in enumerate([*moments, *last]):
        at_work = killed_at(moment, [*command, "--resume"], out, dice)
        if moment in ("start", "writing", "step"):
            assert at_work, "the run ended before its kills did: more epochs are needed"
        start = last_complete(out / "checkpoints")  # says which checkpoints are torn
        kept = start.name if start else "no checkpoint"
        now = time.monotonic() - began
        print(f"{now:6.1f} s: kill {number + 1}, {moment}, at work: {at_work}; keeps {kept}")
    subprocess.run([*command, "--resume"], cwd=ROOT, check=True)
    print(f"finished after {time.monotonic() - began:.1f} s")
    assert files_of(out) == files_of(whole)
    assert len(log_of(out)) == len(log_of(whole))
    for one, other in zip(log_of(out), log_of(whole), strict=True):
        assert one == pytest.approx(other, abs=1e-6)


@pytest.mark.slow
def test_ctrl_c_during_train_run_says_how_to_go_on_and_it_does(base, data, tmp_path):
    """A real `train run` in its own process, interrupted in its second epoch or later."""
    out = tmp_path / "out"
    given = recipe(base, data, out, num_train_epochs=400, early_stopping_patience=None)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(given.model_dump(mode="json")), encoding="utf-8")
    run = Run([sys.executable, "-m", "train", "run", str(path)], out)
    # The second one is being written: the first is whole.
    run.wait_until(lambda: (out / "checkpoints" / "checkpoint-6").is_dir())
    os.killpg(run.process.pid, signal.SIGINT)  # what a terminal sends to all of them
    assert run.process.wait(timeout=60) == 130, run.told.read_text(encoding="utf-8")[-3000:]
    told = run.told.read_text(encoding="utf-8")
    assert "the same command with --resume goes on" in told and "Traceback" not in told
    kept = last_complete(out / "checkpoints")
    assert kept is not None

    steps = int(kept.name.rpartition("-")[2])
    there = {path.name for path in (out / "checkpoints").iterdir()}
    written = stamp(kept / "trainer_state.json")

    def new() -> set[str]:
        return {path.name for path in (out / "checkpoints").glob("checkpoint-*")} - there

    again = Run([sys.executable, "-m", "train", "run", str(path), "--resume"], tmp_path / "again")
    again.wait_until(lambda: bool(new()))
    assert min(int(name.rpartition("-")[2]) for name in new()) > steps
    assert stamp(kept / "trainer_state.json") in (written, 0), "it did not begin anew"
    assert again.kill()
