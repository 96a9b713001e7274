"""The compile caches of vLLM and Triton, reused from an earlier start (COMPILE_CACHE_DIR).

A fresh container has compiled nothing, and compiling is most of its start-up. vLLM looks its cache
up by its own version, the device, the settings that shape the graph, and MODEL_DIR as it was
written; where one differs it compiles again. No answer depends on the cache. It holds programs: use
only your own.
"""

import logging
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

log = logging.getLogger(__name__)

# What unpacking raises for a file that is missing, cut off, or no archive.
BAD_ARCHIVE = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
# Environment variable of each compiler, and its folder. Inductor's cache lies in vLLM's.
FOLDERS = {"VLLM_CACHE_ROOT": "vllm", "TRITON_CACHE_DIR": "triton"}


def use_compile_cache(place: Path) -> Path | None:
    """Point vLLM and Triton at `place`; call it before either is imported. Returns the folder in
    use.

    place: a directory, created when it is missing; or an archive of one (.tar, .tar.gz, .zip). An
    archive, or a directory that is not writable, is copied first: both compilers also write there.
    One that cannot be used is logged as an error and None is returned: everything is compiled then.
    """
    try:
        place = _writable(place)
    except BAD_ARCHIVE as error:
        log.error("COMPILE_CACHE_DIR=%s cannot be used, everything is compiled: %s", place, error)
        return None
    for variable, folder in FOLDERS.items():
        os.environ[variable] = str((place / folder).absolute())
    return place


def _writable(place: Path) -> Path:
    archive = bool(place.suffix) and not place.is_dir()
    if archive or (place.is_dir() and not os.access(place, os.W_OK)):
        copy = Path(tempfile.mkdtemp(prefix="compile-cache-"))
        if archive:
            shutil.unpack_archive(place, copy)
        else:
            shutil.copytree(place, copy, dirs_exist_ok=True)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)
        log.info("compile cache: a copy of %s is used", place)
        place = copy
    place.mkdir(parents=True, exist_ok=True)
    return place
