"""The preflight on small repositories, each with one planted fault that would lose a submission."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from common.device_table import Device, device
from common.facts import FACTS, PREDICT_LIMIT_S, measured
from common.manifest import Manifest, write_manifest
from common.model_shape import ShapeError
from common.pairs import Pair, PairFile
from common.roofline import floor_seconds
from judging.testset import read_testset
from preflight import budgets
from preflight.book import committed_book
from preflight.model import Model, ModelError, from_config, from_directory
from preflight.repository import Checkout
from preflight.workloads import recorded_workloads, workload_of
from retrieval.build import IndexSettings, build_index
from tests.hub_standin import HubStandin
from tests.model_dirs import lfs_pointer, write_model
from tests.shapes import QWEN3_4B

ROOT = Path(__file__).parents[1]
DEMO = Manifest(stage="demo", name="d", demo=True)
SERVICE = """
import json, os, time

assert os.path.exists(os.environ["MODEL_DIR"] + "/config.json"), "no model in MODEL_DIR"
time.sleep(float(os.environ.get("START_S", 0)))
EXTRA = {extra}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({{"type": kind + ".complete"}})
            if kind == "lifespan.shutdown":
                return
    body = b""
    while scope["method"] == "POST":
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    if scope["path"] == "/predict":
        prompt = json.loads(body)["prompt"]
        if isinstance(prompt, str):
            reply = {{"response": "CUDA " + prompt}}
        else:
            reply = {{"response": ["CUDA " + p for p in prompt] + ["more"] * EXTRA}}
    else:
        reply = {{"status": os.environ["SERVE_MODE"]}}
    data = json.dumps(reply).encode()
    headers = [(b"content-type", b"application/json")]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": data}})
"""


def git(directory, *words):
    names = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", str(directory), *names, *words], check=True, capture_output=True)


class Repository:
    """A submission in small: the real Dockerfile and downloader, a service of thirty lines."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        for name in ("Dockerfile", ".dockerignore", "requirements.txt", "download_model.py"):
            shutil.copy(ROOT / name, directory / name)
        shutil.copytree(ROOT / "common", directory / "common")
        (directory / "serve.py").write_text(SERVICE.format(extra=0))
        git(directory, "init", "-q")
        self.commit()

    def change(self, name, old, new):
        path = self.directory / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.commit()

    def commit(self):
        git(self.directory, "add", "-A")
        git(self.directory, "commit", "-q", "-m", "x")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "repository")


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model")


@pytest.fixture
def testset(tmp_path):
    rows = [{"question": f"问题{n}？", "answer": f"CUDA 问题{n}？"} for n in range(5)]
    path = tmp_path / "testset.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def preflight(repository, tmp_path):
    """Runs the command; returns its exit code and its lines by "area: what"."""

    def call(*arguments, env=None):
        out = tmp_path / "preflight.json"
        command = [sys.executable, "-m", "preflight", "--out", str(out)]
        command += ["--repository", str(repository.directory), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **(env or {})}
        )
        call.said = done.stdout + done.stderr
        if done.returncode == 2:
            assert "Traceback" not in call.said
            return 2, {}
        assert done.returncode in (0, 1), done.stderr
        told = json.loads(out.read_text())
        assert told["passed"] == (done.returncode == 0)
        call.warnings = told["warnings"]
        for line in told["lines"]:
            assert line["what"][:20] in done.stdout.replace("\n", " ") or line["why"], line
        return done.returncode, {f"{line['area']}: {line['what']}": line for line in told["lines"]}

    return call


def failing(lines):
    return {name for name, line in lines.items() if line["state"] == "fail"}


def config(tmp_path, **changes):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**QWEN3_4B, **changes}))
    return path


def test_a_good_submission_passes_and_is_rehearsed_in_both_modes(preflight, model, testset):
    code, lines = preflight("--model-dir", model, "--offline", testset)
    assert failing(lines) == set()
    assert code == 0
    for mode in ("batch", "serial"):
        assert lines[f"rehearsal: {mode}: health"]["state"] == "ok"
        assert "accuracy 1.000" in lines[f"rehearsal: {mode}: testset, score"]["figure"]
    assert lines["repository: requirements.txt"]["state"] == "unknown"  # offline: nobody was asked


def warning(lines):
    return {name for name, line in lines.items() if line["state"] == "warn"}


def mark_as_demo(model):
    write_manifest(model, Manifest(stage="quantize", name="m", parents=[DEMO]))


def online(hub):
    """The environment of a preflight that asks this hub, and no package index."""
    index = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}
    return {"MODELSCOPE_ENDPOINT": hub.endpoint, **index}


def test_the_dockerfiles_model_is_compared_with_the_one_looked_at(
    preflight, repository, model, tmp_path
):
    (repository.directory / "requirements.txt").unlink()  # pip has no index here
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
    rows = [{"question": f"warp {n}？", "answer": f"warp {n}"} for n in range(5)]
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
    (repository.directory / "requirements.txt").unlink()
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
        shutil.copytree(ROOT / "serving", repository.directory / "serving")
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


def test_planted_model_files_that_cannot_be_served(preflight, model, testset):
    """Told from the files: no service is started for it."""
    lfs_pointer(model / "model.safetensors")
    code, lines = preflight("--model-dir", model, "--offline", testset)
    assert code == 1
    (line,) = (line for name, line in lines.items() if name.startswith("model: "))
    assert "model.safetensors is a Git LFS pointer" in line["why"]
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
    shutil.copytree(ROOT / "serving", repository.directory / "serving")
    (repository.directory / "serve.env").write_text(text)
    repository.commit()
    code, lines = preflight("--offline", "--config", config(tmp_path))
    told = lines["repository: serve.env"]
    assert told["state"] == state and text.partition("=")[0] in told["why"]
    assert code == (1 if state == "fail" else 0)


def test_settings_tuned_where_fp8_exists_do_not_go_to_a_device_without(
    preflight, repository, tmp_path
):
    shutil.copytree(ROOT / "serving", repository.directory / "serving")
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
    shutil.copytree(ROOT / "serving", repository.directory / "serving")
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


def test_qwen3_4b_by_its_config(tmp_path):
    bf16 = from_config(config(tmp_path), "bf16")
    assert bf16.weight_bytes == bf16.total_bytes == 2 * 4_022_468_096  # as published: 4.02 B
    awq = from_config(config(tmp_path), "awq")
    assert 0.3 < awq.weight_bytes / bf16.weight_bytes < 0.35


def test_predict_is_the_recorded_floor_times_what_vllm_took_over_it(tmp_path):
    bonus = recorded_workloads()[0]
    model = from_config(config(tmp_path), "bf16")
    batch, _ = budgets.predict_lines(model, device("h100"), bonus, serial=False)
    # bench/results/serve_h100.json: 3.54 s on the slower host, where the floor is 2.08 s.
    assert (batch.what, batch.state) == ("bonus, batch", "ok")
    assert float(batch.figure.removesuffix(" s")) == pytest.approx(3.54, rel=0.02)


def test_more_answers_at_once_never_take_longer(tmp_path):
    work = recorded_workloads()[0]
    model, target = from_config(config(tmp_path), "bf16"), device("metax-c500")
    lengths = (work.prompt_tokens, work.answer_tokens)
    times = [
        floor_seconds(model.shape, model.weight_bytes, *lengths, target, n)
        for n in (1, 16, 256, 358, 999)
    ]
    assert times == sorted(times, reverse=True)
    # One at a time: every answer token reads all weights once, and no fewer.
    assert times[0] > sum(work.answer_tokens) * model.weight_bytes / target.bytes_per_s


BOOK = "# 桥\n\n## 白鹭桥\n\n白鹭桥横跨清水河，全长 120 米，由石匠陈默在 1837 年主持修建。\n"


def committed(tmp_path, **environment):
    """A checkout whose index/ holds BOOK, a line of which has 40 characters and more."""
    (tmp_path / "book.md").write_text(BOOK, encoding="utf-8")
    build_index([tmp_path / "book.md"], tmp_path / "checkout" / "index", IndexSettings(20, 80))
    return Checkout(tmp_path / "checkout", environment=environment)


def test_passages_of_a_committed_index_are_counted_in_prompts_and_time(tmp_path):
    book, (line,) = committed_book(committed(tmp_path))
    assert line.state == "note" and "book.md" in line.why and "1 passages" in line.figure
    testset = PairFile(Path("t.docx"), [Pair("白鹭桥有多长？", "120 米"), Pair("zzz", "yyy")])
    work = book.added_to(workload_of(testset), testset)
    assert 40 < work.passage_tokens[0] < 100 and work.passage_tokens[1] == 0
    assert work.without_passages.prompt_tokens == workload_of(testset).prompt_tokens
    bonus = book.added_to(recorded_workloads()[0], None)
    assert len(set(bonus.passage_tokens)) == 1 and bonus.passage_tokens[0] > 40
    model = from_config(config(tmp_path), "bf16")
    longer = replace(bonus, prompt_tokens=[t + 900 for t in bonus.prompt_tokens],
                     passage_tokens=[t + 900 for t in bonus.passage_tokens])  # fmt: skip
    lines = [
        next(iter(budgets.predict_lines(model, device("h100"), each, serial=False)))
        for each in (bonus.without_passages, longer)
    ]
    assert "passages" not in lines[0].why
    assert "prompt tokens a question are passages, " in lines[1].why
    assert float(lines[1].figure.split()[0]) > float(lines[0].figure.split()[0])


def test_an_index_that_the_service_would_not_start_with_fails(tmp_path):
    checkout = committed(tmp_path)
    (checkout.directory / "index" / "passages.jsonl").write_text("{}\n", encoding="utf-8")
    book, (line,) = committed_book(checkout)
    assert book is None and line.state == "fail" and "line 1" in line.why
    missing = Checkout(tmp_path, environment={"RETRIEVAL_DIR": "/app/nowhere"})
    assert committed_book(missing)[1][0].state == "fail"


def test_without_an_index_nothing_is_said_of_one(tmp_path):
    assert committed_book(Checkout(tmp_path)) == (None, [])
    assert committed_book(committed(tmp_path, RETRIEVAL_PASSAGES="0")) == (None, [])


def test_a_device_too_slow_for_predict(tmp_path):
    slow = Device("slow", "slow", "cpu", 64e9, 20e9, None, 16, "made up")
    model = from_config(config(tmp_path), "bf16")
    lines = list(budgets.predict_lines(model, slow, recorded_workloads()[0], serial=False))
    told = [(line.what, line.state, line.limit) for line in lines]
    limit = f"{PREDICT_LIMIT_S:.0f} s"
    assert told == [("bonus, batch", "fail", limit), ("bonus, serial", "note", limit)]


def test_the_recorded_workloads_are_as_long_as_what_was_counted():
    bonus, basic = recorded_workloads()
    assert (bonus.questions, max(bonus.answer_tokens)) == (358, 526)
    assert sum(bonus.answer_tokens) == pytest.approx(44_303, rel=0.01)
    assert (basic.questions, max(basic.answer_tokens)) == (292, 97)
    assert sum(basic.answer_tokens) / 292 == pytest.approx(68.5, rel=0.01)


def test_a_test_sets_own_lengths(testset):
    work = workload_of(read_testset(testset))
    assert list(work.prompt_tokens) == [68 + round(4 / measured("chars_per_token"))] * 5
    assert list(work.answer_tokens) == [round(9 / measured("chars_per_token"))] * 5


def test_too_little_memory():
    model = Model("big", "made up", 60 * 10**9, 60 * 10**9)
    line = budgets.memory_line(model, device("metax-c500"), recorded_workloads(), 0.9)
    assert line.state == "fail"


def test_a_model_of_unknown_shape_is_not_estimated(preflight, model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "model_type": "qwen3_moe"}))
    code, lines = preflight("--offline", "--no-rehearsal", "--model-dir", model)
    assert code == 0
    for what in ("predict: bonus, batch", "memory: device"):
        assert lines[what]["state"] == "unknown" and "qwen3_moe" in lines[what]["why"]
    assert lines["build: weights"]["figure"] and lines["health: start"]["state"] == "ok"
    with pytest.raises(ShapeError, match="qwen3_moe"):
        from_config(model / "config.json", "bf16")


def test_a_directory_that_is_no_model(tmp_path):
    with pytest.raises(ShapeError, match="config.json"):
        from_directory(tmp_path)
    config(tmp_path)
    with pytest.raises(ModelError, match="no weights"):
        from_directory(tmp_path)


def test_a_directory_counts_one_weight_format(model):
    (model / "pytorch_model.bin").write_bytes(b"x" * 50)
    weights = (model / "model.safetensors").stat().st_size
    assert from_directory(model).weight_bytes == weights
