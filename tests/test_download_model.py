"""download_model.py against a loopback hub that fails in the ways that real ones do."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common.hubs import ModelScope
from common.manifest import Manifest, directory_records, write_manifest
from tests.hub_standin import HubStandin
from tests.model_dirs import lfs_pointer, write_model, write_safetensors

ROOT = Path(__file__).parents[1]
pytest.importorskip("modelscope_hub")


@pytest.fixture
def model(tmp_path):
    """A model directory as `train/` leaves it, with what no image needs beside it."""
    directory = write_model(tmp_path / "trained", shards=2, hidden_size=1024, vocab_size=1000)
    write_manifest(
        directory, Manifest(stage="merge", name="t", outputs=directory_records(directory))
    )
    (directory / "README.md").write_text("card")
    (directory / "pytorch_model.bin").write_bytes(b"the same weights in another format")
    (directory / "onnx").mkdir()
    (directory / "onnx" / "model.safetensors").write_bytes(b"and in a third")
    return directory


@pytest.fixture
def hub(tmp_path, model):
    with HubStandin(tmp_path / "hub") as running:
        running.publish("me/book", model)
        yield running


@pytest.fixture
def download(tmp_path, hub):
    """Runs the real command as the Dockerfile does, in an empty HOME."""
    home = tmp_path / "home"
    home.mkdir()

    def call(*args, check=None, env=None, timeout=60):
        arguments = args or ("me/book", "--out", str(tmp_path / "out"))
        result = subprocess.run(
            [sys.executable, str(ROOT / "download_model.py"), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(home),
                "MODELSCOPE_ENDPOINT": hub.endpoint,
                "HF_ENDPOINT": hub.endpoint,
                **(env or {}),
            },
        )
        assert not list(home.iterdir()), "left something under HOME, so in the image"
        if check is not None:
            assert result.returncode == check, result.stderr
        return result

    call.out = tmp_path / "out"
    return call


WANTED = {
    "config.json",
    "manifest.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
}


def names(directory):
    return {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}


def same(model, out):
    return all((out / name).read_bytes() == (model / name).read_bytes() for name in WANTED)


def test_one_weight_format_and_nothing_else_comes_and_a_second_run_fetches_nothing(
    download, hub, model
):
    download(check=0)
    assert names(download.out) == WANTED
    assert same(model, download.out)
    hub.requests.clear()
    result = download(check=0)
    assert not hub.downloads()
    assert "7 already right, 0.0 MB to fetch" in result.stderr


def test_a_damaged_file_is_fetched_again_and_only_that_one(download, hub, model):
    download(check=0)
    damaged = download.out / "model-00002-of-00002.safetensors"
    data = bytearray(damaged.read_bytes())
    data[7] ^= 1
    damaged.write_bytes(data)
    hub.requests.clear()
    download(check=0)
    assert {r.path for r in hub.downloads()} == {damaged.name}
    assert same(model, download.out)


def test_a_cut_transfer_goes_on_where_it_stopped(download, hub, model):
    hub.fail("*00001*", "cut", times=2, after=400_000)
    download(check=0)
    assert same(model, download.out)
    ranges = [r.range for r in hub.downloads("*00001*")]
    assert ranges == ["", "bytes=400000-", "bytes=800000-"]


def test_rate_limit_and_server_errors_are_waited_out(download, hub, model):
    hub.fail("*/repo/files", "status", status=429, retry_after=1, times=2)
    hub.fail("*00002*", "status", status=503, times=2)
    download(check=0)
    assert same(model, download.out)


def test_bytes_that_stay_wrong_fail_with_the_file_named(download, hub):
    hub.fail("*00001*", "corrupt", times=99)
    result = download(check=1)
    assert "FAILED: model-00001-of-00002.safetensors" in result.stderr
    assert not (download.out / "model-00001-of-00002.safetensors").exists()


def test_bytes_that_are_wrong_once_are_fetched_again(download, hub, model):
    hub.fail("*00001*", "corrupt", times=1)
    download(check=0)
    assert same(model, download.out)


def test_a_stalled_transfer_ends_with_the_time_budget(download, hub):
    hub.fail("*.safetensors", "stall", times=99, seconds=60)
    started = time.monotonic()
    result = download("me/book", "--out", download.out, "--budget-s", "4", check=1, timeout=30)
    assert 3 < time.monotonic() - started < 15
    assert "not done after 4 s" in result.stderr


def test_a_hub_that_is_away_fails_in_the_budget(download):
    result = download(
        *("me/book", "--out", download.out, "--budget-s", "5"),
        env={"MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"},
        check=1,
    )
    assert "FAILED" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_network_that_is_away_for_a_while_is_waited_for():
    control = pytest.importorskip("modelscope_hub._download_control")
    hub = ModelScope("owner/model", None, None, 1)
    again, meaning = hub.explain(control._DownloadDeadlineError("the SDK's own limit"))
    assert again and meaning == f"{hub.name}: no answer in time; is the network there?"


def test_private_repository_without_and_with_a_wrong_token(download, hub):
    hub.token = "ms-right-0123456789"
    assert "asks for an access token" in download(check=1).stderr
    result = download(env={"MODELSCOPE_API_TOKEN": "ms-wrong-0123456789"}, check=1)
    assert "refuses the access token" in result.stderr
    assert "ms-wrong" not in result.stderr + result.stdout


def test_the_token_of_a_secret_file_works_and_lands_nowhere(download, hub, tmp_path):
    hub.token = "ms-right-0123456789"
    secret = tmp_path / "secret"
    secret.write_text("ms-right-0123456789\n")
    arguments = ("me/book", "--out", download.out, "--token-file", secret)
    result = download(*arguments, check=0)
    assert "ms-right" not in result.stderr + result.stdout
    assert not any(b"ms-right" in p.read_bytes() for p in download.out.rglob("*") if p.is_file())


def test_unknown_model_and_unknown_revision(download):
    for arguments in (("me/other",), ("me/book", "--revision", "v9")):
        result = download(*arguments, "--out", download.out, check=1)
        assert "no such model, revision or file" in result.stderr


def test_a_revision_is_what_it_was(download, hub, model, tmp_path):
    hub.publish("me/book", model, revision="v1")
    (hub.root / "me/book/master/config.json").write_text("{}")
    download("me/book", "--revision", "v1", "--out", download.out, check=0)
    assert same(model, download.out)


def test_an_upload_that_is_not_what_its_manifest_says_is_refused_before_the_weights(download, hub):
    (hub.root / "me/book/master/model-00002-of-00002.safetensors").write_bytes(b"older weights")
    result = download(check=1)
    assert "model-00002-of-00002.safetensors has 13 bytes" in result.stderr
    assert not hub.downloads("*.safetensors")
    (hub.root / "me/book/master/tokenizer.json").unlink()
    assert "tokenizer.json is missing" in download(check=1).stderr


def test_what_training_left_beside_the_model_is_not_missed(download, hub):
    manifest = hub.root / "me/book/master/manifest.json"
    told = json.loads(manifest.read_text())
    for path in (".ms_upload_cache", "runs/events", "checkpoints/9/model.safetensors", "loss.png"):
        told["outputs"].append({"path": path, "bytes": 1, "sha256": "0" * 64})
    manifest.write_text(json.dumps(told))
    download(check=0)
    assert names(download.out) == WANTED


def test_weights_of_another_model_in_the_way_are_refused(download):
    download.out.mkdir()
    (download.out / "model.safetensors").write_bytes(b"old")
    assert "also holds model.safetensors" in download(check=1).stderr


def test_a_repository_without_weights_or_config(download, hub, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    hub.publish("me/empty", tmp_path / "empty")
    result = download("me/empty", "--out", download.out, check=1)
    assert "no weights" in result.stderr
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "model.safetensors").write_bytes(b"w")
    hub.publish("me/bare", tmp_path / "bare")
    result = download("me/bare", "--out", download.out, check=1)
    assert "no config.json" in result.stderr


def test_a_missing_shard_is_found(download, hub, tmp_path, model):
    shutil.copytree(model, tmp_path / "torn")
    (tmp_path / "torn" / "manifest.json").unlink()
    (tmp_path / "torn" / "model-00002-of-00002.safetensors").unlink()
    hub.publish("me/torn", tmp_path / "torn")
    result = download("me/torn", "--out", download.out, check=1)
    assert "model-00002-of-00002.safetensors missing: 1 of 2 parts are there" in result.stderr
    assert not hub.downloads("*.safetensors")


def beside_an_adapter(model):
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    write_safetensors(model / "adapter_model.safetensors", {"a": [4]})


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda m: lfs_pointer(m / "model.safetensors"), "model.safetensors is a Git LFS pointer"),
        (lambda m: lfs_pointer(m / "tokenizer.json"), "tokenizer.json is a Git LFS pointer"),
        (lambda m: (m / "tokenizer.json").write_text("{}"), "tokenizer.json: no vocabulary in it"),
        (lambda m: os.truncate(m / "model.safetensors", 40_000), "model.safetensors is cut off"),
        (beside_an_adapter, "only pytorch_model.bin"),
        (lambda m: (m / "model.safetensors").rename(m / "qwen.gguf"), "only qwen.gguf"),
        (
            lambda m: write_safetensors(m / "model-00001-of-00001.safetensors", {"a": [4]}),
            "the same model twice",
        ),
        (
            lambda m: (m / "config.json").write_text(
                (m / "config.json").read_text().replace("true", "false")
            ),
            "no lm_head.weight",
        ),
    ],
    ids=[
        "LFS",
        "LFS tokenizer",
        "empty tokenizer",
        "cut",
        "bin and adapter",
        "GGUF",
        "stale single file",
        "no head",
    ],
)
def test_what_cannot_be_served_is_never_called_complete(download, tmp_path, fault, told):
    broken = write_model(tmp_path / "broken")
    fault(broken)
    result = download("--from", broken, "--out", download.out, check=1)
    assert told in result.stderr.splitlines()[-1], result.stderr
    assert "cannot be served" in result.stderr
    assert "is complete" not in result.stderr


def test_what_a_hub_stores_as_pointers_is_found_after_the_download(download, hub, tmp_path):
    """The hub's list knows names and sizes, no headers."""
    lfs_pointer(write_model(tmp_path / "broken") / "model.safetensors")
    hub.publish("me/broken", tmp_path / "broken")
    result = download("me/broken", "--out", download.out, check=1)
    assert "model.safetensors is a Git LFS pointer" in result.stderr.splitlines()[-1]


def test_an_adapter_beside_the_model_can_be_left_out(download, tmp_path):
    both = write_model(tmp_path / "both")
    (both / "adapter_config.json").write_text("{}")
    write_safetensors(both / "adapter_model.safetensors", {"a": [4]})
    assert "Merge it" in download("--from", both, "--out", download.out, check=1).stderr
    download("--from", both, "--out", download.out, "--ignore", "adapter_*", check=0)
    assert not list(download.out.glob("adapter_*"))


def test_the_image_holds_what_the_downloader_imports(tmp_path):
    """The Dockerfile copies it before the rest of the kit, by name."""
    lines = (ROOT / "Dockerfile").read_text("utf-8").split('download_model.py "${MODEL_ID}"')[0]
    copied = [line.split()[1:] for line in lines.splitlines() if line.startswith("COPY")]
    for *sources, target in copied:
        (tmp_path / target).mkdir(exist_ok=True)
        for source in sources:
            shutil.copy(ROOT / source, tmp_path / target)
            assert f"!{source}" in (ROOT / ".dockerignore").read_text("utf-8").split()
    command = [
        sys.executable,
        "-I",
        "-c",
        "import sys; sys.path[0:0] = ['.']; import download_model",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


def test_a_full_disk_is_seen_before_the_first_byte_of_weights(download, hub, tmp_path):
    mount = tmp_path / "small"
    mount.mkdir()
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    command = (
        f"mount -t tmpfs -o size=2m tmpfs {mount} && {sys.executable} {ROOT}/download_model.py "
        f"me/book --out {mount}/model"
    )
    env = {**os.environ, "MODELSCOPE_ENDPOINT": hub.endpoint}
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], capture_output=True, text=True, env=env
    )
    assert result.returncode == 1
    assert "not enough disk" in result.stderr
    assert not hub.downloads("*.safetensors")


def test_from_a_directory(download, hub, model):
    result = download("--from", model, "--out", download.out, check=0)
    assert names(download.out) == WANTED
    assert same(model, download.out)
    assert not hub.requests, result.stderr
    (model / "tokenizer.json").write_text('{"changed": 1}')
    assert "tokenizer.json has" in download("--from", model, "--out", download.out, check=1).stderr


def test_another_model_of_the_same_sizes_replaces_the_one_that_is_there(download, tmp_path):
    """Trained again, a model has files of the same sizes; not every tool writes a manifest."""
    for name in ("first", "second"):
        trained = write_model(tmp_path / name)
        download("--from", trained, "--out", download.out, check=0)
        weights = (trained / "model.safetensors").read_bytes()
        assert (download.out / "model.safetensors").read_bytes() == weights
    assert "0.0 MB to fetch" in download("--from", trained, "--out", download.out, check=0).stderr


def test_a_small_file_that_changed_on_hugging_face_is_fetched_again(download, hub):
    pytest.importorskip("huggingface_hub")
    published = hub.root / "me/book/master"
    (published / "manifest.json").unlink()
    arguments = ("--hub", "hf", "me/book", "--out", download.out)
    download(*arguments, check=0)
    config = published / "tokenizer_config.json"
    config.write_text(config.read_text("utf-8").replace("messages", "Messages"), "utf-8")
    download(*arguments, check=0)
    assert (download.out / config.name).read_bytes() == config.read_bytes()


def test_hugging_face_hub(download, hub, model):
    pytest.importorskip("huggingface_hub")
    arguments = ("--hub", "hf", "me/book", "--out", download.out)
    download(*arguments, env={"HF_HUB_OFFLINE": "1"}, check=0)
    assert names(download.out) == WANTED
    assert same(model, download.out)
    hub.token = "hf-right"
    shutil.rmtree(download.out)
    assert "asks for an access token" in download(*arguments, check=1).stderr
    download(*arguments, env={"HF_TOKEN": "hf-right"}, check=0)


def test_plan_lists_the_files_and_fetches_no_weights(download, hub, model):
    result = download("me/book", "--plan", check=0)
    listed = json.loads(result.stdout)
    assert {f["path"] for f in listed["files"]} == WANTED
    assert listed["bytes"] == sum((model / name).stat().st_size for name in WANTED)
    assert not hub.downloads("*.safetensors")


@pytest.mark.parametrize("arguments", [(), ("x",), ("a/b", "--from", ".")])
def test_wrong_usage_is_2(arguments):
    command = [sys.executable, str(ROOT / "download_model.py"), *arguments]
    assert subprocess.run(command, capture_output=True).returncode == 2
