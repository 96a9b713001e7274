"""What searching and building an index must not import."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numpy")

ROOT = Path(__file__).parents[1]


def test_numba_stays_out_of_the_service() -> None:
    """vLLM's CPU build does not start beside numba, and the judge's image has no bm25s."""
    code = "import sys, retrieval.search; "
    code += "print({'numba', 'llvmlite', 'bm25s'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


def test_an_index_is_made_without_jax(tmp_path: Path) -> None:
    """JAX would take most of the GPU's memory for itself, beside vLLM in the same process."""
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text("print('jax is loaded')\n")
    (tmp_path / "jax" / "lax.py").write_text("")
    code = (
        "import sys; from pathlib import Path; from retrieval.sparse import write_sparse_index;"
        "write_sparse_index(['线程块'], Path(sys.argv[1])); import jax"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "index")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.count("jax is loaded") == 1  # by the last import, not before
