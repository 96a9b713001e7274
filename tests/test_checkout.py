"""The repository in another's checkout: line ends stay as they are committed."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT


def git(*command: str | Path) -> str:
    done = subprocess.run(["git", *map(str, command)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree's files, committed and cloned as Git for Windows would by default."""
    source, target = (tmp_path_factory.mktemp("git") / name for name in ("source", "checkout"))
    source.mkdir()
    kept = git("-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    for name in filter(None, kept.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    git("init", "-q", source)
    git("-C", source, "add", "-A")
    git("-C", source, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t")
    git("-c", "core.autocrlf=true", "clone", "-q", source, target)
    return target


def test_scripts_run_in_a_checkout_with_autocrlf(checkout: Path) -> None:
    done = subprocess.run(["bash", "run.sh", "--help"], cwd=checkout, capture_output=True)
    assert done.returncode == 0, done.stderr
    for script in checkout.rglob("*.sh"):
        checked = subprocess.run(["bash", "-n", script], capture_output=True)
        assert checked.returncode == 0, (script, checked.stderr)


def test_every_file_has_the_same_bytes_in_a_checkout_with_autocrlf(checkout: Path) -> None:
    files = [path for path in checkout.rglob("*") if path.is_file() and ".git" not in path.parts]
    assert len(files) > 200
    changed = [
        path.relative_to(checkout)
        for path in files
        if path.read_bytes() != (ROOT / path.relative_to(checkout)).read_bytes()
    ]
    assert not changed
