"""The preflight on a small repository: what passes, and what it says of model and score."""

import json
import shutil
import subprocess
import sys

import pytest

from common.device_table import device
from common.manifest import Manifest, write_manifest
from preflight import budgets
from preflight.model import from_config
from preflight.workloads import recorded_workloads
from tests.hub_standin import HubStandin
from tests.preflight_repository import ROOT, config, failing, mark_as_demo, online, warning

pytest_plugins = ["tests.preflight_repository"]


def test_a_good_submission_passes_and_is_rehearsed_in_both_modes(preflight, model, testset):
    code, lines = preflight("--model-dir", model, "--offline", testset)
    assert failing(lines) == set()
    assert code == 0
    assert "starts twice" in preflight.said, "a log shows no spinner"
    for mode in ("batch", "serial"):
        assert lines[f"rehearsal: {mode}: health"]["state"] == "ok"
        assert "accuracy 1.000" in lines[f"rehearsal: {mode}: testset, score"]["figure"]
    assert lines["repository: requirements.txt"]["state"] == "unknown"  # offline: nobody was asked


def test_the_dockerfiles_model_is_compared_with_the_one_looked_at(
    preflight, repository, model, tmp_path
):
    (repository.directory / "requirements.txt").write_text("# nothing\n")  # pip has no index here
    repository.change("Dockerfile", "Qwen/Qwen3-4B", "me/book")
    options = ("--model-dir", model, "--no-rehearsal")
    with HubStandin(tmp_path / "hub") as hub:
        env = online(hub)
        code, lines = preflight(*options, env=env)
        assert code == 1 and failing(lines) == {"model: the Dockerfile's"}  # no such model
        there = hub.publish("me/book", model)
        write_manifest(there, Manifest(stage="upload", name="another time"))
        code, lines = preflight(*options, env=env)
        assert code == 0 and lines["model: the Dockerfile's"]["state"] == "ok"
        assert lines["model: the Dockerfile's"]["figure"] == "me/book@master"
        assert "nothing seen that would fail" in preflight.said
        # Another model of the same shape: only the bytes can tell.
        weights = bytearray((there / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        (there / "model.safetensors").write_bytes(weights)
        code, lines = preflight(*options, env=env)
        assert code == 0 and warning(lines) == {"model: the Dockerfile's"}
        assert "model.safetensors differ" in lines["model: the Dockerfile's"]["why"]
        assert "0 would fail; 1 warn" in preflight.said and preflight.warnings == 1
        (there / "system_prompt.txt").write_text("Be brief.")
        _, lines = preflight(*options, env=env)
        assert "system_prompt.txt" in lines["model: the Dockerfile's"]["why"]


def test_what_was_not_compared_is_a_warning(preflight, repository, model):
    code, lines = preflight("--offline", "--no-rehearsal", "--model-dir", model)
    assert code == 0 and warning(lines) == {"model: the Dockerfile's"}
    assert lines["model: the Dockerfile's"]["figure"] == "Qwen/Qwen3-4B@master"
    assert "nothing seen that would fail" not in preflight.said
    repository.change("Dockerfile", "ARG MODEL_ID=Qwen/Qwen3-4B", "ARG MODEL_ID")
    _, lines = preflight("--offline", "--no-rehearsal", "--model-dir", model)
    assert lines["model: the Dockerfile's"]["state"] == "unknown"


def test_a_demo_is_warned_of_and_nothing_is_predicted_from_it(preflight, model):
    _, lines = preflight("--offline", "--no-rehearsal", "--model-dir", model)
    assert "predict: bonus, batch" in lines
    mark_as_demo(model)
    code, lines = preflight("--offline", "--no-rehearsal", "--model-dir", model)
    assert code == 0 and f"model: {model}" in warning(lines)
    predicted = {name for name in lines if name.startswith("predict")}
    assert predicted == {"predict: any test set"}
    assert not any("characters/s" in line["why"] for line in lines.values())


def test_a_score_below_the_echo_is_warned_of_once(preflight, model, tmp_path):
    # The service answers "CUDA " and the question: one stray word more than the echo has.
    path = tmp_path / "testset.jsonl"
    rows = [{"question": f"warp {n}？", "answer": f"warp {n}"} for n in range(10)]
    path.write_text("\n".join(json.dumps(row) for row in rows))
    code, lines = preflight("--offline", "--model-dir", model, path)
    assert code == 0
    assert warning(lines) - {"model: the Dockerfile's"} == {"rehearsal: batch: testset, score"}
    for mode in ("batch", "serial"):
        why = lines[f"rehearsal: {mode}: testset, score"]["why"]
        assert "below the echo of the question (1.000), above the contest's 0.35" in why


def test_a_prediction_says_on_what_it_stands(tmp_path):
    bonus, c500 = recorded_workloads()[0], device("metax-c500")
    path = config(tmp_path)
    batch = next(budgets.predict_lines(from_config(path, "bf16"), c500, bonus, serial=False))
    assert "Qwen3-4B in bf16 on one H100" in batch.why and "characters/s" in batch.why
    small = config(tmp_path, num_hidden_layers=3, vocab_size=1000)
    for model in (from_config(path, "awq"), from_config(small, "bf16")):
        batch = next(budgets.predict_lines(model, c500, bonus, serial=False))
        assert "no characters/s" in batch.why


@pytest.mark.parametrize("options", [[], ["--offline"]])
def test_a_model_directory_that_is_not_there(preflight, options):
    assert preflight("--model-dir", "nowhere", *options) == (2, {})
    assert preflight.said.strip() == "--model-dir nowhere: no such directory"


def test_a_commit_that_is_not_there_is_named(preflight):
    assert preflight("--offline", "--commit", "nope") == (2, {})
    assert "bad revision 'nope'" in preflight.said


def test_a_hub_out_of_reach_is_told_in_one_sentence(preflight, repository):
    (repository.directory / "requirements.txt").write_text("# nothing\n")
    repository.commit()
    code, lines = preflight(env={"MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"})
    line = lines["model: Qwen/Qwen3-4B"]
    assert code == 0 and line["state"] == "unknown"
    assert line["why"] == (
        "the hub was not reached, so Qwen/Qwen3-4B was not looked up: try again with a network"
    )


@pytest.mark.parametrize("service", [True, False])
@pytest.mark.parametrize("value", ["abc", "nan"])
def test_a_setting_that_is_no_number_is_named(preflight, repository, tmp_path, value, service):
    if service:
        shutil.copytree(ROOT / "serving", repository.directory / "serving", dirs_exist_ok=True)
    wrong = f"VLLM_USE_V1=1 GPU_MEMORY_UTILIZATION={value}"
    repository.change("Dockerfile", "VLLM_USE_V1=1", wrong)
    code, lines = preflight("--offline", "--config", config(tmp_path))
    assert code == 1 and failing(lines) == {"repository: settings"}
    why = lines["repository: settings"]["why"]
    assert "GPU_MEMORY_UTILIZATION" in why and value in why and "\n" not in why
    assert lines["memory: device"]["state"] == "ok"  # by the assumed share


def test_a_manifest_that_is_none_is_named(preflight, model):
    (model / "manifest.json").write_text("[]")
    assert preflight("--offline", "--model-dir", model) == (2, {})
    assert "manifest.json: not a manifest" in preflight.said


def test_the_command_itself_ends_with_its_code_and_without_a_traceback(tmp_path):
    """The others call it in this process."""
    command = [sys.executable, "-m", "preflight", "--offline", "--repository", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and str(tmp_path) in done.stderr
    assert "Traceback" not in done.stderr
