"""What vLLM and Triton compile at a start, kept for the next one (COMPILE_CACHE_DIR).

A fresh container has compiled nothing; what an earlier start on the same kind of device left
spares it that. vLLM finds its part by a key of its own version, the device, the settings that shape
the graph, and MODEL_DIR as it was written: another of these compiles again, and no answer depends
on it. It holds programs: take it from nobody but yourself.
"""

import logging
import os
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

log = logging.getLogger("serving.engine.compile_cache")

# What unpacking raises for a file that is missing, cut off, or no archive.
BAD_ARCHIVE = (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
# Who reads which variable, and the folder for it; Inductor's goes where vLLM puts it.
FOLDERS = {"VLLM_CACHE_ROOT": "vllm", "TRITON_CACHE_DIR": "triton"}


def use_compile_cache(place: Path) -> Path | None:
    """Point vLLM and Triton at `place`; call it before either is imported. Returns the folder in
    use.

    place: a directory, made when it is missing; or an archive of one (.tar, .tar.gz, .zip). Of an
    archive, and of a directory that cannot be written, a copy is used: both compilers also write
    where they read. One that cannot be used is logged as an error and None comes back: the start
    is a cold one then, and every answer the same.
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
