"""Kinds of book files: those that are read, and what to do with those that are not."""

import os
from pathlib import Path

from common.language import either

MARKDOWN = (".md", ".markdown", ".mdx", ".qmd", ".rmd")
PAGES = (".html", ".htm", ".xhtml")
# What pandoc reads (see `markup/`), with its name of the format.
LATEX = (".tex", ".latex")
REST = (".rst", ".rest")
ASCIIDOC = (".adoc", ".asc", ".asciidoc")
MARKUP = {
    **dict.fromkeys(LATEX, "latex"),
    **dict.fromkeys(REST, "rst"),
    **dict.fromkeys(ASCIIDOC, "asciidoc"),
    ".org": "org",
    ".textile": "textile",
    ".typ": "typst",
    ".odt": "odt",
    ".rtf": "rtf",
    ".fb2": "fb2",
    ".docbook": "docbook",
    ".dbk": "docbook",
}
SLIDES = (".pptx", ".ppsx", ".pptm")
SUFFIXES = (".docx", ".pdf", ".epub", *SLIDES, *MARKDOWN, *PAGES, *MARKUP, ".ipynb", ".txt")
_WORD = "soffice --headless --convert-to docx {}"
_UNREAD = {
    **dict.fromkeys((".doc", ".wps", ".docm"), _WORD),
    **dict.fromkeys((".ppt", ".pps", ".dps"), "soffice --headless --convert-to pptx {}"),
    **dict.fromkeys((".mobi", ".azw", ".azw3", ".chm"), "ebook-convert {} book.epub"),
    **dict.fromkeys((".djvu", ".caj"), "PDF"),
}
# Tools and built copies of a book: what stands there is no book, or the same one again.
_SKIPPED = {"node_modules", "_sources", "__pycache__", "site-packages"}


def in_folder(folder: Path, unreadable: list[OSError] | None = None) -> list[Path]:
    """All files below a folder in name order; hidden folders and those of tools left out.

    unreadable: gets the errors of files and folders that may not be looked at.
    """
    found: list[Path] = []
    errors = [] if unreadable is None else unreadable
    for above, folders, names in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if not _is_skipped(name)]
        for name in names:
            path = Path(above, name)
            try:
                if not _is_skipped(name) and path.is_file():
                    found.append(path)
            except OSError as error:
                errors.append(error)
    return sorted(found)


def _is_skipped(name: str) -> bool:
    return name.startswith(".") or name in _SKIPPED


def advice(name: str) -> str:
    """What to do with a file that is not read; "" where nobody would take it for a book."""
    how = _UNREAD.get(Path(name).suffix.lower(), "")
    if not how:
        return ""
    how = how.format(name if " " not in name else f'"{name}"')
    if how == "PDF":
        return either("先转成 PDF", "convert it to PDF first")
    return either(f"先转换：`{how}`", f"convert it first: `{how}`")
