"""Office files and e-books are zip archives that strangers made: what is looked at before opening.

Python reads of each part at most what the archive's directory says, so the directory bounds time
and memory. The limits are far above any real book.
"""

import re
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from common.language import either

try:
    from lzma import LZMAError
except ModuleNotFoundError:  # a Python that was built without it; zipfile says so by RuntimeError
    LZMAError = zlib.error

MAX_PARTS = 20_000
MAX_PART_BYTES = 128 << 20
MAX_TEXT_BYTES = 64 << 20  # of one XML or HTML part: parsing takes many times that in memory
MAX_BYTES = 1 << 30
MAX_RATIO = 200  # unpacked to packed; XML that a word processor wrote stays below 50
RATIO_FROM_BYTES = 8 << 20  # small parts may be as repetitive as they like

# What zipfile raises for a damaged part; for a way of packing that it does not know, RuntimeError
# and NotImplementedError, which is one. bz2 says OSError.
UNPACKING = (
    *(zipfile.BadZipFile, zlib.error, LZMAError, struct.error),
    *(OSError, EOFError, RuntimeError),
)
# A damaged file shows itself anywhere between the zip directory and the last XML node.
DAMAGE = (*(*UNPACKING, KeyError, IndexError, ValueError, AttributeError, TypeError, SyntaxError),)
OLD_OFFICE = bytes.fromhex("d0cf11e0a1b11ae1")  # begins an old .doc, or an encrypted .docx

_TEXT_SUFFIXES = (".xml", ".rels", ".xhtml", ".html", ".htm", ".opf", ".ncx")
# In a declaration of its own an XML file can name itself a billion times over.
_ENTITY = re.compile(rb"<!ENTITY", re.IGNORECASE)
_LOOK_BYTES = 1 << 16


def refuse_old_office(path: Path, old: str, new: str) -> None:
    """Raises ValueError for a file of Office before 2007, or one with a password."""
    with path.open("rb") as stream:
        if stream.read(len(OLD_OFFICE)) == OLD_OFFICE:
            raise ValueError(
                either(
                    f"文件加了密，或是旧的 {old}：请另存为不带密码的 {new}",
                    f"it is encrypted or an old {old}: save it as {new} without a password",
                )
            )


def check_archive(path: Path) -> None:
    """Raises ValueError, saying what is wrong, for an archive that no book or test set is.

    Refused: bombs, parts beyond the limits, names that leave the archive, symbolic links, XML
    entity declarations, encrypted parts. Raises zipfile.BadZipFile when it is no archive at all
    or a part cannot be unpacked.
    """
    total = 0
    with _opened(path) as archive:
        parts = archive.infolist()
        if len(parts) > MAX_PARTS:
            raise ValueError(
                either(
                    f"里面有 {len(parts)} 个文件，超过 {MAX_PARTS} 个",
                    f"it has {len(parts)} parts, more than {MAX_PARTS}",
                )
            )
        for part in parts:
            total += part.file_size
            _check_part(part)
            if total > MAX_BYTES:
                raise ValueError(
                    either(
                        f"解开后超过 {MAX_BYTES >> 20} MB",
                        f"unpacked it is over {MAX_BYTES >> 20} MB",
                    )
                )
        for part in parts:
            if part.filename.lower().endswith(_TEXT_SUFFIXES):
                head = read_part(archive, part, _LOOK_BYTES)
                # Every second byte of UTF-16 is zero where the text is ASCII.
                if _ENTITY.search(head) or _ENTITY.search(head.replace(b"\0", b"")):
                    raise ValueError(
                        either(
                            f"{part.filename!r} 声明了 XML 实体",
                            f"{part.filename!r} declares XML entities",
                        )
                    )


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, struct.error, NotImplementedError) as error:
        raise zipfile.BadZipFile(either(f"文件坏了：{error}", f"it is broken: {error}")) from error


def read_part(archive: zipfile.ZipFile, part: zipfile.ZipInfo, size: int = -1) -> bytes:
    """The first `size` bytes of a part, or all. Raises zipfile.BadZipFile naming a damaged one."""
    try:
        with archive.open(part) as stream:
            return stream.read(size)
    except UNPACKING as error:
        name = part.filename
        raise zipfile.BadZipFile(
            either(f"文件坏了：{name!r}：{error}", f"it is broken: {name!r}: {error}")
        ) from error


def _check_part(part: zipfile.ZipInfo) -> None:
    name = PurePosixPath(part.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(
            either(
                f"文件名 {part.filename!r} 指到压缩包外面",
                f"the name {part.filename!r} leads out of the archive",
            )
        )
    if stat.S_ISLNK(part.external_attr >> 16):
        raise ValueError(
            either(f"{part.filename!r} 是符号链接", f"{part.filename!r} is a symbolic link")
        )
    if part.flag_bits & 1:
        raise ValueError(
            either(
                "加了密：请另存一份不带密码的", "it is encrypted: save a copy without the password"
            )
        )
    text = part.filename.lower().endswith(_TEXT_SUFFIXES)
    limit = MAX_TEXT_BYTES if text else MAX_PART_BYTES
    if part.file_size > limit:
        raise ValueError(
            either(
                f"{part.filename!r} 解开后超过 {limit >> 20} MB",
                f"{part.filename!r} is over {limit >> 20} MB unpacked",
            )
        )
    ratio = part.file_size / max(part.compress_size, 1)
    if part.file_size > RATIO_FROM_BYTES and ratio > MAX_RATIO:
        raise ValueError(
            either(
                f"{part.filename!r} 解开后是原来的 {ratio:.0f} 倍：压缩炸弹",
                f"{part.filename!r} unpacks to {ratio:.0f} times its size: a zip bomb",
            )
        )
