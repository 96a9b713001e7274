"""The words of a chart in the reader's language, where a font can show them."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from common.language import either

# Files of fonts that have the common Chinese characters, of Linux, Windows and macOS.
_CHINESE = re.compile(
    r"NotoS(?:ans|erif)(?:Mono)?CJK|SourceHan|wqy|DroidSansFallback|u(?:ming|kai)|simhei|simsun"
    r"|msyh|PingFang|STHeiti|Hiragino Sans GB",
    re.IGNORECASE,
)
Words = Callable[[str, str], str]


@contextmanager
def chart_words(text_stays_text: bool = False) -> Iterator[Words]:
    """Gives the function that picks a label from (Chinese, English); draw and save inside.

    `text_stays_text`: an SVG whose text is set by who shows it. A PNG without any Chinese font here
    is labelled in English: boxes instead of characters would say nothing.
    """
    import matplotlib

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    font = either(chinese_font, lambda: None)()
    families = ["DejaVu Sans"] if font is None else ["DejaVu Sans", font]
    with matplotlib.rc_context({"font.family": families}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield either if font or text_stays_text else lambda _, en: en


@cache
def chinese_font() -> str | None:
    """The name of an installed font with Chinese characters, made known to matplotlib; or None."""
    from matplotlib import font_manager

    for path in sorted(font_manager.findSystemFonts()):
        if _CHINESE.search(Path(path).name) and "Bold" not in path:
            try:
                font_manager.fontManager.addfont(path)
                return font_manager.FontProperties(fname=path).get_name()
            except (OSError, RuntimeError):  # a file that is no font after all
                continue
    return None
