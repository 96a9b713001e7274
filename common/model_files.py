"""What the files of a model directory weigh."""

from collections.abc import Mapping
from pathlib import Path

# In the order in which engines prefer them: a directory often holds one model in two formats.
WEIGHTS = (".safetensors", ".bin", ".pt", ".gguf")


def file_sizes(directory: Path) -> dict[str, int]:
    """Bytes of each file, by its path relative to the directory."""
    return {
        path.relative_to(directory).as_posix(): path.stat().st_size
        for path in directory.rglob("*")
        if path.is_file()
    }


def weight_bytes(sizes: Mapping[str, int]) -> int:
    """Bytes of the weights among files, of one format only; 0: there are none."""
    for suffix in WEIGHTS:
        found = [size for path, size in sizes.items() if path.endswith(suffix)]
        if found:
            return sum(found)
    return 0
