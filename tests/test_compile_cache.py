"""COMPILE_CACHE_DIR: what one start compiles, the next one finds."""

import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from serving.engine.compile_cache import FOLDERS, use_compile_cache
from tests.conftest import running_service


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in FOLDERS:
        monkeypatch.setenv(name, "")  # so that monkeypatch puts back what the test sets
        monkeypatch.delenv(name)


def test_both_compilers_keep_theirs_in_it(tmp_path: Path) -> None:
    assert use_compile_cache(tmp_path / "new") == tmp_path / "new"
    assert os.environ["VLLM_CACHE_ROOT"] == str(tmp_path / "new/vllm")
    assert os.environ["TRITON_CACHE_DIR"] == str(tmp_path / "new/triton")


def test_it_wins_over_the_image_s_own_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", "/elsewhere")
    use_compile_cache(tmp_path)
    assert os.environ["TRITON_CACHE_DIR"] == str(tmp_path / "triton")


def test_an_archive_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "made/vllm").mkdir(parents=True)
    (tmp_path / "made/vllm/graph").write_text("compiled")
    archive = shutil.make_archive(str(tmp_path / "compile_cache"), "tar", tmp_path / "made")
    used = use_compile_cache(Path(archive))
    assert used is not None
    assert (used / "vllm/graph").read_text() == "compiled"
    assert os.environ["VLLM_CACHE_ROOT"] == str(used / "vllm")


@pytest.mark.parametrize(("kind", "kept"), [("tar", None), ("tar", 4), ("gztar", 2000)])
def test_a_bad_one_is_named_in_the_log_and_costs_only_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str, kept: int | None
) -> None:
    """Missing, no archive, or cut off (of a .tar the whole files before the cut are kept)."""
    (tmp_path / "made").mkdir()
    (tmp_path / "made/graph").write_bytes(os.urandom(5000))
    archive = Path(shutil.make_archive(str(tmp_path / "cache"), kind, tmp_path / "made"))
    content = archive.read_bytes()
    archive.unlink()
    if kept:
        archive.write_bytes(content[:kept])
    assert use_compile_cache(archive) is None
    assert f"COMPILE_CACHE_DIR={archive} cannot be used" in caplog.text
    assert not set(FOLDERS) & set(os.environ)


def test_a_read_only_one_is_copied_and_the_copy_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm/graph").write_text("compiled")
    (tmp_path / "vllm/graph").chmod(stat.S_IRUSR)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    copy = use_compile_cache(tmp_path)
    assert copy is not None and copy != tmp_path
    assert (copy / "vllm/graph").read_text() == "compiled"
    (copy / "vllm/graph").write_text("compiled again")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.vllm
def test_the_second_start_compiles_less(tmp_path: Path, untrained_model: Path) -> None:
    """The real compiler, on a processor: about two minutes."""
    seconds = []
    for _ in range(2):
        began = time.monotonic()
        with running_service(
            tmp_path,
            MODEL_DIR=str(untrained_model),
            ENFORCE_EAGER="0",
            HEALTH_BUDGET_S="600",
            COMPILE_CACHE_DIR=str(tmp_path / "cache"),
        ) as service:
            service.wait_until_ready(600)
            seconds.append(time.monotonic() - began)
            assert service.client.get("/info").json()["startup"]["mode"] == "tuned"
    assert any((tmp_path / "cache/vllm").rglob("*"))
    assert seconds[1] < 0.7 * seconds[0]
