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
WORD = (".docx", ".docm", ".dotx", ".dotm")
SLIDES = (".pptx", ".ppsx", ".pptm")
SUFFIXES = (*WORD, ".pdf", ".epub", *SLIDES, *MARKDOWN, *PAGES, *MARKUP, ".ipynb", ".txt")
_CONVERT = {
    **dict.fromkeys((".doc", ".wps", ".wpt"), "soffice --headless --convert-to docx {}"),
    **dict.fromkeys((".ppt", ".pps", ".dps", ".odp"), "soffice --headless --convert-to pptx {}"),
    **dict.fromkeys((".mobi", ".azw", ".azw3", ".chm", ".lit"), "ebook-convert {} book.epub"),
    ".djvu": "ddjvu -format=pdf {} book.pdf",
}
# What has no converter that one could name: (Chinese, English).
_PRINT = {
    **dict.fromkeys(
        (".caj", ".kdh", ".nh"),
        ("用 CAJViewer 打开，打印成 PDF", "open it in CAJViewer and print it to PDF"),
    ),
    **dict.fromkeys(
        (".pdg", ".pdz", ".uvz"),
        ("用超星阅读器打开，打印成 PDF", "open it in the SSReader and print it to PDF"),
    ),
    **dict.fromkeys(
        (".ceb", ".cebx", ".ofd", ".xps", ".oxps", ".pages"),
        ("在阅读它的程序里打印成 PDF", "print it to PDF in the program that shows it"),
    ),
    **dict.fromkeys(
        (".mht", ".mhtml", ".enex", ".one", ".xmind"),
        ("在打开它的程序里另存为 .html", "save it as .html in the program that shows it"),
    ),
}
# Said where such a file is named itself; in a folder they are pictures, data or the like.
_NAMED = {
    **dict.fromkeys(
        (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".heic"),
        (
            "拍照或扫描的页先合成一个 PDF（`img2pdf *.jpg -o book.pdf`），再由 OCR 识别",
            "make photographed or scanned pages one PDF (`img2pdf *.jpg -o book.pdf`) for OCR",
        ),
    ),
    **dict.fromkeys(
        (".zip", ".rar", ".7z", ".gz", ".tgz", ".tar"),
        ("先解开，再给那个文件夹", "unpack it and name the folder"),
    ),
    **dict.fromkeys(
        (".jsonl", ".json", ".csv", ".tsv", ".xlsx", ".xlsm"),
        (
            "现成的问答用 --merge 给（只有它就加 --source none）",
            "give pairs that you have with --merge (with --source none where there is no more)",
        ),
    ),
    **dict.fromkeys(
        (".xls", ".et", ".ods"),
        (
            "现成的问答先转换：`soffice --headless --convert-to xlsx {}`，再用 --merge 给",
            "convert pairs that you have: `soffice --headless --convert-to xlsx {}`, then --merge",
        ),
    ),
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


def advice(name: str, named: bool = False) -> str:
    """What to do with a file that is not read; "" where nobody would take it for a book.

    named: by the user, so that there is also something to say about pictures and data.
    """
    suffix = Path(name).suffix.lower()
    quoted = name if " " not in name else f'"{name}"'
    if command := _CONVERT.get(suffix):
        command = command.format(quoted)
        return either(f"先转换：`{command}`", f"convert it first: `{command}`")
    said = _PRINT.get(suffix) or (_NAMED.get(suffix) if named else None)
    return either(*said).replace("{}", quoted) if said else ""
