"""Upload through the real SDK to a loopback hub, and what it says when the hub refuses."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("modelscope_hub")
from common.manifest import Manifest, ManifestError, read_manifest, write_manifest  # noqa: E402
from tests.hub_standin import HubStandin  # noqa: E402
from tests.model_dirs import shapes_of, write_model, write_safetensors  # noqa: E402
from train.base import ModelError  # noqa: E402
from train.upload import model_card, upload  # noqa: E402

ROOT = Path(__file__).parents[1]
TOKEN = "ms-0123-secret"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # no Xet there
    for name in ("UPLOAD_BLOB_RETRY_MAX_DELAY_SECONDS", "UPLOAD_RECOVERY_MAX_DELAY_SECONDS"):
        monkeypatch.setattr(f"modelscope_hub._upload.{name}", 0)  # tests do not wait
    with HubStandin(tmp_path / "hub", token=TOKEN) as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def model(tmp_path) -> Path:
    folder = write_model(tmp_path / "merged", vocab_size=8000)
    shapes = shapes_of(json.loads((folder / "config.json").read_text()))
    parts = {"model.safetensors": list(shapes)[:1], "model-2.safetensors": list(shapes)[1:]}
    for file, names in parts.items():
        write_safetensors(folder / file, {name: shapes[name] for name in names})
    placed = {name: file for file, names in parts.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": placed}))
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "optimizer.pt").write_bytes(b"not for the hub")
    parent = Manifest(stage="lora", name="x", settings={"lora_rank": 8}, scores={"dev": 0.5})
    write_manifest(folder, Manifest(stage="merge", name="x-merged", demo=True, parents=[parent]))
    return folder


def stored(hub, repo="me/book") -> Path:
    return hub.root / repo / "master"


def test_new_repositories_are_private_and_hold_the_same_bytes(hub, model):
    said = upload(model, "me/book")
    assert "me/book" in hub.private and "me/book" in said
    for record in read_manifest(model).outputs:
        assert (stored(hub) / record.path).read_bytes() == (model / record.path).read_bytes()
    assert json.loads((stored(hub) / "manifest.json").read_text())["stage"] == "merge"
    assert all(request.token for request in hub.requests if "/api/v1/" in request.url)


def test_an_existing_repository_is_used_and_nothing_sent_twice(hub, model):
    upload(model, "me/book")
    before = sum(request.received for request in hub.requests)
    upload(model, "me/book")
    again = sum(request.received for request in hub.requests) - before
    assert again < (model / "model.safetensors").stat().st_size
    assert (stored(hub) / "model.safetensors").is_file()


def test_the_revision_that_is_told_stays_what_was_uploaded(hub, model, tmp_path):
    told = [upload(model, "me/book") for _ in "ab"]
    assert told[0].splitlines()[0] == told[1].splitlines()[0]  # the same files, the same tag
    revision = re.search(r"MODEL_REVISION=(v\w+)", told[0])[1]
    (model / "generation_config.json").write_text('{"temperature": 0.5}')
    assert revision not in upload(model, "me/book")
    command = [sys.executable, "download_model.py", "me/book", "--revision", revision]
    subprocess.run(
        [*command, "--out", str(tmp_path / "out")],
        cwd=ROOT,
        env={**os.environ, "MODELSCOPE_ENDPOINT": hub.endpoint},
        check=True,
    )
    assert not (tmp_path / "out/generation_config.json").exists()


def test_a_model_without_its_tag_has_arrived(hub, model):
    hub.fail("*/repo/tag", "status", status=403)
    said = upload(model, "me/book")
    assert "MODEL_REVISION=master" in said and "ATTENTION: no tag v" in said and TOKEN not in said


def test_a_refused_token_is_told_and_never_shown(hub, model, monkeypatch, capfd):
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "wrong-secret")
    with pytest.raises(ModelError) as error:
        upload(model, "me/book")
    printed = "".join(capfd.readouterr()) + str(error.value)
    assert "MODELSCOPE_API_TOKEN" in printed and "wrong-secret" not in printed


@pytest.mark.parametrize("name", ["modelscope", "hf"])
def test_a_busy_hub_is_asked_again(hub, model, name):
    hub.fail("/api/v1/repos/*", "status", status=429, retry_after=0.1)
    hub.fail("/api/models/*/preupload/*", "status", status=429, retry_after=0.1)
    upload(model, "me/book", name)
    assert (stored(hub) / "model.safetensors").is_file()


def test_a_refused_token_of_hugging_face_is_told_and_never_shown(hub, model, monkeypatch, capfd):
    monkeypatch.setenv("HF_TOKEN", "wrong-secret")
    with pytest.raises(ModelError, match="HF_TOKEN was refused") as error:
        upload(model, "me/book", "hf")
    assert "wrong-secret" not in "".join(capfd.readouterr()) + str(error.value)


def puts(hub, path: Path) -> list[int]:
    """Bytes that the hub received of each attempt to send a file's contents."""
    oid = hashlib.sha256(path.read_bytes()).hexdigest()
    return [r.received for r in hub.requests if r.method == "PUT" and r.url.endswith(oid)]


@pytest.mark.parametrize("name", ["modelscope", "hf"])
def test_a_connection_cut_inside_a_file_is_tried_again(hub, model, name):
    weights = model / "model.safetensors"
    hub.fail("upload/" + hashlib.sha256(weights.read_bytes()).hexdigest(), "cut", after=300_000)
    upload(model, "me/book", name)
    assert (stored(hub) / "model.safetensors").read_bytes() == weights.read_bytes()
    assert puts(hub, weights) == [300_000, weights.stat().st_size]


@pytest.mark.parametrize("name", ["modelscope", "hf"])
def test_an_upload_that_broke_goes_on_where_it_stopped(hub, model, name, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # neither SDK waits between attempts
    weights, second = model / "model.safetensors", model / "model-2.safetensors"
    oid = hashlib.sha256(weights.read_bytes()).hexdigest()
    fault = hub.fail(f"upload/{oid}", "cut", times=1000, after=300_000)
    with pytest.raises(ModelError, match="(?s)upload to me/book failed.*Run the same command"):
        upload(model, "me/book", name)
    assert not (stored(hub) / "model.safetensors").exists()
    fault.times = 0
    upload(model, "me/book", name)
    for path in (weights, second):
        assert (stored(hub) / path.name).read_bytes() == path.read_bytes()
    assert puts(hub, second) == [second.stat().st_size]  # sent once, in the first run


@pytest.mark.parametrize("name", ["modelscope", "hf"])
def test_what_was_uploaded_comes_back_byte_for_byte(hub, model, name, tmp_path):
    said = upload(model, "me/book", name, public=True)
    assert "me/book" not in hub.private and "ATTENTION" not in said
    out = tmp_path / "served"
    command = [sys.executable, str(ROOT / "download_model.py"), "me/book", "--out", str(out)]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    environment |= {"MODELSCOPE_ENDPOINT": hub.endpoint, "HF_ENDPOINT": hub.endpoint}
    # The judge's build passes no token, and a public model must come without one.
    hub.token = None
    subprocess.run([*command, "--hub", name], env=environment, check=True)
    records = {r.path: r for r in read_manifest(model).outputs}
    for name in ("config.json", "model.safetensors", "model-2.safetensors"):
        data = (out / name).read_bytes()
        assert data == (model / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == records[name].sha256
    assert read_manifest(out).outputs == read_manifest(model).outputs
    assert not (out / "checkpoints").exists()


@pytest.mark.parametrize("name", ["modelscope", "hf"])
def test_who_cannot_be_built_by_the_judge_is_told_so(hub, model, name):
    said = upload(model, "me/book", name)
    assert f"ARG MODEL_HUB={name}" in said, "the Dockerfile's default is the other hub, for one"
    assert "me/book" in hub.private
    assert "PRIVATE" in said and "no access token" in said and "--public" in said
    again = upload(model, "me/book", name, public=True)
    assert "existed" in again and "as visible as before" in again and "me/book" in hub.private


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, p: p.delenv("MODELSCOPE_API_TOKEN"), "set MODELSCOPE_API_TOKEN"),
        (lambda m, p: (m / "config.json").unlink(), "no config.json"),
        (lambda m, p: [w.unlink() for w in m.glob("*.safetensors")], "safetensors"),
    ],
)
def test_what_cannot_be_uploaded(hub, model, monkeypatch, change, message):
    change(model, monkeypatch)
    with pytest.raises(ModelError, match=message):
        upload(model, "me/book")
    with pytest.raises(ModelError, match="OWNER/NAME"):
        upload(model, "book")


def test_the_card_says_what_was_measured_and_no_more(model):
    card = model_card(model, read_manifest(model))
    assert "**demo**" in card and "dev of `x`: 0.5000" in card and "lora_rank=8" in card
    plain = model_card(model, Manifest(stage="merge", name="n"))
    assert "Nothing was measured" in plain and "demo" not in plain


def test_what_cannot_be_served_is_not_uploaded(hub, model):
    (model / "model-2.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ModelError, match="was not uploaded: model-2.safetensors") as refused:
        upload(model, "me/book")
    assert "\n" not in str(refused.value) and not hub.requests


def test_a_manifest_of_something_else_is_told_in_one_line(hub, model):
    (model / "manifest.json").write_text('{"name": 3}')
    with pytest.raises(ManifestError, match="manifest.json: not a manifest") as refused:
        upload(model, "me/book")
    assert "\n" not in str(refused.value) and not hub.requests
