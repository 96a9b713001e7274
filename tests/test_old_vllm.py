"""The service on the vLLM of the judge's image, 0.10.0, in an environment of its own.

    OLD_VLLM_PYTHON=/path/to/venv/bin/python bash test.sh -m old_vllm

That environment needs vLLM 0.10.0 (its CPU build will do), and of this kit: pydantic-settings,
httpx, pytest, pytest-timeout, hypothesis. OLD_VLLM_PRELOAD names a library to load first, if its
build of vLLM needs one.
"""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PYTHON = os.environ.get("OLD_VLLM_PYTHON")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.old_vllm,
    pytest.mark.skipif(not PYTHON, reason="OLD_VLLM_PYTHON is not set"),
]


@pytest.mark.timeout(1200)
def test_engine_and_contract_hold_on_the_judges_version(
    tiny_model: Path, untrained_model: Path
) -> None:
    """The same test files, run by the other Python on models made by this one."""
    environment = {
        **os.environ,
        "LD_PRELOAD": os.environ.get("OLD_VLLM_PRELOAD", ""),
        "REUSE_TINY_MODEL": str(tiny_model),
        "REUSE_UNTRAINED_MODEL": str(untrained_model),
    }
    version = subprocess.run(
        [PYTHON, "-c", "import vllm; print(vllm.__version__)"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert version.stdout.split()[-1].startswith("0.10.0"), version.stdout + version.stderr
    files = [
        f"tests/test_{name}.py"
        for name in (
            *("vllm_engine", "vllm_engines_apart", "engine_arguments", "recovery", "repetition"),
            *("several_engines", "service", "startup", "faults", "warmup"),
        )
    ]
    done = subprocess.run(
        [PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files], cwd=ROOT, env=environment
    )
    assert done.returncode == 0
