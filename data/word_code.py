"""Code in Word files that no style names: in a fixed-width face, or known by how it is written.

Works on mammoth's document elements, which `mammoth.convert_to_html` gives to `transform_document`.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any

from data.code_lines import listing, possible
from data.pdf.chars import MONO

INDENT = "    "  # of one level, which is the least step between the left edges of a listing
_NO_CODE = re.compile(r"(?i)heading|title|toc|caption|标题|目录|题注")  # styles
_CHOICE = re.compile(r"\s*[（(]?[A-H][).、．）]")  # of a question


class CodeStyle:
    """Gives the paragraphs of a document that are code a style, and opens boxes: tables of a
    single cell."""

    def __init__(self, style: str) -> None:
        self._style = style
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
            end = start
            while end < len(elements) and _may_be_code(elements[end]):
                end += 1
            run = elements[start:end]
            code = self._code(run)
            for is_code, group in groupby(range(len(run)), code.__contains__):
                these = [run[number] for number in group]
                yield from [self._joined(these)] if is_code else these
            yield from elements[end : end + 1]
            start = end + 1

    def _code(self, run: Sequence[Any]) -> set[int]:
        """Numbers of the paragraphs of a run that are code."""
        owners = [(n, line) for n, each in enumerate(run) for line in _text(each).split("\n")]
        found = {owners[index][0] for index in listing([line for _, line in owners])}
        if self._faces_tell:
            found |= {
                number
                for number, each in enumerate(run)
                if _is_fixed(each) and not _CHOICE.match(_text(each))
            }
        # Empty paragraphs between two of code are empty lines of it.
        blank = {number for number, each in enumerate(run) if not _text(each).strip()}
        return found | {n for n in blank if n - 1 in found and {n + 1, n + 2} & found}

    def _joined(self, paragraphs: Sequence[Any]) -> Any:
        """Paragraphs as one in the style, indentation as blanks; mammoth drops empty ones."""
        from mammoth import documents

        levels = sorted({_left(each) for each in paragraphs if _text(each).strip()})
        step = min((b - a for a, b in pairwise(levels)), default=1)
        lines = []
        for each in paragraphs:
            blanks = INDENT * max(round((_left(each) - levels[0]) / step), 0)
            lines += [(blanks + line).rstrip() for line in _text(each).split("\n")]
        children = [documents.run([documents.text("\n".join(lines))])]
        return paragraphs[0].copy(style_id=None, style_name=self._style, children=children)


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


def _may_be_code(element: Any) -> bool:
    """A paragraph of nothing but text, no heading and no item of a list, without a sentence."""
    if not _is(element, "Paragraph") or element.numbering or not _is_plain(element):
        return False
    if _NO_CODE.match(element.style_name or ""):
        return False
    return all(map(possible, _text(element).split("\n")))


def _is_plain(element: Any) -> bool:
    if type(element).__name__ in ("Text", "Tab", "Break", "Bookmark"):
        return getattr(element, "break_type", "line") == "line"
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
    return bool(said) and all(run.font and MONO.search(run.font) for run in said)


def _left(element: Any) -> int:
    given = (element.indent.start, element.indent.first_line)
    return sum(int(each) for each in given if each and re.fullmatch(r"\d+", str(each)))
