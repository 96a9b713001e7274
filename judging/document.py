"""One document, three forms: Markdown, one HTML file, and Word, which courses ask for."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PAGE = """<!doctype html><html><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title><style>
body {{ max-width: 58rem; margin: 0 auto; padding: 1rem; font: 1rem/1.6 system-ui, "PingFang SC",
  "Microsoft YaHei", "Noto Sans CJK SC", sans-serif; overflow-wrap: anywhere; }}
table {{ border-collapse: collapse; display: block; overflow-x: auto; margin: .8rem 0; }}
th, td {{ border: 1px solid #ccd5de; padding: .3rem .6rem; vertical-align: top; text-align: left; }}
th, td {{ min-width: 3.6em; }} td {{ white-space: pre-wrap; }}
th {{ background: #f1f4f7; }} img {{ max-width: 100%; }} pre {{ white-space: pre-wrap;
  background: #f5f7f9; padding: .6rem; }} blockquote {{ border-left: 3px solid #ccd5de; margin: 0;
  padding-left: .8rem; color: #5a6878; }}
</style></head><body>
{body}
</body></html>
"""  # noqa: E501


_LIST_MARK = re.compile(r"^(\s*\d*)([-+.)](?=\s))")  # what begins a list at a line's start
_LINE_BREAK = "<br>"  # inside a table's cell, as GitHub reads it


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Plain text. `note`: said aside, in grey."""

    text: str
    note: bool = False


@dataclass(frozen=True)
class Code:
    """Text kept as it is: a command, a recipe."""

    text: str


@dataclass(frozen=True)
class Grid:
    """A table: a header, and rows of as many cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """A PNG and what it shows."""

    png: bytes
    caption: str


Block = Heading | Paragraph | Code | Grid | Picture


@dataclass
class Document:
    """Blocks in order."""

    blocks: list[Block] = field(default_factory=list)

    def add(self, *blocks: Block) -> None:
        """Append."""
        self.blocks += blocks

    @property
    def title(self) -> str:
        """The first heading's text."""
        return next((each.text for each in self.blocks if isinstance(each, Heading)), "")


def write(document: Document, folder: Path, name: str) -> list[Path]:
    """Write NAME.md, NAME.html and NAME.docx into a folder. Raises OSError."""
    from judging.word import to_word

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}{suffix}" for suffix in (".md", ".html", ".docx")]
    pictures = []
    for number, each in enumerate(b for b in document.blocks if isinstance(b, Picture)):
        picture = folder / f"{name}-{number + 1}.png"
        picture.write_bytes(each.png)
        pictures.append(picture.name)
    paths[0].write_text(to_markdown(document, pictures), encoding="utf-8")
    paths[1].write_text(to_html(document), encoding="utf-8")
    to_word(document, paths[2])
    return paths


def to_markdown(document: Document, pictures: Sequence[str]) -> str:
    """Markdown (GFM tables). pictures: an address for each Picture, in order."""
    addresses = iter(pictures)
    parts = []
    for block in document.blocks:
        match block:
            case Heading(level, text):
                parts.append(f"{'#' * level} {_inline(text)}")
            case Paragraph(text, note):
                lines = [_inline(line) for line in text.split("\n")]
                parts.append("\n".join(f"> {line}" if note else f"{line}  " for line in lines))
            case Code(text):
                fence = "`" * max(3, _longest_run(text, "`") + 1)
                parts.append(f"{fence}\n{text}\n{fence}")
            case Grid(header, rows):
                lines = [
                    _row(header),
                    "| " + " | ".join(["---"] * len(header)) + " |",
                    *map(_row, rows),
                ]
                parts.append("\n".join(lines))
            case Picture(_, caption):
                parts.append(f"![{_inline(caption)}]({next(addresses)})")
    return "\n\n".join(parts) + "\n"


def to_html(document: Document) -> str:
    """One HTML file; nothing of a text is read as HTML."""
    import html

    from markdown_it import MarkdownIt

    pictures = [
        "data:image/png;base64," + base64.b64encode(each.png).decode()
        for each in document.blocks
        if isinstance(each, Picture)
    ]
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.validateLink = lambda link: link.startswith("data:image/png;base64,")
    body = reader.render(to_markdown(document, pictures)).replace(
        html.escape(_LINE_BREAK), _LINE_BREAK
    )  # a line break typed in a text becomes one: harmless
    return _PAGE.format(title=html.escape(document.title), body=body)


def _inline(text: str) -> str:
    """Markdown of one line that shows the text as it is."""
    escaped = "".join("\\" + c if c in "\\`*_{}[]<>#|~!&" else c for c in text)
    return _LIST_MARK.sub(r"\1\\\2", escaped)


def _row(cells: Sequence[str]) -> str:
    shown = (_inline(cell).replace("\n", _LINE_BREAK) for cell in cells)
    return "| " + " | ".join(shown) + " |"


def _longest_run(text: str, mark: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == mark else 0
        longest = max(longest, run)
    return longest
