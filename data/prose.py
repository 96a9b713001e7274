"""Text files of a folder: prose, or data that lies beside the pages?"""

import re
from collections import Counter
from pathlib import Path

from common.language import either
from common.text_encodings import decode
from data.text import CJK

_BYTES = 1 << 18  # enough to tell
_SENTENCE = re.compile(rf"[，。；：？！、]|[{CJK}]{{15}}|(?:[A-Za-z'’-]+[,.;:]? +){{5}}[A-Za-z]")
_LETTERS = 0.5  # of the characters of prose at least so many are letters
_SENTENCES = 0.1  # of its lines at least so many hold (a part of) a sentence
_COLUMNS = 0.8  # of the lines of a table so many have the same number of tabs


def no_prose(path: Path) -> str:
    """Why a text file is no book, to be told its reader; "" for prose and what is too short."""
    try:
        text = decode(path.read_bytes())
    except OSError:
        return ""  # reading says what is wrong
    except ValueError as error:
        return f"{error}{by_name()}"
    lines = [line.strip() for line in text[:_BYTES].splitlines() if line.strip()]
    signs = "".join("".join(lines).split())
    letters = sum(sign.isalpha() for sign in signs)
    if signs and letters < len(signs) * _LETTERS:
        share = 100 * letters // len(signs)
        why = either(f"字母和汉字只占 {share} %", f"only {share} % letters and Chinese characters")
    elif len(lines) < 5:
        return ""
    elif (found := sum(bool(_SENTENCE.search(line)) for line in lines)) < len(lines) * _SENTENCES:
        why = either(
            f"{len(lines)} 行里只有 {found} 行像句子",
            f"{found} of {len(lines)} lines are sentences",
        )
    elif _tabs(lines) > len(lines) * _COLUMNS:
        why = either("是用制表符分列的表", "it is a table with tabs between its columns")
    else:
        return ""
    return either("像数据，不像正文：", "data rather than prose: ") + why + by_name()


def _tabs(lines: list[str]) -> int:
    """How many lines have the commonest number of tabs; 0 where that is none."""
    count, times = Counter(line.count("\t") for line in lines).most_common(1)[0]
    return times if count else 0


def by_name() -> str:
    """What else to do with a file of a folder that is left out."""
    return either("；要读就单独给出这个文件", "; to read it, name the file itself")
