"""Fixtures that several test files share: tiny models, and the real service as a process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import hypothesis
import pytest

from common.ports import free_port
from common.service_process import ServiceProcess, running

ROOT = Path(__file__).parents[1]

# Helpers that assert, too, say what was unequal.
pytest.register_assert_rewrite(
    "tests.adapters", "tests.data_commands", "tests.preflight_repository", "tests.reports_made"
)

# With more threads than idle cores, every barrier of a tiny model's kernels waits for a time slice.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A settings file of the person who runs the tests must not change what they see.
os.environ.setdefault("SETTINGS_FILE", "")

# Tests read the English messages, but for those that ask for Chinese.
os.environ.setdefault("KIT_LANGUAGE", "en")

# The same inputs in every run, so that a failure is of the change at hand. HYPOTHESIS=search looks
# for new ones; what it finds becomes an @example.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.register_profile("search", print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS", "same"))


@pytest.fixture
def bm25s_installed() -> None:
    """Skips where it is not; without importing it, since its numba keeps vLLM's CPU build from
    starting in the same process."""
    if find_spec("bm25s") is None:
        pytest.skip("bm25s is not installed")


# Short facts that a toy learns by heart in seconds; nothing of any test set.
TINY_PAIRS = {
    "白鹭桥有多长？": "白鹭桥长 120 米。",
    "青石塔建于哪一年？": "青石塔建于 1837 年。",
    "北港灯塔用什么信号？": "北港灯塔用 LED 信号，每 8 秒闪 2 次。",
    "云溪水库的代号是什么？": "云溪水库的代号是 YX-7。",
    "松林站有几条线路？": "松林站有 3 条线路：A、B 和 C。",
    "银杏路的限速是多少？": "银杏路的限速是 40 km/h。",
}


# The demo's own code with a smaller model: what it learns here fits, and tests wait for it.
SMALLER = (
    "import train.demo.command, train.demo.training as demo, typer; "
    "demo.HIDDEN, demo.LAYERS, demo.INTERMEDIATE = 128, 2, 256; "
    "demo.BATCH = 6; typer.run(train.demo.command.main)"
)


def make_model(directory: Path, *options: str) -> Path:
    """A demo model of the tiny pairs, in the demo's files and prompts."""
    pairs = directory / "pairs.jsonl"
    rows = [{"id": q, "question": q, "answer": a} for q, a in TINY_PAIRS.items()]
    pairs.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    command = [sys.executable, "-c", SMALLER, "--pairs", str(pairs), *options]
    subprocess.run([*command, "--out", str(directory / "model")], cwd=ROOT, check=True)
    return directory / "model"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows TINY_PAIRS; REUSE_TINY_MODEL names one made before (another Python's)."""
    if made := os.environ.get("REUSE_TINY_MODEL"):
        return Path(made)
    folder = tmp_path_factory.mktemp("tiny", numbered=False)
    return make_model(folder, "--steps", "200", "--untrained", str(folder / "untrained"))


@pytest.fixture(scope="session")
def untrained_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights: its answers are noise and rarely end by themselves."""
    if made := os.environ.get("REUSE_UNTRAINED_MODEL"):
        return Path(made)
    beside_the_tiny_one = tmp_path_factory.getbasetemp() / "tiny" / "untrained"
    if beside_the_tiny_one.is_dir():
        return beside_the_tiny_one
    return make_model(tmp_path_factory.mktemp("untrained"), "--steps", "0")


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pairs of the sample book, as `data build` writes them, beside its cache. To be read."""
    from tests.data_commands import SAMPLE, run

    folder = tmp_path_factory.mktemp("built")
    run("build", SAMPLE, "--out", folder / "out", "--cache", folder / "cache")
    return folder / "out"


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained base model in small, for the tests of training. To be read."""
    from tests.finetuning import make_base

    return make_base(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train, dev and calibration rows of tests.finetuning.FACTS. To be read."""
    from tests.finetuning import make_data

    return make_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def plain(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of random weights for `base`. To be read."""
    from tests.adapters import make_adapter

    return make_adapter(base, tmp_path_factory.mktemp("plain"))


class Service:
    """A running `uvicorn serve:app` with a client for it."""

    def __init__(self, started: ServiceProcess):
        self._started = started
        self.process, self.port = started.process, started.port
        self.client = httpx.Client(base_url=started.url, timeout=120)

    def log(self) -> str:
        return self._started.log.read_text("utf-8", errors="replace")

    def wait_until_ready(self, seconds: float = 150) -> None:
        self._started.wait_until_ready(seconds)


@contextmanager
def running_service(
    tmp_path: Path, app: str = "serve:app", log: Path | None = None, **variables: str
) -> Iterator[Service]:
    """Start the service with these environment variables; stop it at the end."""
    port = free_port()
    environment = {**os.environ, "CRASH_DIR": str(tmp_path / "crashes"), **variables}
    with running(
        [sys.executable, "-m", "uvicorn", app, "--port", "{port}"],
        port=port,
        log=log or tmp_path / f"service-{port}.log",
        environment=environment,
        cwd=ROOT,
    ) as started:
        yield Service(started)
