"""The header of a safetensors file: which tensors it holds, and whether all of it is there.

Ships in the image beside model_files.py. Python's standard library alone.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

LFS_MAGIC = b"version https://git-lfs.github.com/spec/"
BITS = {"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "I16": 16, "U16": 16}
BITS |= {"F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64}
# What reading JSON of another form than expected can raise (Infinity overflows an int).
WRONG_SHAPE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
LONGEST_HEADER = 100_000_000  # as in the safetensors library
NAMED = 4  # how many names a message gives before it only counts


class ModelFileError(ValueError):
    """A file that is not what its name says; the message names it and what to do."""


@dataclass(frozen=True)
class Tensor:
    """One entry of a safetensors header; start and end are byte offsets in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, by name, without their data.

    Raises ModelFileError for a file that is cut off, a Git LFS pointer or something else.
    Format: https://github.com/huggingface/safetensors#format
    """
    refuse_pointer(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            head = stream.read(9)
            length = int.from_bytes(head[:8], "little")
            if size == 0:
                raise ModelFileError(f"{path.name} is empty; fetch it again")
            if head[8:] != b"{" or length > LONGEST_HEADER:
                raise ModelFileError(f"{path.name} is no safetensors file: it begins with {head!r}")
            if 8 + length > size:
                raise ModelFileError(f"{path.name} is cut off after {size:,} bytes; fetch it again")
            text = b"{" + stream.read(length - 1)
    except OSError as error:
        raise ModelFileError(f"{path.name} cannot be read: {error.strerror or error}") from error
    try:
        entries = json.loads(text)
        entries.pop("__metadata__", None)
        tensors = {
            name: Tensor(
                entry["dtype"],
                tuple(map(int, entry["shape"])),
                *(8 + length + int(offset) for offset in entry["data_offsets"]),
            )
            for name, entry in entries.items()
        }
    except WRONG_SHAPE as error:
        raise ModelFileError(f"{path.name} is no safetensors file: {error!r}") from error
    _check_extent(path.name, tensors, 8 + length, size)
    return tensors


def _check_extent(name: str, tensors: Mapping[str, Tensor], start: int, size: int) -> None:
    """Raise ModelFileError unless the tensors fill the file from `start` to its end."""
    at = start
    for key, tensor in sorted(tensors.items(), key=lambda item: item[1].start):
        bits = BITS.get(tensor.dtype)
        fits = bits is None or prod(tensor.shape) * bits == (tensor.end - tensor.start) * 8
        if tensor.start != at or not fits:
            raise ModelFileError(f"{name}: its header is damaged at {key}; fetch it again")
        at = tensor.end
    if at > size:
        raise ModelFileError(f"{name} is cut off: {size:,} of {at:,} bytes; fetch it again")
    if at < size:
        raise ModelFileError(f"{name} has {size - at:,} bytes too many; fetch it again")


def refuse_pointer(path: Path) -> None:
    """Raise ModelFileError for a Git LFS pointer, and for a file that cannot be read."""
    try:
        with path.open("rb") as stream:
            start = stream.read(200)
    except OSError as error:
        raise ModelFileError(f"{path.name} cannot be read: {error.strerror or error}") from error
    if start.startswith(LFS_MAGIC):
        size = re.search(rb"size (\d+)", start)
        told = f" (the file has {int(size[1]):,} bytes)" if size else ""
        raise ModelFileError(
            f"{path.name} is a Git LFS pointer, not the file{told}: run `git lfs pull` where it "
            "was cloned, or download the model with the hub's own tool"
        )


def some_of(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return " ".join(", ".join(names[:NAMED]).split()) + more  # a name may hold line feeds
