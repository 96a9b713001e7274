"""Lecture slides (.pptx) → Markdown: a slide's title is a heading, its text stands in the order in
which one reads it, notes behind it. Slides that go on under the same title are one section.
"""

import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from common.archives import DAMAGE, check_archive, refuse_old_office
from common.language import either
from data.losses import TEXT, Loss, Reading
from data.slide_shapes import SlideText, place_of, title_of
from data.text import CJK

# PowerPoint knows shows, templates and files with macros by these; the library takes one of them.
_MAIN = re.compile(
    rb"application/vnd\.(?:ms-powerpoint\.(?:presentation|slideshow|template)\.macroEnabled"
    rb"|openxmlformats-officedocument\.presentationml\.(?:slideshow|template))\.main\+xml"
)
_PLAIN_MAIN = b"application/vnd.openxmlformats-officedocument.presentationml.presentation.main+xml"
# "（续）", "(cont.)", "2/3" behind a title: the slide goes on with the one before it.
_GOES_ON = re.compile(
    r"\s*(?:[（(]\s*(?:续\s*\d?|接上页|cont(?:inued|'d|\.)?|\d{1,2}\s*[/／]\s*\d{1,2})\s*[）)]"
    r"|[\s—–:：-]+续\d?|\s\d{1,2}\s*[/／]\s*\d{1,2}|\s+cont(?:inued|'d|\.))\s*$",
    re.IGNORECASE,
)
# "（2）" is a part's number or, as in "O(1)" and "fork(2)", of the title: see `_names`.
_COUNTED = re.compile(r"\s*[（(]\s*(?:[一二三四五六七八九十]|\d{1,2})\s*[）)]\s*$")
_AGENDA = re.compile(
    r"(?:本[章讲节课次]的?|课程|主要)?(?:内容|提纲|大纲|议程)(?:提要|安排)?|outline|agenda|contents",
    re.IGNORECASE,
)
_RUNNING_FROM = 5  # slides; what stands on more than half of so many is a running line


def read_slides(path: Path) -> Reading:
    """The text of a presentation, and what of it is not in it. Raises ValueError."""
    refuse_old_office(path, ".ppt", ".pptx")
    if not zipfile.is_zipfile(path):
        raise ValueError(either("文件损坏，或不是 .pptx 文件", "it is broken, or not a .pptx file"))
    check_archive(path)
    import pptx

    try:
        return _read(pptx.Presentation(BytesIO(_plain(path))))
    except (*DAMAGE, pptx.exc.PythonPptxError) as error:
        raise ValueError(
            either(f"文件坏了：{str(error)[:200]!r}", f"it is broken: {str(error)[:200]!r}")
        ) from error


def _plain(path: Path) -> bytes:
    """The file as an ordinary presentation."""
    content = path.read_bytes()
    with zipfile.ZipFile(BytesIO(content)) as source:
        types = source.read("[Content_Types].xml")
        plain = _MAIN.sub(_PLAIN_MAIN, types)
        if plain == types:
            return content
        out = BytesIO()
        with zipfile.ZipFile(out, "w") as target:
            for part in source.infolist():
                target.writestr(
                    part, plain if part.filename == "[Content_Types].xml" else source.read(part)
                )
    return out.getvalue()


@dataclass(frozen=True)
class _Slide:
    number: int
    id: int
    layout: str
    title: str
    blocks: list[str]


def _read(presentation: Any) -> Reading:
    size = presentation.slide_width or 1, presentation.slide_height or 1
    losses: list[Loss] = []
    shown: list[_Slide] = []
    for number, slide in enumerate(presentation.slides, 1):
        if slide.element.get("show") in ("0", "false"):
            losses.append(Loss(TEXT, place_of(number), either("隐藏的幻灯片", "a hidden slide")))
            continue
        read = SlideText(slide, number, title_of(slide, size))
        layout = slide.slide_layout.element.get("type", "")
        shown.append(_Slide(number, slide.slide_id, layout, read.title, read.blocks))
        losses += read.losses
    running = _running([slide.blocks for slide in shown])
    for line, count in running.items():
        why = either(f"多数幻灯片上都有的一行“{line}”", f'a line of most slides, "{line}"')
        losses.append(Loss(TEXT, either(f"{count} 张", f"{count} slides"), why))
    pieces: list[str] = []
    starts: list[tuple[int, int]] = []
    length = 0
    for slide, heads in zip(shown, _under_headings(shown, _chapters(presentation)), strict=True):
        blocks = [block for block in slide.blocks if block not in running]
        if blocks and not slide.title and all(block.startswith("![") for block in blocks):
            why = either("只有图片：存为 PDF 再读，用 OCR", "only pictures: save it as PDF for OCR")
            losses.append(Loss(TEXT, place_of(slide.number), why))
        added = "".join(f"{each}\n\n" for each in (*heads, *blocks))
        if added:
            starts.append((length, slide.number))
        pieces.append(added)
        length += len(added)
    return Reading("".join(pieces), losses, len(presentation.slides), 0, starts)


def _under_headings(shown: list[_Slide], chapters: dict[int, str]) -> Iterator[list[str]]:
    """The headings above each slide: the cover's, then the sections that PowerPoint knows or
    slides of a title alone begin, then the slides' own."""
    dividers = any(map(_divides, shown[1:-1]))
    current = ""
    for slide, name in zip(shown, _names([slide.title for slide in shown]), strict=True):
        heads = []
        chapter = chapters.get(slide.id, "")
        if chapter and slide is not shown[0]:
            heads.append(f"## {chapter}")
            current = ""
        if name and name not in (current, chapter):
            level = 3 if chapters or dividers else 2
            level = 1 if slide is shown[0] else 2 if not chapters and _divides(slide) else level
            # Known as what it is: nothing is asked about a list of contents.
            heads.append(f"{'#' * level} {'目录' if _AGENDA.fullmatch(name) else name}")
        current = name or current
        yield heads


def _names(titles: list[str]) -> list[str]:
    """Titles without the signs that a slide goes on. A number in brackets is one behind Chinese,
    or where the title before or after it says the same with another number or none."""
    names = [_GOES_ON.sub("", title) or title for title in titles]
    stems = [_COUNTED.sub("", name) or name for name in names]
    titled = [place for place, name in enumerate(names) if name]
    for number, place in enumerate(titled):
        near = titled[max(number - 1, 0) : number + 2]
        goes_on = any(stems[n] == stems[place] and names[n] != names[place] for n in near)
        if not goes_on and not re.search(f"[{CJK}]$", stems[place]):
            stems[place] = names[place]
    return stems


def _divides(slide: _Slide) -> bool:
    return bool(slide.title) and (slide.layout in ("title", "secHead") or not slide.blocks)


def _chapters(presentation: Any) -> dict[int, str]:
    """By id of its first slide: the sections that the author has named."""
    found = {}
    for section in presentation.element.iter("{*}section"):
        name = (section.get("name") or "").strip()
        ids = [int(each.get("id", 0)) for each in section.iter("{*}sldId")]
        if ids and name and not re.fullmatch(r"(?:默认|无标题|default|untitled).*", name, re.I):
            found[ids[0]] = name
    return found if len(found) > 1 else {}


def _running(slides: list[list[str]]) -> dict[str, int]:
    """Short lines of more than half of the slides, a course's name or a watermark, with how many;
    code may well be said again."""
    if len(slides) < _RUNNING_FROM:
        return {}
    counts = Counter(block for blocks in slides for block in dict.fromkeys(blocks))
    return {
        block: count
        for block, count in counts.items()
        if len(block) < 60 and count > len(slides) / 2 and not block.startswith("```")
    }
