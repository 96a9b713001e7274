"""manifest.json: what is none of this kit's is told in one line, everywhere."""

import asyncio
import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.manifest import ManifestError, read_manifest
from preflight.model import ModelError, from_directory
from serving.settings import Settings
from tests.instant_engine import instant_app, running_app
from tests.model_dirs import write_model


@pytest.mark.parametrize(
    "text",
    ['{"files": []}', "[]", "{", "", "\ufeff{}", '{"stage": "x", "name": "y", "seconds": "z"}'],
)
def test_a_foreign_or_broken_manifest_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, "utf-8")
    with pytest.raises(ManifestError, match="manifest.json: not a manifest of this kit") as told:
        read_manifest(tmp_path)
    assert "\n" not in str(told.value)


def test_bytes_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b'{"stage": "\xff\xfe"}')
    with pytest.raises(ManifestError):
        read_manifest(tmp_path)


def test_the_service_warns_and_serves(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It only tells where the model came from: no reason to lose a submission."""
    (tmp_path / "manifest.json").write_text('{"files": []}')

    async def status() -> int:
        async with running_app(instant_app(Settings(model_dir=tmp_path))) as client:
            return (await client.get("/")).status_code

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(status()) == 200
    (told,) = [r.getMessage() for r in caplog.records if "manifest.json" in r.getMessage()]
    assert "not a manifest of this kit" in told and "\n" not in told


def test_preflight_and_training_name_it(tmp_path: Path) -> None:
    from train.__main__ import app

    model = write_model(tmp_path / "model", vocab_size=8000)
    (model / "manifest.json").write_text("{")
    with pytest.raises(ModelError, match="not a manifest of this kit"):
        from_directory(model)
    command = ["upload", str(model), "me/book"]
    done = CliRunner().invoke(app, command, env={"MODELSCOPE_API_TOKEN": "x"})
    assert done.exit_code == 1 and done.output.startswith("error: ")
    assert "not a manifest of this kit" in done.output and len(done.output.splitlines()) == 1
