"""Where an encoder or a reranker lies: a directory, or a ModelScope id that is downloaded once."""

import re
from pathlib import Path

from common.language import either

HUB_ID = re.compile(r"[\w-]+/[\w.-]+")
# The same weights for other runtimes, and pictures.
NOT_NEEDED = ["onnx/*", "openvino/*", "*.onnx", "*.png", "*.jpg"]


def model_directory(named: Path) -> Path:
    """The directory that is named, or that of the ModelScope model of this name (OWNER/NAME), which
    ModelScope's own cache keeps. Raises ValueError or OSError."""
    name = named.as_posix()
    if named.exists():
        return named
    if not HUB_ID.fullmatch(name) or named.parent.exists():
        raise ValueError(
            either(
                f"{name}：没有这个目录，也不是魔搭上的模型名（用户名/模型名）",
                f"{name}: no such directory, and no name of a ModelScope model (OWNER/NAME)",
            )
        )
    from modelscope.hub.snapshot_download import snapshot_download
    from modelscope_hub.errors import HubError

    try:
        return Path(snapshot_download(name, ignore_patterns=NOT_NEEDED))
    except (HubError, OSError) as error:
        told = either(f"{name}：没有从魔搭下载成", f"{name}: not downloaded from ModelScope")
        raise OSError(f"{told}: {str(error).splitlines()[0]}") from error
