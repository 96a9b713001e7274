"""Fine-tuning a tiny model for real: TRL, PEFT, resume, packing, merge. Needs the training venv."""

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a busy machine's threads must not spin
pytest.importorskip("trl")
pytest.importorskip("peft")

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, TrainerCallback  # noqa: E402

from answering.manifest import read_manifest  # noqa: E402
from train.base import ModelError, load_tokenizer  # noqa: E402
from train.dataset import DataError, encode_rows, load_rows  # noqa: E402
from train.demo_model import SYSTEM_PROMPT, model_config, save_model, train_tokenizer  # noqa: E402
from train.finetune import finetune, make_trainer  # noqa: E402
from train.merge import merge, merged_model  # noqa: E402
from train.recipe import Recipe  # noqa: E402

FACTS = [(f"第{i}号桥有多长？", f"第{i}号桥长{i * 7}米，编号为BR{i}。") for i in range(1, 13)]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """An untrained Qwen3 of two layers, saved as train.demo saves."""
    from train.demo import build_model

    folder = tmp_path_factory.mktemp("base") / "model"
    tokenizer = train_tokenizer([q + a for q, a in FACTS], 512)
    config = model_config(tokenizer, hidden=128, layers=2, intermediate=256)
    save_model(folder, build_model(config, 0), tokenizer, config)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, rows in [("train", FACTS), ("dev", FACTS[:2]), ("calibration", FACTS[:4])]:
        lead = "" if name == "train" else "请问"
        text = "".join(
            json.dumps({"question": lead + q, "answer": a}, ensure_ascii=False) + "\n"
            for q, a in rows
        )
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder


def recipe(base: Path, data: Path, out: Path, **fields) -> Recipe:
    given = {
        "model_name_or_path": str(base),
        "dataset_dir": data,
        "output_dir": out,
        "cutoff_len": 128,
        "pack_len": 256,
        "packing": False,
        "per_device_train_batch_size": 4,
        "num_train_epochs": 2,
        "learning_rate": 1e-2,
        "logging_steps": 1,
        "eval_samples": 2,
        "eval_max_new_tokens": 8,
        "early_stopping_patience": None,
        "report_to": "none",
        "lora_rank": 8,
    }
    return Recipe(**{**given, **fields})


@pytest.fixture(scope="module")
def adapter(base, data, tmp_path_factory) -> Path:
    return finetune(recipe(base, data, tmp_path_factory.mktemp("run"), num_train_epochs=4))


def losses(out: Path) -> list[float]:
    log = json.loads((out / "trainer_log.json").read_text(encoding="utf-8"))
    return [row["loss"] for row in log if "loss" in row]


def test_training_learns_and_leaves_its_traces(adapter, base, data):
    out = adapter.parent
    curve = losses(out)
    assert curve[-1] < curve[0] - 0.5
    assert (out / "loss.png").stat().st_size > 1000
    samples = sorted((out / "samples").glob("*.jsonl"))
    assert len(samples) == 4
    row = json.loads(samples[0].read_text(encoding="utf-8").splitlines()[0])
    assert row["question"] == "请问" + FACTS[0][0] and row["reference"] == FACTS[0][1]
    manifest = read_manifest(adapter)
    assert manifest.stage == "lora" and manifest.counts["train_rows"] == len(FACTS)
    assert [record.path for record in manifest.inputs][0] == "train.jsonl"
    assert 0 <= manifest.scores["dev_judge_best"] <= 1


def test_merged_weights_answer_as_base_and_adapter_do(adapter, base, tmp_path):
    from peft import PeftModel

    merged = merge(base, [adapter], tmp_path / "merged", shard_gb=0.0005)
    assert len(list(merged.glob("*.safetensors"))) > 1  # sharded
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (merged / name).read_bytes() == (base / name).read_bytes()
    ids = torch.tensor(
        [encode_rows(load_tokenizer(base), FACTS[:1], SYSTEM_PROMPT)[0]["input_ids"]]
    )
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    plain.eval()
    with torch.inference_mode():
        before = plain(ids).logits
        wanted = PeftModel.from_pretrained(plain, adapter).eval()(ids).logits
        got = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32).eval()(ids).logits
    assert (wanted - before).abs().max() > 1  # the adapter does something
    # A bfloat16 number has 8 bits: each merged weight is off by up to 2**-9 of itself.
    assert (got - wanted).abs().max() < 0.02 * wanted.abs().max()
    assert torch.equal(got.argmax(-1), wanted.argmax(-1))
    assert read_manifest(merged).parents[0].stage == "lora"


def test_two_adapters_add_up(adapter, base, tmp_path):
    single = merged_model(base, [adapter]).state_dict()
    double = merged_model(base, [adapter, adapter]).state_dict()
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(double[name] - plain[name], 2 * (single[name] - plain[name]))


def test_an_interrupted_run_resumes_to_the_same_loss(base, data, tmp_path):
    whole = recipe(base, data, tmp_path / "whole", lora_dropout=0.1)
    finetune(whole)
    broken = recipe(base, data, tmp_path / "broken", lora_dropout=0.1)

    class KilledError(Exception):
        pass

    class Kill(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:  # in the second epoch, after the first's checkpoint
                raise KilledError

    import transformers.trainer_callback as callbacks

    original = callbacks.DefaultFlowCallback.on_step_end
    try:
        callbacks.DefaultFlowCallback.on_step_end = Kill.on_step_end
        with pytest.raises(KilledError):
            finetune(broken)
    finally:
        callbacks.DefaultFlowCallback.on_step_end = original
    assert list((tmp_path / "broken" / "checkpoints").glob("checkpoint-3"))
    finetune(broken, resume=True)
    assert losses(tmp_path / "broken")[-1] == pytest.approx(
        losses(tmp_path / "whole")[-1], abs=1e-6
    )


def test_packed_rows_do_not_see_each_other(base, data, tmp_path):
    packed = recipe(base, data, tmp_path, packing=True, per_device_train_batch_size=1)
    tokenizer = load_tokenizer(base)
    rows = load_rows(packed)
    encoded = encode_rows(tokenizer, rows.train, SYSTEM_PROMPT)
    trainer = make_trainer(packed, base, tokenizer, encoded, encoded[:1], rows.dev, SYSTEM_PROMPT)
    assert len(trainer.train_dataset) < len(encoded)
    model = trainer.model.eval()
    alone = {tuple(row["input_ids"]): row["labels"] for row in encoded}
    seen = 0
    for batch in trainer.get_train_dataloader():
        ids, positions = batch["input_ids"][0], batch["position_ids"][0]
        with torch.inference_mode():
            together = model(**{k: v for k, v in batch.items() if k != "labels"}).logits[0]
        starts = [*(positions == 0).nonzero().flatten().tolist(), len(ids)]
        for start, end in zip(starts, starts[1:], strict=False):
            row = tuple(ids[start:end].tolist())
            assert batch["labels"][0, start:end].tolist() == alone[row]
            with torch.inference_mode():
                logits = model(torch.tensor([row])).logits[0]
            torch.testing.assert_close(together[start:end], logits, rtol=1e-3, atol=1e-3)
            seen += 1
    assert seen == len(encoded)


def test_what_cannot_be_trained_is_told(base, data, tmp_path):
    with pytest.raises(DataError, match="longer than cutoff_len=16"):
        finetune(recipe(base, data, tmp_path, cutoff_len=16))
    with pytest.raises(ModelError, match="no checkpoint"):
        finetune(recipe(base, data, tmp_path), resume=True)
    with pytest.raises(ModelError, match="no config.json there"):
        finetune(recipe(Path("nowhere"), data, tmp_path))
    with pytest.raises(ModelError, match="unsloth is not installed"):
        finetune(recipe(base, data, tmp_path, backend="unsloth"))
    with pytest.raises(ModelError, match="adapter_config.json"):
        merge(base, [tmp_path], tmp_path / "m")


def test_a_foreign_tokenizer_is_refused(base, data, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for path in base.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"vocab_size": 64}))
    with pytest.raises(ModelError, match="do not belong together"):
        finetune(recipe(other, data, tmp_path / "out"))


def test_full_training_writes_a_servable_directory(base, data, tmp_path):
    settings = {"finetuning_type": "full", "learning_rate": 1e-3, "num_train_epochs": 1}
    out = finetune(recipe(base, data, tmp_path, **settings))
    assert out.name == "merged" and read_manifest(out).stage == "full"
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.dtype == torch.bfloat16
    assert (out / "config.json").read_bytes() == (base / "config.json").read_bytes()


def test_a_missing_demo_base_is_made_from_train_rows_alone(data, tmp_path):
    from train.base import fetch_base

    given = recipe(tmp_path / "base", data, tmp_path / "out", demo_base_steps=0)
    assert fetch_base(given) == tmp_path / "base"
    assert read_manifest(tmp_path / "base").demo
    text = (tmp_path / "out" / "base_pairs.jsonl").read_text(encoding="utf-8")
    assert len(text.splitlines()) == len(FACTS) and "请问" not in text


@pytest.mark.slow
def test_two_processes_train_one_model(base, data, tmp_path):
    out = finetune(recipe(base, data, tmp_path, num_processes=2, num_train_epochs=1))
    assert (out / "adapter_model.safetensors").is_file()
    assert len(losses(tmp_path)) == 2  # 12 rows in batches of 4 over 2 processes
