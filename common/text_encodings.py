"""Bytes as text, in whatever encoding they were saved; never a guess between two."""

import re
from collections import Counter

from common.language import either

_MARKS = (  # byte order marks, the longer ones first
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xef\xbb\xbf", "utf-8-sig"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
# Files of other kinds under a text's name, by their first bytes.
_OTHER_KINDS = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip (.xlsx, .docx)",
    b"\xd0\xcf\x11\xe0": "Office 97–2003 (.xls, .doc)",
    b"PAR1": "Parquet",
    b"ARROW1\0\0": "Arrow",
    b"%PDF": "PDF",
    b"SQLite format 3\0": "SQLite",
}
_EARLY = 64  # bytes: a Parquet file has a NUL among them, or ends as it begins
# Of the 6,763 characters of GB 2312 the 3,755 of its first level make up about 99 % of Chinese
# text; a text read in the wrong encoding shows others. Likewise Big5's frequent ones.
_LEAST_COMMON = 0.85


def _save() -> str:
    return either(
        "请存为 UTF-8（记事本、WPS、Excel 里选“带 BOM 的 UTF-8”或“CSV UTF-8”）",
        "save it as UTF-8 (in Notepad, WPS or Excel: UTF-8 with BOM, CSV UTF-8)",
    )


def decode(data: bytes) -> str:
    """Text in UTF-8, UTF-16 or UTF-32 (with or without a mark) or GB 18030 (GBK, GB 2312).

    Raises ValueError, saying what to do, for anything else, and where two encodings are possible:
    a text in the wrong one would be nonsense that nobody sees.
    """
    for mark, kind in _OTHER_KINDS.items():
        if data.startswith(mark) and (mark != b"PAR1" or _is_parquet(data)):
            raise ValueError(
                either(
                    f"不是文本，是 {kind} 文件：请解开，或另存为 .jsonl、.csv",
                    f"not text but a {kind} file: unpack it, or save it as .jsonl or .csv",
                )
            )
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strict(data, encoding)
    if b"\0" in data:
        return _wide(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _gb18030(data, error)
    if _could_be_gbk(data, text):
        raise ValueError(
            either(
                f"按 UTF-8 和 GBK 都读得通；{_save()}",
                f"its bytes make sense both as UTF-8 and as GBK; {_save()}",
            )
        )
    return text


def _is_parquet(data: bytes) -> bool:
    """Whether what begins with PAR1 is no text that happens to."""
    return b"\0" in data[:_EARLY] or (len(data) > 8 and data.endswith(b"PAR1"))


def _strict(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            either(
                f"开头是 {encoding.upper()}，第 {error.start} 字节却不是；{_save()}",
                f"it begins as {encoding.upper()}, but byte {error.start} is none of it; {_save()}",
            )
        ) from error


def _wide(data: bytes) -> str:
    """UTF-16 or UTF-32 without a mark: the reading in which most characters are ASCII's."""
    readings = []
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        empty = text.count("\0")  # UTF-32 read as UTF-16 is half of these
        plain = sum(character.isascii() for character in text) - empty
        if plain > 4 * empty:
            readings.append((plain, text))
    readings.sort(reverse=True)
    if not readings or (len(readings) > 1 and readings[0][0] < 2 * readings[1][0]):
        raise ValueError(
            either(
                f"有 NUL 字节又不是 UTF-16：不是文本，或已损坏；{_save()}",
                f"it holds NUL bytes and is no UTF-16: not text, or damaged; {_save()}",
            )
        )
    return readings[0][1]


def _gb18030(data: bytes, error: UnicodeDecodeError) -> str:
    """The text in GB 18030, where it is that beyond doubt."""
    high = sum(byte >= 0x80 for byte in data)
    kept = data.decode("utf-8", "ignore")
    as_utf8 = sum(len(c.encode()) for c in kept if ord(c) >= 0x800)
    if as_utf8 > high / 2:
        raise ValueError(
            either(
                f"不是 UTF-8：第 {error.start} 字节坏了；{_save()}",
                f"not UTF-8: damaged at byte {error.start}; {_save()}",
            )
        )
    try:
        text = data.decode("gb18030")
    except UnicodeDecodeError:
        raise ValueError(
            either(
                f"不是 UTF-8（第 {error.start} 字节），也不是 GBK；{_save()}",
                f"not UTF-8 (byte {error.start}) and not GBK; {_save()}",
            )
        ) from error
    common, other_common = _common_in_gb2312(text), _common_in_big5(data)
    if common < _LEAST_COMMON or other_common > common:
        big5 = other_common > common
        raise ValueError(
            either(
                f"不是 UTF-8（第 {error.start} 字节）；按 GBK 读全是生僻字，所以是"
                f"{' Big5' if big5 else '别的编码'}，或已损坏；{_save()}",
                f"not UTF-8 (byte {error.start}); as GBK it reads as rare characters, so it is "
                f"{'Big5' if big5 else 'another encoding'}, or damaged; {_save()}",
            )
        )
    return text


def _could_be_gbk(data: bytes, text: str) -> bool:
    """Whether a valid UTF-8 text is Chinese in GBK that happens to be valid.

    That needs characters of two bytes only, common Chinese ones as GBK, and that they do not stand
    as accents do in Latin text: two in a row, one of another script (a lone "一" in GBK is a
    Cyrillic letter in UTF-8), or letters of which none has a plain letter beside it.
    """
    if text.isascii() or any(ord(c) >= 0x800 for c in text):
        return False
    accents = [c for c in text if c.isalpha() and not c.isascii()]
    beside = re.search("[A-Za-z][\u00c0-\u03ff]|[\u00c0-\u03ff][A-Za-z]", text)
    if not re.search("[\x80-\u07ff]{2}|[\u0400-\u07ff]", text) and (beside or not accents):
        return False
    try:
        other = data.decode("gb18030")
    except UnicodeDecodeError:
        return False
    return _common_in_gb2312(other) > _LEAST_COMMON


def _common_in_gb2312(text: str) -> float:
    """Share of first-level characters and punctuation of GB 2312 among what is not ASCII."""
    found = [c for c in text if not c.isascii()]
    levels = Counter(_lead(c) for c in found)
    common = sum(n for lead, n in levels.items() if 0xB0 <= lead <= 0xD7 or 0xA1 <= lead <= 0xA3)
    return common / max(1, len(found))


def _lead(character: str) -> int:
    try:
        encoded = character.encode("gb2312")
    except UnicodeEncodeError:
        return 0
    return encoded[0]


def _common_in_big5(data: bytes) -> float:
    """Share of Big5's frequent characters and punctuation; 0 where the bytes are not Big5."""
    try:
        text = data.decode("cp950")
    except UnicodeDecodeError:
        return 0.0
    found = [c.encode("cp950")[0] for c in text if not c.isascii()]
    return sum(0xA1 <= lead <= 0xA3 or 0xA4 <= lead <= 0xC6 for lead in found) / max(1, len(found))
