"""What vLLM and Triton compile at a start, kept for the next one (COMPILE_CACHE_DIR).

A fresh container has compiled nothing; a directory made by an earlier start on the same kind of
device spares it that. vLLM finds its part by a key of its own version, the device, the settings
that shape the graph, and MODEL_DIR as it was written: another of these compiles again, and no
answer depends on it. The directory holds programs: take it from nobody but yourself.
"""

import logging
import os
import shutil
import tempfile
from pathlib import Path

log = logging.getLogger("answering.compile_cache")

# Who reads which variable, and the folder for it; Inductor's goes where vLLM puts it.
FOLDERS = {"VLLM_CACHE_ROOT": "vllm", "TRITON_CACHE_DIR": "triton"}


def use_compile_cache(directory: Path) -> Path:
    """Point vLLM and Triton at `directory`; call it before either is imported. Returns the folder
    in use: a copy when `directory` cannot be written, since both also write where they read.

    A variable that is set already stays. Raises OSError when there is no room for the copy.
    """
    if directory.is_dir() and not os.access(directory, os.W_OK):
        copy = Path(tempfile.mkdtemp(prefix="compile-cache-"))
        shutil.copytree(directory, copy, dirs_exist_ok=True)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
        log.info("compile cache: %s is read-only, a copy is used", directory)
        directory = copy
    directory.mkdir(parents=True, exist_ok=True)
    for variable, folder in FOLDERS.items():
        os.environ.setdefault(variable, str((directory / folder).absolute()))
    return directory
