"""Code in Word files that no style names: in a fixed-width face, or known by how it is written.

Works on mammoth's document elements, which `mammoth.convert_to_html` gives to `transform_document`.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

from data.code_lines import FIXED, listing, possible

INDENT = "    "  # of one level, which is the least step between the left edges of a listing
_STEP, _DEEPEST = 100, 10  # twips that tell two edges apart; levels
_NO_CODE = re.compile(r"(?i)heading|title|toc|caption|标题|目录|题注")  # styles
_FENCE = re.compile(r"\s*(`{3,}|~{3,})[\w+-]*\s*$")
_TITLE = re.compile(r"(?i)\s*(?:\d+(?:\.\d+)+|(?:listing|figure|table|code)\s*\d)")


class CodeStyle:
    """Gives the paragraphs of a document that are code the first of the styles for code, and opens
    boxes: tables of a single cell."""

    def __init__(self, styles: Sequence[str]) -> None:
        self._styles = styles
        self._faces_tell = True

    def __call__(self, document: Any) -> Any:
        """The document, for mammoth's `transform_document`."""
        prose = [each for each in _paragraphs(document) if not _may_be_code(each)]
        fixed = [_is_fixed(each) for each in prose if re.search("[A-Za-z]", _text(each))]
        # Where the Latin words of sentences are set so, too, the face tells nothing.
        self._faces_tell = sum(fixed) * 4 < len(fixed) or not fixed
        return self._transformed(document)

    def _transformed(self, element: Any) -> Any:
        children = getattr(element, "children", None)
        if children is None or _is(element, "Paragraph"):
            return element
        opened = [part for child in children for part in _opened(self._transformed(child))]
        return element.copy(children=list(self._marked(opened)))

    def _marked(self, elements: Sequence[Any]) -> Iterator[Any]:
        start = 0
        while start < len(elements):
            known = getattr(elements[start], "style_name", None) in self._styles
            if end := 0 if known else _fence_end(elements, start):  # pasted from a chat
                yield self._joined(elements[start + 1 : end])
                start = end + 1
                continue
            end = start
            while end < len(elements) and _may_be_code(elements[end]):
                end += 1
            run = elements[start:end]
            code = self._code(run)
            for is_code, group in groupby(range(len(run)), code.__contains__):
                these = [run[number] for number in group]
                yield from [self._joined(these)] if is_code else these
            if end == start:
                yield elements[end]
            start = max(end, start + 1)

    def _code(self, run: Sequence[Any]) -> set[int]:
        """Numbers of the paragraphs of a run that are code."""
        owners = [(n, line) for n, each in enumerate(run) for line in _text(each).split("\n")]
        found = {owners[index][0] for index in listing([line for _, line in owners])}
        if self._faces_tell:
            found |= {
                number for number, each in enumerate(run) if _is_fixed(each) and not _is_title(each)
            }
        # Empty paragraphs between two of code are empty lines of it.
        blank = {number for number, each in enumerate(run) if not _text(each).strip()}
        return found | {n for n in blank if n - 1 in found and {n + 1, n + 2} & found}

    def _joined(self, paragraphs: Sequence[Any]) -> Any:
        """Paragraphs as one in the style, indentation as blanks; mammoth drops empty ones."""
        from mammoth import documents

        levels = sorted({_left(each) for each in paragraphs if _text(each).strip()})
        step = min((b - a for a, b in pairwise(levels) if b - a >= _STEP), default=_STEP)
        lines = []
        for each in paragraphs:
            level = round((_left(each) - levels[0]) / step)
            blanks = INDENT * min(max(level, 0), _DEEPEST)
            lines += [(blanks + line).rstrip() for line in _text(each).split("\n")]
        children = [documents.run([documents.text("\n".join(lines))])]
        return paragraphs[0].copy(style_id=None, style_name=self._styles[0], children=children)


def _is(element: Any, name: str) -> bool:
    return type(element).__name__ == name


def _paragraphs(element: Any) -> Iterator[Any]:
    if _is(element, "Paragraph"):
        yield element
    else:
        for child in getattr(element, "children", ()):
            yield from _paragraphs(child)


def _opened(element: Any) -> Sequence[Any]:
    if not _is(element, "Table") or len(element.children) != 1:
        return [element]
    cells = element.children[0].children
    return cells[0].children if len(cells) == 1 else [element]


def _fence_end(elements: Sequence[Any], start: int) -> int:
    """Where the fence ends that begins at a paragraph; 0 for none, or one around no text."""
    mark = _FENCE.match(_text(elements[start])) if _is(elements[start], "Paragraph") else None
    for number in range(start + 1, len(elements) if mark else 0):
        each = elements[number]
        if not _is(each, "Paragraph") or not _is_plain(each):
            return 0
        if _text(each).strip() == mark[1]:
            said = any(_text(one).strip() for one in elements[start + 1 : number])
            return number if said else 0
    return 0


def _may_be_code(element: Any) -> bool:
    """A paragraph of nothing but text, no heading and no item of a list, without a sentence."""
    if not _is(element, "Paragraph") or element.numbering or not _is_plain(element):
        return False
    if _NO_CODE.search(element.style_name or "") or _FENCE.match(_text(element)):
        return False
    return all(map(possible, _text(element).split("\n")))


def _is_plain(element: Any) -> bool:
    if type(element).__name__ in ("Text", "Tab", "Break", "Bookmark", "CommentReference"):
        return True
    held = type(element).__name__ in ("Paragraph", "Run", "Hyperlink")
    return held and all(map(_is_plain, element.children))


def _text(element: Any) -> str:
    """What an element says, its breaks as line ends and its tabs as four blanks."""
    if _is(element, "Text"):
        return element.value.replace("\xa0", " ")
    if _is(element, "Tab"):
        return "    "
    if _is(element, "Break"):
        return "\n"
    return "".join(map(_text, getattr(element, "children", ())))


def _is_fixed(element: Any) -> bool:
    """Have all runs of a paragraph a face of fixed width, Chinese aside, which has none?"""
    runs = [part for part in element.children if _is(part, "Run")]
    said = [run for run in runs if re.search(r"[!-~]", _text(run))]
    return bool(said) and all(run.font and FIXED.search(run.font) for run in said)


def _is_title(element: Any) -> bool:
    """Is a line in a fixed face one that names what stands below it?"""
    runs = [part for part in element.children if _is(part, "Run") and _text(part).strip()]
    return bool(_TITLE.match(_text(element))) or all(run.is_bold for run in runs)


def _left(element: Any) -> int:
    """Where a paragraph's first line begins, in twips."""
    indent = element.indent
    start, first, hanging = (
        int(each) if re.fullmatch(r"-?\d+", str(each)) else 0
        for each in (indent.start, indent.first_line, indent.hanging)
    )
    return start + first - hanging
