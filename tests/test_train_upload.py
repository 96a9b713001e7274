"""Upload through the real SDK to a loopback hub, and what it says when the hub refuses."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("modelscope_hub")
sys.path.insert(0, str(Path(__file__).parent))

from hub_standin import HubStandin  # noqa: E402

from answering.manifest import Manifest, read_manifest, write_manifest  # noqa: E402
from train.base import ModelError  # noqa: E402
from train.upload import model_card, upload  # noqa: E402

TOKEN = "ms-0123-secret"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", TOKEN)
    with HubStandin(tmp_path / "hub", token=TOKEN) as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def model(tmp_path) -> Path:
    folder = tmp_path / "merged"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["Qwen3ForCausalLM"]}')
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 4096)
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


def test_a_refused_token_is_told_and_never_shown(hub, model, monkeypatch, capfd):
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", "wrong-secret")
    with pytest.raises(ModelError) as error:
        upload(model, "me/book")
    printed = "".join(capfd.readouterr()) + str(error.value)
    assert "MODELSCOPE_API_TOKEN" in printed and "wrong-secret" not in printed


def test_a_busy_hub_is_asked_again(hub, model):
    hub.fail("/api/v1/repos/*", "status", status=429, retry_after=0.1)
    upload(model, "me/book")
    assert (stored(hub) / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, p: p.delenv("MODELSCOPE_API_TOKEN"), "set MODELSCOPE_API_TOKEN"),
        (lambda m, p: (m / "config.json").unlink(), "no config.json"),
        (lambda m, p: (m / "model.safetensors").unlink(), "safetensors"),
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
