"""OCR of page pictures with RapidOCR (PP-OCR models inside its wheel, run by onnxruntime)."""

import hashlib
import logging
import math
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from data.cache import Cache
from data.pdf.chars import Char
from data.pdf.layout import Margins, page_lines
from data.pdf.lines import Line, Segment

DPI = 200  # of the page's picture; measured in docs/data.md
MAX_PIXELS = 40_000_000
MIN_SCORE = 0.5  # less sure lines are shapes in pictures
UNSURE = 0.8  # of the page's lines: less, and the page may stand upside down
TURNED = 0.3  # degrees: text that leans more is turned upright and read again
VERSION = "2"


class OcrReader:
    """Reads pages from their pictures; what was read before comes from the cache.

    Raises ModuleNotFoundError when RapidOCR is not installed.
    """

    def __init__(self, cache: Path | None, told: Callable[[int, int], None]) -> None:
        import rapidocr  # noqa: F401 - says at once that it is missing

        self._engine: Any = None
        self._cache = Cache(cache) if cache else None
        self._told = told
        self._margins = Margins()
        self._total = 0

    def lines(self, page: Any, number: int, left: int) -> list[Line]:
        """The lines of page `number`; `left`: pages still to come, this one included."""
        self._total = max(self._total, left)
        self._told(self._total - left, self._total)
        width, height = page.get_size()
        scale = min(DPI / 72, math.sqrt(MAX_PIXELS / max(width * height, 1)))
        picture = page.render(scale=scale, rev_byteorder=True).to_numpy()[:, :, :3]
        digest = hashlib.sha256(picture.tobytes()).hexdigest()
        key = f"ocr/{VERSION}/{digest}"
        boxes = self._cache.get(key) if self._cache else None
        if boxes is None:
            boxes = self._read(picture)
            if self._cache:
                self._cache.put(key, boxes)
        self._told(self._total - left + 1, self._total)
        return box_lines(boxes, scale, number, self._margins)

    def _read(self, picture: Any) -> list[list[Any]]:
        """[text, left, top, right, bottom] of each line in pixels, turned upright."""
        if self._engine is None:
            self._engine = _engine()
        # Its judge of each line by itself turned whole lines of a real scan upside down: the page
        # is judged instead.
        found = self._engine(picture, use_cls=False)
        if _sureness(found) < UNSURE:
            over = self._engine(picture[::-1, ::-1].copy(), use_cls=False)
            if _sureness(over) > _sureness(found):
                picture, found = picture[::-1, ::-1].copy(), over
        angle = _angle(found.boxes)
        if abs(angle) > TURNED:
            picture = _turned(picture, angle)
            found = self._engine(picture, use_cls=False)
        if found.boxes is None:
            return []
        rows = []
        for box, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
            if score < MIN_SCORE or not text.strip():
                continue
            xs, ys = [float(p[0]) for p in box], [float(p[1]) for p in box]
            rows.append([text, min(xs), min(ys), max(xs), max(ys)])
        return rows if _is_text(rows) else []


def _sureness(found: Any) -> float:
    """The median score of the lines that were read, 1 for none."""
    return median(found.scores) if found.boxes is not None and len(found.scores) else 1.0


def _is_text(rows: list[list[Any]]) -> bool:
    """Boxes for missing characters, or a texture, come out as the same sign again and again."""
    text = "".join(str(row[0]) for row in rows).replace(" ", "")
    return len(text) < 60 or len(set(text)) >= 8


def _engine() -> Any:
    import rapidocr

    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return rapidocr.RapidOCR(params={"Global.log_level": "error"})


def _angle(boxes: Any) -> float:
    """How many degrees the lines lean, clockwise; by the median of long lines."""
    if boxes is None:
        return 0.0
    angles = []
    for box in boxes:
        (x0, y0), (x1, y1), (x2, y2) = box[0], box[1], box[2]
        length, height = math.hypot(x1 - x0, y1 - y0), math.hypot(x2 - x1, y2 - y1)
        if length > height * 5:
            angles.append(math.degrees(math.atan2(y1 - y0, x1 - x0)))
    return median(angles) if len(angles) >= 3 else 0.0


def _turned(picture: Any, angle: float) -> Any:
    import cv2

    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    return cv2.warpAffine(picture, matrix, (width, height), borderValue=(255, 255, 255))


def box_lines(boxes: list[list[Any]], scale: float, page: int, margins: Margins) -> list[Line]:
    """Boxes of OCR as lines in reading order, sizes of the same kind made equal."""
    if not boxes:
        return []
    sizes = [(bottom - top) / scale * 0.8 for _, _, top, _, bottom in boxes]
    usual = median(sizes)
    parts = []
    for (text, left, _, right, bottom), size in zip(boxes, sizes, strict=True):
        # A box is as high as its tallest letter: only much larger print is another size.
        size = round(usual, 1) if 0.6 < size / usual < 1.3 else round(size / usual * 2) / 2 * usual
        size = round(size, 1)
        base = (bottom / scale) - size * 0.25
        parts.append(_segment(text, left / scale, right / scale, base, size))
    return page_lines(parts, page, margins)


def _segment(text: str, left: float, right: float, base: float, size: float) -> Segment:
    """A box as a segment whose characters share its width; wide ones take twice as much."""
    shares = [0.5 if c.isascii() else 1.0 for c in text]
    step = (right - left) / max(sum(shares), 0.5)
    chars, x = [], left
    for character, share in zip(text, shares, strict=True):
        if character == " ":
            if chars:
                chars[-1] = chars[-1]._replace(spaced=True)
        else:
            chars.append(
                Char(character, x, x + share * step, base, size, False, False, False, False)
            )
        x += share * step
    return Segment(chars, base, size, left, right)


def read_with_ocr(path: Path, ocr: str = "auto", cache: str = "") -> dict[str, Any]:
    """`read_pdf` for a subprocess: what it returns is JSON, progress is told."""
    from data.limited import tell
    from data.pdf.reader import read_pdf

    return read_pdf(path, ocr, lambda: OcrReader(Path(cache) if cache else None, tell)).to_dict()
