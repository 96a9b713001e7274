"""Fine-tuning a tiny model for real: TRL, PEFT, resume, packing, merge. Needs the training venv."""

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a busy machine's threads must not spin
pytest.importorskip("trl")
pytest.importorskip("peft")

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from common.manifest import read_manifest  # noqa: E402
from common.prompting import SYSTEM_PROMPT_FILE, system_prompt_for  # noqa: E402
from tests.finetuning import FACTS, PAIRS, losses, recipe  # noqa: E402
from train import trainer as trainer_module  # noqa: E402
from train.base import ModelError, load_tokenizer  # noqa: E402
from train.dataset import DataError, encode_rows, load_rows  # noqa: E402
from train.demo.model import SYSTEM_PROMPT  # noqa: E402
from train.finetune import finetune  # noqa: E402
from train.merge import merge, merged_model  # noqa: E402
from train.trainer import make_trainer  # noqa: E402
from train.verdict import read_verdict  # noqa: E402


@pytest.fixture(scope="module")
def adapter(base, data, tmp_path_factory) -> Path:
    return finetune(recipe(base, data, tmp_path_factory.mktemp("run"), num_train_epochs=4))


def test_training_learns_and_leaves_its_traces(adapter, base, data):
    out = adapter.parent
    curve = losses(out)
    assert curve[-1] < curve[0] - 0.5
    assert (out / "loss.png").stat().st_size > 1000
    samples = sorted((out / "samples").glob("*.jsonl"))
    assert len(samples) == 5  # the base's, and one an epoch
    row = json.loads(samples[0].read_text(encoding="utf-8").splitlines()[0])
    assert row["question"] == "请问" + FACTS[0][0] and row["reference"] == FACTS[0][1]
    manifest = read_manifest(adapter)
    assert manifest.stage == "lora" and manifest.counts["train_rows"] == len(FACTS)
    assert [record.path for record in manifest.inputs][0] == "train.jsonl"
    assert 0 <= manifest.scores["dev_judge_best"] <= 1
    log = json.loads((out / "trainer_log.json").read_text(encoding="utf-8"))
    found = read_verdict(out)
    curve = {row["step"]: row["eval_judge"] for row in log if "eval_judge" in row}
    assert {p.step: pytest.approx(p.score) for p in found.curve} == curve and 0 in curve
    assert manifest.settings["verdict"] == found.model_dump()
    assert found.word in (out / "report.html").read_text(encoding="utf-8")


def test_merged_weights_answer_as_base_and_adapter_do(adapter, base, tmp_path):
    from peft import PeftModel

    merged = merge(base, [adapter], tmp_path / "merged", shard_gb=0.0005)
    assert len(list(merged.glob("*.safetensors"))) > 1  # sharded
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (merged / name).read_bytes() == (base / name).read_bytes()
    ids = torch.tensor(
        [encode_rows(load_tokenizer(base), PAIRS[:1], SYSTEM_PROMPT)[0]["input_ids"]]
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


def test_the_recipes_system_prompt_is_trained_with_and_goes_along(base, data, tmp_path):
    """Shorter prompts make faster answers, but only in the words that were trained."""
    told = {}
    for name, prompt in {"none": "", "short": "简短回答。"}.items():
        written = prompt + "\n"  # as YAML's block text ends, and as no file is read
        made = recipe(base, data, tmp_path / name, default_system=written, max_steps=1)
        assert made.system_prompt(base) == prompt
        trained = finetune(made)
        assert system_prompt_for(trained) == prompt
        merged = merge(base, [trained], tmp_path / f"{name}-merged")
        assert system_prompt_for(merged) == prompt
        told[name] = losses(trained.parent)[0]
    assert told["none"] != told["short"], "both were trained with the same prompts"
    assert system_prompt_for(base) == SYSTEM_PROMPT
    (trained / SYSTEM_PROMPT_FILE).unlink()  # as adapters were before
    assert system_prompt_for(merge(base, [trained], tmp_path / "old")) == SYSTEM_PROMPT


def test_two_adapters_add_up(adapter, base, tmp_path):
    single = merged_model(base, [adapter])[0].state_dict()
    double = merged_model(base, [adapter, adapter])[0].state_dict()
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).state_dict()
    name = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(double[name] - plain[name], 2 * (single[name] - plain[name]))


def test_the_options_against_harm_reach_the_trainer_and_merge(base, data, tmp_path):
    fields = {"use_rslora": True, "use_dora": True, "neftune_noise_alpha": 5.0, "mix_share": 0.5}
    given = recipe(base, data, tmp_path, mix_file=data / "calibration.jsonl", **fields)
    assert trainer_module.training_arguments(given, True).neftune_noise_alpha == 5.0
    adapter = finetune(given)
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["use_rslora"] and config["use_dora"]
    assert read_manifest(adapter).counts["train_rows"] == len(FACTS) + 4
    merge(base, [adapter], tmp_path / "merged")


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
    with pytest.raises(ModelError, match="no such directory, and no hub id"):
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
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens([f"<extra_{number}>" for number in range(300)])
    tokenizer.save_pretrained(other)
    with pytest.raises(ModelError, match="ids up to 584"):
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


def test_unsloth_gets_the_recipe_and_leaves_the_same_outputs(base, data, tmp_path, monkeypatch):
    """Unsloth itself needs a GPU: this one has its two calls and PEFT's own adapters."""
    import sys
    from types import SimpleNamespace

    from peft import LoraConfig, get_peft_model

    asked = {}

    def from_pretrained(name, **options):
        asked.update(options, name=name)
        return AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32), None

    def add_adapter(model, *, use_gradient_checkpointing, random_state, **lora):
        asked.update(lora, checkpointing=use_gradient_checkpointing, seed=random_state)
        return get_peft_model(model, LoraConfig(**lora, task_type="CAUSAL_LM"))

    fake = SimpleNamespace(from_pretrained=from_pretrained, get_peft_model=add_adapter)
    monkeypatch.setitem(sys.modules, "unsloth", SimpleNamespace(FastLanguageModel=fake))
    given = recipe(base, data, tmp_path, backend="unsloth", gradient_checkpointing=True, seed=7)
    adapter = finetune(given)
    assert asked["name"] == str(base) and asked["max_seq_length"] == 128 and asked["r"] == 8
    assert (asked["load_in_4bit"], asked["load_in_8bit"]) == (False, False)
    assert asked["checkpointing"] == "unsloth" and asked["seed"] == 7
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]
    merge(base, [adapter], tmp_path / "merged")


def test_a_plan_is_shown_and_leaves_nothing_behind(data, tmp_path, capfd):
    import yaml
    from typer.testing import CliRunner

    from train.__main__ import app

    given = recipe(tmp_path / "base", data, tmp_path / "out", demo_base_steps=0)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(given.model_dump(mode="json")), encoding="utf-8")
    told = CliRunner().invoke(app, ["run", str(path), "--dry-run"])
    assert told.exit_code == 0, told.output
    assert "12 train, 2 dev" in told.output and "(counted)" in told.output
    assert torch.cuda.is_available() or "on this processor at least" in told.output
    assert not "".join(capfd.readouterr()), "what makes the base for the plan says nothing"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("fields", "layer", "dtype"),
    [
        ({"quantization_bit": 4}, "Linear4bit", torch.uint8),
        ({"quantization_bit": 8}, "Linear8bitLt", torch.int8),
        ({"bf16": True}, "Linear", torch.bfloat16),
    ],
    ids=["QLoRA 4 bit", "QLoRA 8 bit", "bfloat16"],
)
def test_other_precisions_learn_and_merge(base, data, tmp_path, fields, layer, dtype):
    """bitsandbytes has a CPU library, so that what a small GPU would do is tried here for real."""
    pytest.importorskip("bitsandbytes")
    given = recipe(base, data, tmp_path, num_train_epochs=4, **fields)
    model = trainer_module._load(given, base)[0]
    linear = model.model.layers[0].mlp.up_proj
    assert type(linear).__name__ == layer and linear.weight.dtype == dtype
    adapter = finetune(given)
    curve = losses(tmp_path)
    assert curve[-1] < curve[0] - 0.4
    merged = merge(base, [adapter], tmp_path / "merged")
    assert AutoModelForCausalLM.from_pretrained(merged).dtype == torch.bfloat16


def test_a_bfloat16_base_with_float32_adapters_answers_in_evaluation(base, data, tmp_path):
    """As on every GPU: generation is outside of the trainer's forward, so of its autocast."""
    given = recipe(base, data, tmp_path, bf16=True, num_train_epochs=1)
    tokenizer, rows = load_tokenizer(base), load_rows(given)
    encoded = encode_rows(tokenizer, rows.train, SYSTEM_PROMPT)
    trainer = make_trainer(given, base, tokenizer, encoded, encoded[:2], rows.dev, SYSTEM_PROMPT)
    kinds = {("lora_" in name, p.dtype) for name, p in trainer.model.named_parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    metrics = trainer.evaluate()
    assert 0 <= metrics["eval_judge"] <= 1
    (samples,) = (tmp_path / "samples").glob("*.jsonl")
    answers = [json.loads(line)["answer"] for line in samples.read_text("utf-8").splitlines()]
    assert len(answers) == 2
