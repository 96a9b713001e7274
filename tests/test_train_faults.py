"""Training when the machine fails it: memory, disk, a kill; and with several processes."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a busy machine's threads must not spin
pytest.importorskip("trl")
pytest.importorskip("peft")

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, Trainer  # noqa: E402

from common.manifest import file_record  # noqa: E402
from tests.finetuning import FACTS, losses, recipe  # noqa: E402
from train import base as base_module  # noqa: E402
from train.base import ModelError, save_full  # noqa: E402
from train.demo.model import SYSTEM_PROMPT  # noqa: E402
from train.finetune import finetune, last_complete, leave_the_group  # noqa: E402
from train.same_run import need_same_run, note_run  # noqa: E402

ROOT = Path(__file__).parents[1]


def raising(error: Exception, at_call: int = 1):
    """A stand-in for a method that works until its `at_call`-th call."""

    def make(original):
        calls = iter(range(1, 1000))

        def method(*args, **kwargs):
            if next(calls) >= at_call:
                raise error
            return original(*args, **kwargs)

        return method

    return make


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({}, "gradient_checkpointing=true, per_device_train_batch_size=2, quantization_bit=4"),
        (
            {"packing": True, "gradient_checkpointing": True, "per_device_train_batch_size": 1},
            "in this order: pack_len=128, quantization_bit=4",
        ),
        (
            {"finetuning_type": "full", "per_device_train_batch_size": 1},
            "gradient_checkpointing=true, finetuning_type=lora",
        ),
    ],
)
def test_out_of_memory_names_the_settings_to_change(
    base, data, tmp_path, monkeypatch, fields, advice
):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")
    monkeypatch.setattr(Trainer, "training_step", raising(error)(Trainer.training_step))
    with pytest.raises(ModelError) as told:
        finetune(recipe(base, data, tmp_path, **fields))
    assert advice in str(told.value) and "Tried to allocate 2.00 GiB" in str(told.value)
    assert "more" not in str(told.value).splitlines()[0].split("try")[0]


def test_memory_that_ends_while_the_model_loads_is_told_too(base, data, tmp_path, monkeypatch):
    def no_memory(*args, **kwargs):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 99 bytes")

    monkeypatch.setattr("train.trainer.load_model", no_memory)
    with pytest.raises(ModelError, match="out of memory .*gradient_checkpointing=true"):
        finetune(recipe(base, data, tmp_path))


def test_errors_of_other_kinds_are_not_explained_away(base, data, tmp_path, monkeypatch):
    error = RuntimeError("a bug")
    monkeypatch.setattr(Trainer, "training_step", raising(error)(Trainer.training_step))
    with pytest.raises(RuntimeError, match="a bug"):
        finetune(recipe(base, data, tmp_path))


def test_a_full_disk_is_found_before_the_first_byte(base, data, tmp_path, monkeypatch):
    out = tmp_path / "out"
    nearly_full = SimpleNamespace(total=1e9, used=1e9 - 1000, free=1000)
    monkeypatch.setattr(base_module.shutil, "disk_usage", lambda path: nearly_full)
    with pytest.raises(ModelError, match="needs about .* GB, 0.0 GB are free"):
        finetune(recipe(base, data, out))
    assert list(out.iterdir()) == []


def test_a_disk_that_fills_up_leaves_the_earlier_checkpoint(base, data, tmp_path, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    saving = Trainer._save_optimizer_and_scheduler
    monkeypatch.setattr(Trainer, "_save_optimizer_and_scheduler", raising(full, 2)(saving))
    given = recipe(base, data, tmp_path / "out")
    with pytest.raises(ModelError, match="is full .*earlier checkpoints are intact.*--resume"):
        finetune(given)
    monkeypatch.undo()
    checkpoints = tmp_path / "out" / "checkpoints"
    assert (checkpoints / "checkpoint-6").is_dir()  # begun, never ended
    assert last_complete(checkpoints) == checkpoints / "checkpoint-3"
    whole = recipe(base, data, tmp_path / "whole")
    finetune(given, resume=True)
    finetune(whole)
    assert losses(tmp_path / "out")[-1] == pytest.approx(losses(tmp_path / "whole")[-1], abs=1e-6)


def written(given, path: Path) -> Path:
    path.write_text(yaml.safe_dump(given.model_dump(mode="json")), encoding="utf-8")
    return path


def test_a_killed_run_resumes_to_the_same_loss(base, data, tmp_path):
    fields = {"num_train_epochs": 4, "lora_dropout": 0.1, "save_total_limit": 9}
    broken = recipe(base, data, tmp_path / "broken", **fields)
    command = [sys.executable, "-m", "train", "lora", written(broken, tmp_path / "recipe.yaml")]
    checkpoints = tmp_path / "broken" / "checkpoints"
    process = subprocess.Popen(command, cwd=ROOT)
    end = time.monotonic() + 120
    while last_complete(checkpoints) is None and time.monotonic() < end:
        assert process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = {p: file_record(p).sha256 for p in (checkpoints / "checkpoint-3").iterdir()}
    assert not (tmp_path / "broken" / "adapter").exists()
    subprocess.run([*command, "--resume"], cwd=ROOT, check=True)
    assert {p: file_record(p).sha256 for p in (checkpoints / "checkpoint-3").iterdir()} == kept
    whole = recipe(base, data, tmp_path / "whole", **fields)
    finetune(whole)
    assert losses(tmp_path / "broken") == pytest.approx(losses(tmp_path / "whole"), abs=1e-6)


def test_checkpoints_of_another_run_are_never_taken_for_this_ones(base, data, tmp_path):
    given = recipe(base, data, tmp_path, num_train_epochs=2)
    finetune(given)
    again = recipe(base, data, tmp_path, num_train_epochs=1)
    finetune(again)  # the first run finished: its checkpoints make way
    assert [p.name for p in (tmp_path / "checkpoints").glob("ch*")] == ["checkpoint-3"]
    (tmp_path / "adapter" / "manifest.json").unlink()  # as if the second had been killed
    with pytest.raises(ModelError, match="did not finish: go on with --resume, or remove"):
        finetune(given)
    assert (tmp_path / "checkpoints" / "checkpoint-3").is_dir()


def test_tensorboard_files_hold_losses_and_dev_scores(base, data, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    finetune(recipe(base, data, tmp_path, report_to="tensorboard"))
    events = EventAccumulator(str(tmp_path / "runs"))
    events.Reload()
    assert {"train/loss", "train/learning_rate", "eval/loss"} <= set(events.Tags()["scalars"])
    assert any("judge" in tag for tag in events.Tags()["scalars"])
    logged = [event.value for event in events.Scalars("train/loss")]
    assert logged == pytest.approx(losses(tmp_path), rel=1e-4)


def test_two_processes_train_one_adapter_and_agree(base, data, tmp_path):
    given = recipe(base, data, tmp_path, num_processes=2, num_train_epochs=3)
    out = finetune(given)
    assert (out / "adapter_model.safetensors").is_file()
    assert len(losses(tmp_path)) == 6  # 12 rows in batches of 4 over 2 processes: 2 steps an epoch
    log = json.loads((tmp_path / "trainer_log.json").read_text(encoding="utf-8"))
    judged = [row["eval_judge"] for row in log if "eval_judge" in row]
    assert len(judged) == 4  # the base and once an epoch, over both processes' answers
    samples = (tmp_path / "samples" / "step-6.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line)["question"] for line in samples]
    assert asked == ["请问" + question for question, _ in FACTS[:2]]


def test_two_processes_write_a_full_model_that_serves(base, data, tmp_path):
    fields = {"finetuning_type": "full", "learning_rate": 1e-3, "num_train_epochs": 1}
    out = finetune(recipe(base, data, tmp_path, num_processes=2, **fields))
    for name in ("config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"):
        assert (out / name).read_bytes() == (base / name).read_bytes()
    assert (out / "system_prompt.txt").is_file() and (out / "manifest.json").is_file()
    trained = AutoModelForCausalLM.from_pretrained(out).state_dict()
    before = AutoModelForCausalLM.from_pretrained(base).state_dict()
    assert any(not torch.equal(trained[name], before[name]) for name in before)


def test_no_thread_of_the_group_outlives_a_process_that_ended_well(tmp_path):
    """One that asked for Python while it ended killed a rank whose model was written (SIGABRT)."""

    def threads():
        names = Path("/proc/self/task").glob("*/comm")
        return [name for name in (path.read_text() for path in names) if "gloo" in name]

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    torch.distributed.barrier()
    assert threads()
    leave_the_group()
    assert not threads() and not torch.distributed.is_initialized()


def test_a_process_that_ended_well_leaves_its_group(base, data, tmp_path, monkeypatch):
    import train.finetune as module

    def trained(*_):
        store = f"file://{tmp_path}/store"
        torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)

    monkeypatch.setattr(module, "run_training", trained)
    module.main(str(written(recipe(base, data, tmp_path), tmp_path / "recipe.yaml")))
    assert not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lora_rank": 4}, "lora_rank=4 (it was 8)"),
        ({"learning_rate": 1e-3}, "learning_rate=0.001 (it was 0.01)"),
        ({"rows": "里"}, "the train rows have changed"),
    ],
)
def test_a_run_is_not_resumed_as_another(base, data, tmp_path, changes, told):
    rows = shutil.copytree(data, tmp_path / "rows")
    fields = {"num_train_epochs": 2}
    out = tmp_path / "out"
    (out / "checkpoints" / "checkpoint-3").mkdir(parents=True)
    note_run(recipe(base, rows, out, **fields))
    need_same_run(recipe(base, rows, out, num_train_epochs=3, save_total_limit=1))
    if unit := changes.pop("rows", None):
        text = (rows / "train.jsonl").read_text(encoding="utf-8")
        (rows / "train.jsonl").write_text(text.replace("米", unit), encoding="utf-8")
    with pytest.raises(ModelError) as error:
        finetune(recipe(base, rows, out, **fields, **changes), resume=True)
    assert told in str(error.value) and "another output_dir" in str(error.value)


def test_on_a_gpu_training_leaves_this_process_as_it_was(base, data, tmp_path, monkeypatch):
    """Kernels that it puts into Transformers' classes must not meet the merge on the CPU."""
    import train.finetune as module

    def here(*_):
        raise AssertionError("it trained in the process that merges afterwards")

    monkeypatch.setattr(module, "torch_sees_a_gpu", lambda: True)
    monkeypatch.setattr(module, "run_training", here)
    adapter = finetune(recipe(base, data, tmp_path, num_train_epochs=1))
    assert (adapter / "adapter_model.safetensors").is_file()


def test_a_process_that_fails_is_told_without_its_traceback(base, data, tmp_path, capfd):
    given = recipe(base, data, tmp_path, num_processes=2, cutoff_len=16)
    with pytest.raises(ModelError, match="failed in one of its processes"):
        finetune(given)
    told = capfd.readouterr().err
    assert "error: 12 of 12 rows are longer than cutoff_len=16" in told


def test_gathered_weights_are_saved_as_the_base_has_them(base, tmp_path):
    """What FSDP and DeepSpeed hand over: weights by name in float32, from a model of no use."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    state = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    save_full(model, base, tmp_path, SYSTEM_PROMPT, 5, state)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert saved.dtype == torch.bfloat16
    for name, tensor in saved.state_dict().items():
        torch.testing.assert_close(tensor, state[name].bfloat16())
    assert (tmp_path / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()
