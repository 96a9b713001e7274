"""Files that a Markdown page includes when its book is built, read where they are found.

Snippets of MkDocs, listings of mdBook and VitePress; the others are left for `included` to name.
"""

import re
from pathlib import Path

from common.text_encodings import decode
from data.text import fenced

MAX_BYTES = 500_000
_DEPTH = 3  # snippets within snippets
_ROOTS = ("book.toml", "mkdocs.yml", "_config.yml", "conf.py", "package.json")
_LEVELS = 6  # folders above a page in which its book's root is looked for
# ";--8<--" shows the mark itself.
_SNIPPET = re.compile(r"""(?m)^(?P<pad>[ \t]*)-+8<-+[ \t]+["']([^"'\n]+)["'][ \t]*$""")
# Lines behind a file's name; a line alone is that line to mdBook, and all from it on to MkDocs,
# which also takes several spans.
_LINE = re.compile(r"([0-9]{1,9})")
_SPAN = re.compile(r"([0-9]{0,9}):([0-9]{0,9})(?::[^:]*)?")
_MDBOOK = re.compile(
    r"(?m)^(?P<pad>[ \t]*)\{\{\s*#(?:include|playground|rustdoc_include)\s+(?P<name>[^\s}]+)"
    r"[^}\n]*\}\}|^(?P<pad2>[ \t]*)\{!>?[ \t]*(?P<name2>\S+?)[ \t]*!\}"
    r"|^(?P<pad3>[ \t]*)\{\{<[ \t]*include[ \t]+(?P<name3>\S+)[ \t]*>\}\}"
)
_LISTING = re.compile(
    r"(?m)^[ \t]*(?:\{\*[ \t]*(?P<a>\S+)[^}\n]*\*\}"
    r"|<<<[ \t]+(?P<b>[^\s{#\[]+)(?P<region>#[\w-]+)?[^\n]*)[ \t]*$"
)
_ANCHOR = re.compile(r"ANCHOR(?:_END)?:\s*[\w-]+|--8<--\s*\[(?:start|end)|#(?:end)?region\b")


def with_includes(text: str, page: Path) -> str:
    """The text with the files that it includes, as far as they are found beside it.

    Only files below the root of the page's book are read (the folder above the page's that holds
    its configuration), none of hidden folders.
    """
    if not re.search(r"8<-|\{\{\s*#|\{\{<|\{[*!]|<<<", text):
        return text
    root = root_of(page)
    for _ in range(_DEPTH):
        before = text
        text = _SNIPPET.sub(lambda m: _snippet(m, page, root), text)
        text = _MDBOOK.sub(lambda m: _written(m, page, root), text)
        text = _LISTING.sub(lambda m: _listing(m, page, root), text)
        if text == before:
            break
    return text


def root_of(page: Path) -> Path:
    """The folder that holds a page's whole book: nothing outside it is included."""
    folder = page.resolve().parent
    above_it = folder.parent if folder.parent != Path(folder.anchor) else folder
    return marked_root(page) or above_it


def marked_root(page: Path) -> Path | None:
    """The folder above a page with a repository or the configuration of a book, if any."""
    folder = page.resolve().parent
    above = [folder, *folder.parents][:_LEVELS]
    for each in above:
        if (each / ".git").exists():
            return each
    for each in reversed(above):
        if any((each / name).exists() for name in _ROOTS):
            return each
    return None


def _written(found: re.Match[str], page: Path, root: Path) -> str:
    name = found["name"] or found["name2"] or found["name3"]
    pad = found["pad"] or found["pad2"] or found["pad3"] or ""
    return _part(name, page, root, found.group(), pad)


def _snippet(found: re.Match[str], page: Path, root: Path) -> str:
    path, _, part = found.group(2).partition(":")
    if re.fullmatch(r"[0-9:,]+", part):
        spans = [span if ":" in span else f"{span}:" for span in part.split(",") if span]
        part = ",".join(spans)
    return _part(f"{path}:{part}", page, root, found.group(), found["pad"])


def _listing(found: re.Match[str], page: Path, root: Path) -> str:
    name = (found["a"] or found["b"]).removeprefix("@/")
    region = f":{found['region'][1:]}" if found["region"] else ""
    code = _part(name + region, page, root, "", "")
    return fenced(code, Path(name).suffix[1:]) if code else found.group()


def _part(name: str, page: Path, root: Path, otherwise: str, pad: str) -> str:
    """A file's text, or the lines or the anchor of it that stand behind a colon."""
    path, _, part = name.partition(":")
    content = _content(path, page, root)
    if content is None:
        return otherwise
    lines = content.rstrip("\n").split("\n")
    if part:
        spans = [_spanned(lines, each) for each in part.split(",")]
        known = [each for each in spans if each is not None]
        lines = sum(known, []) if len(known) == len(spans) else _anchored(lines, part)
    kept = [line for line in lines if not _ANCHOR.search(line)]
    return "\n".join(pad + line if line else line for line in kept) if lines else otherwise


def _spanned(lines: list[str], part: str) -> list[str] | None:
    """Lines by their numbers from 1: "4" (that line), "2:5", "2:" or ":5"; None for a name."""
    if found := _LINE.fullmatch(part):
        return lines[max(int(found[1]) - 1, 0) : int(found[1])]
    if found := _SPAN.fullmatch(part):
        return lines[max(int(found[1] or 1) - 1, 0) : int(found[2] or len(lines))]
    return None


def _anchored(lines: list[str], name: str) -> list[str]:
    start = re.compile(rf"ANCHOR:\s*{re.escape(name)}\s*$|\[start:{re.escape(name)}\]|#region")
    end = re.compile(rf"ANCHOR_END:\s*{re.escape(name)}\s*$|\[end:{re.escape(name)}\]|#endregion")
    for place, line in enumerate(lines):
        if start.search(line) and ("region" not in line or name in line):
            after = lines[place + 1 :]
            stop = next((n for n, each in enumerate(after) if end.search(each)), len(after))
            return after[:stop]
    return []


def _content(name: str, page: Path, root: Path) -> str | None:
    if "://" in name or name.startswith(("/", "~")):
        return None
    for base in (
        page.parent,
        page.parent.parent,
        root,
        root / "docs",
        root / "src",
        root / "includes",
    ):
        path = (base / name).resolve()
        inside = path.is_relative_to(root) and not any(
            part.startswith(".") for part in path.relative_to(root).parts
        )
        if inside and path.is_file() and path.stat().st_size <= MAX_BYTES:
            try:
                return decode(path.read_bytes()).replace("\r\n", "\n")
            except ValueError:
                return None
    return None
