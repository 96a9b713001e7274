"""The preflight on small repositories, each with one planted fault that would lose a submission."""

import json
import shutil
import time

import pytest

from common.facts import FACTS
from tests.hub_standin import HubStandin
from tests.model_dirs import lfs_pointer, write_model
from tests.preflight_repository import ROOT, SERVICE, config, failing, git, online

pytest_plugins = ["tests.preflight_repository"]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda m: lfs_pointer(m / "model.safetensors"), "model.safetensors is a Git LFS pointer"),
        (lambda m: (m / "tokenizer.json").write_text("{}"), "tokenizer.json: no vocabulary in it"),
    ],
)
def test_planted_model_files_that_cannot_be_served(preflight, model, testset, fault, told):
    """Told from the files: no service is started for it."""
    fault(model)
    code, lines = preflight("--model-dir", model, "--offline", testset)
    assert code == 1
    (line,) = (line for name, line in lines.items() if name.startswith("model: "))
    assert told in line["why"]
    assert not any(name.startswith("rehearsal") for name in lines)


def test_planted_weights_too_large_for_the_build(preflight, tmp_path):
    large = config(tmp_path, num_hidden_layers=46)
    code, lines = preflight("--offline", "--config", large)
    assert code == 1
    assert failing(lines) == {"build: whole build"}
    assert lines["build: whole build"]["margin"].startswith("-")


def test_planted_token_in_a_file_and_in_the_history(preflight, repository, tmp_path):
    token = "ms-" + "-".join(["0123abcd", "0123", "4567", "89ab", "0123456789ab"])
    (repository.directory / "notes.txt").write_text(f"first line\nlogin {token}\n")
    repository.commit()
    code, lines = preflight("--offline", "--config", config(tmp_path))
    assert code == 1
    assert failing(lines) == {"repository: secrets"}
    assert "ModelScope token in notes.txt:2" in lines["repository: secrets"]["why"]
    assert token not in json.dumps(lines)
    (repository.directory / "notes.txt").unlink()
    repository.commit()
    code, lines = preflight("--offline", "--config", config(tmp_path))
    assert "in the history" in lines["repository: secrets"]["why"]


def test_planted_torch_in_requirements(preflight, repository, tmp_path):
    repository.change("requirements.txt", "modelscope==", "torch==2.7.1\nmodelscope==")
    code, lines = preflight("--offline", "--config", config(tmp_path))
    assert code == 1
    assert failing(lines) == {"repository: requirements.txt"}
    assert "torch (line " in lines["repository: requirements.txt"]["why"]


def test_planted_other_port(preflight, repository, tmp_path):
    repository.change("Dockerfile", "8000", "8080")
    code, lines = preflight("--offline", "--config", config(tmp_path))
    assert code == 1
    assert failing(lines) == {"repository: EXPOSE", "repository: port of CMD"}
    assert lines["repository: EXPOSE"]["figure"] == "8080"


def test_planted_more_answers_than_questions(preflight, repository, model, testset):
    (repository.directory / "serve.py").write_text(SERVICE.format(extra=2))
    repository.commit()
    code, lines = preflight("--offline", "--model-dir", model, testset)
    assert code == 1
    assert failing(lines) == {"rehearsal: batch: testset, replies"}
    assert "2 answers more than questions" in lines["rehearsal: batch: testset, replies"]["why"]


def test_planted_start_too_slow(preflight, tmp_path):
    code, lines = preflight("--offline", "--config", config(tmp_path), "--startup-s", "195")
    assert code == 1
    assert failing(lines) == {"health: start"}
    assert lines["health: start"]["margin"] == "-15.0 s"


def test_a_service_that_ends_while_starting_is_told_at_once(preflight, repository, model, testset):
    (repository.directory / "serve.py").write_text("raise RuntimeError('no such kernel')\n")
    repository.commit()
    started = time.monotonic()
    code, lines = preflight("--offline", "--model-dir", model, testset)
    assert code == 1
    assert "RuntimeError: no such kernel" in lines["rehearsal: batch: health"]["why"]
    assert time.monotonic() - started < 60


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_start_that_is_really_too_slow_is_caught_by_the_rehearsal(preflight, model, testset):
    code, lines = preflight("--offline", "--model-dir", model, testset, env={"START_S": "400"})
    assert code == 1
    assert failing(lines) == {"rehearsal: batch: health", "rehearsal: serial: health"}


def test_only_committed_files_count(preflight, repository, tmp_path):
    (repository.directory / "requirements.txt").write_text("torch\n")
    code, lines = preflight("--offline", "--config", config(tmp_path))
    assert code == 0
    assert "requirements.txt" in lines["repository: uncommitted"]["why"]
    git(repository.directory, "rm", "-q", "--cached", "Dockerfile")
    git(repository.directory, "commit", "-q", "-m", "no Dockerfile")
    code, lines = preflight("--offline", "--config", config(tmp_path))
    assert lines["repository: Dockerfile"]["figure"] == "missing"


def test_a_dockerfile_that_docker_would_refuse(preflight, repository, tmp_path):
    repository.change("Dockerfile", "ENV MODEL_DIR=", "ENV X=1 Y ")
    _, lines = preflight("--offline", "--config", config(tmp_path))
    assert lines["repository: Dockerfile"]["state"] == "fail"
    assert "'Y' has no value" in lines["repository: Dockerfile"]["why"]


def test_another_base_image(preflight, repository, tmp_path):
    repository.change("Dockerfile", "torch2.6", "torch2.7")
    _, lines = preflight("--offline", "--config", config(tmp_path))
    assert failing(lines) == {"repository: base image"}


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("GPU_MEMORY_UTILIZATION=0.5\n", "ok"),
        ("MAX_NUM_SEQ=9\n", "fail"),
        ("COMPILE_CACHE_DIR=compile_cache.tar\n", "fail"),
    ],
)
def test_a_settings_file_is_read_as_the_service_does(preflight, repository, tmp_path, text, state):
    shutil.copytree(ROOT / "serving", repository.directory / "serving", dirs_exist_ok=True)
    (repository.directory / "serve.env").write_text(text)
    repository.commit()
    code, lines = preflight("--offline", "--config", config(tmp_path))
    told = lines["repository: serve.env"]
    assert told["state"] == state and text.partition("=")[0] in told["why"]
    assert code == (1 if state == "fail" else 0)


def test_settings_tuned_where_fp8_exists_do_not_go_to_a_device_without(
    preflight, repository, tmp_path
):
    shutil.copytree(ROOT / "serving", repository.directory / "serving", dirs_exist_ok=True)
    (repository.directory / "serve.env").write_text("QUANTIZATION=fp8\n")
    repository.commit()
    _, lines = preflight("--offline")
    assert failing(lines) == {"model: weights' format"}
    _, lines = preflight("--offline", "--device", "h100")
    assert not failing(lines)


@pytest.mark.parametrize(
    ("quantization", "state"),
    [
        (None, "ok"),
        ({"quant_method": "awq"}, "ok"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized"}, "fail"),
        ({"quant_method": "compressed-tensors", "format": "int-quantized"}, "unknown"),
        ({"quant_method": "compressed-tensors", "format": "float-quantized"}, "fail"),
    ],
)
def test_the_weights_format_is_one_that_the_device_takes(preflight, model, quantization, state):
    if quantization:
        write_model(model, quantization_config=quantization)
    _, lines = preflight("--offline", "--no-rehearsal", "--model-dir", model)
    assert "model: weights' format" in lines, lines
    assert lines["model: weights' format"]["state"] == state


def test_a_tuned_start_that_would_be_aborted_is_told(preflight, repository, tmp_path):
    _, lines = preflight("--offline", "--config", config(tmp_path))
    line = lines["health: tuned start kept"]
    assert (line["state"], line["limit"]) == ("note", "125 s")
    assert "COMPILE_CACHE_DIR" in line["why"]
    _, lines = preflight("--offline", "--config", config(tmp_path), "--startup-s", "60")
    assert lines["health: tuned start kept"]["state"] == "ok"
    repository.change("Dockerfile", "VLLM_USE_V1=1", "VLLM_USE_V1=1 STARTUP_RESERVE_S=30")
    _, lines = preflight("--offline", "--config", config(tmp_path))
    assert lines["health: tuned start kept"]["limit"] == "140 s"


def test_the_start_ups_budget_is_the_services_own():
    from serving.settings import Settings

    for name in ("health_budget_s", "startup_reserve_s"):
        assert FACTS["service"][name] == Settings.model_fields[name].default


def test_more_gpus_than_the_judge_has(preflight, repository, tmp_path):
    shutil.copytree(ROOT / "serving", repository.directory / "serving", dirs_exist_ok=True)
    (repository.directory / "serve.env").write_text("TENSOR_PARALLEL_SIZE=2\n")
    repository.commit()
    _, lines = preflight("--offline", "--config", config(tmp_path))
    assert failing(lines) == {"repository: GPUs"}


def test_the_model_of_the_dockerfile_is_asked_of_the_hub(preflight, repository, model, tmp_path):
    repository.change("Dockerfile", "Qwen/Qwen3-4B", "me/book")
    with HubStandin(tmp_path / "hub") as hub:
        env = online(hub)
        _, lines = preflight(env=env)
        assert lines["model: me/book"]["state"] == "fail"  # not there: the build would fail
        hub.publish("me/book", model)
        _, lines = preflight(env=env)
        assert "file list of me/book@master" in lines["build: weights"]["why"]
        assert lines["memory: device"]["state"] == "ok"  # its config.json was asked for, too
        assert lines["model: weights' format"]["figure"] == "plain"
        hub.private.add("me/book")
        # The user's own token would open it; the judge has none.
        _, lines = preflight(env={**env, "MODELSCOPE_API_TOKEN": "ms-mine"})
        assert "private" in lines["model: me/book"]["why"]
        assert lines["model: me/book"]["state"] == "fail"
