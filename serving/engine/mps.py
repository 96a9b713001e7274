"""NVIDIA's multi-process service: kernels of several processes run on one GPU at the same time.

Without it the GPU takes turns between processes. Its control daemon belongs to this service alone:
it has a folder of its own, and ends with it.
"""

import contextlib
import logging
import os
import shutil
import subprocess
import tempfile

log = logging.getLogger(__name__)

CONTROL = "nvidia-cuda-mps-control"
LIMIT_S = 10.0


class MultiProcessService:
    """The daemon, started before the engines' processes, which find it by their environment."""

    def __init__(self) -> None:
        self._folder: str | None = None

    def start(self) -> bool:
        """Start the daemon. False, and an error in the log, where it is not there or refuses."""
        if shutil.which(CONTROL) is None:
            log.error("CUDA_MPS=1: there is no %s here; the engines take turns on the GPU", CONTROL)
            return False
        folder = tempfile.mkdtemp(prefix="mps-")
        variables = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        try:
            subprocess.run(
                [CONTROL, "-d"], env={**os.environ, **variables}, timeout=LIMIT_S, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            log.error("CUDA_MPS=1: %s; the engines take turns on the GPU", error)
            shutil.rmtree(folder, ignore_errors=True)
            return False
        os.environ.update(variables)
        self._folder = folder
        return True

    def stop(self) -> None:
        """End the daemon, if it runs."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run([CONTROL], input="quit\n", text=True, timeout=LIMIT_S, check=False)
        for name in ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"):
            os.environ.pop(name, None)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None
