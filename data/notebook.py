"""Jupyter notebooks → Markdown: text, code, and what the code printed."""

import json
import re
from typing import Any

from common.language import either
from data.losses import FIGURE, TEXT, Loss
from data.text import fenced

LONGEST = 4000  # characters of one output; more is a log, not a book
_HIDDEN = {"remove-cell", "remove_cell", "hide-cell"}
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def notebook_text(text: str) -> tuple[str, list[Loss]]:
    """The Markdown of a notebook (nbformat 3 or 4), and what of its outputs is not in it.

    Raises ValueError for a file that is none; one without cells is a notebook without text.
    """
    try:
        notebook = json.loads(text)
        if "cells" in notebook:
            cells = notebook["cells"]
        else:
            cells = [cell for sheet in notebook["worksheets"] for cell in sheet["cells"]]
        language = _language(notebook.get("metadata", {}))
        pieces: list[str] = []
        losses: list[Loss] = []
        for number, cell in enumerate(cells, 1):
            pieces += _cell(cell, number, language, losses)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            either(f"不是 Jupyter 笔记本（{error!r}）", f"it is no Jupyter notebook ({error!r})")
        ) from error
    return "\n\n".join(pieces) + "\n", losses


def _cell(cell: Any, number: int, language: str, losses: list[Loss]) -> list[str]:
    if _HIDDEN & set(cell.get("metadata", {}).get("tags", [])):
        return []
    source = _joined(cell.get("source", cell.get("input", "")))
    kind = cell["cell_type"]
    if kind == "heading":  # nbformat 3
        return [f"{'#' * cell.get('level', 1)} {source}"]
    if kind != "code":
        return [source] if source.strip() else []
    # "%%html" and the like say which language the rest is in.
    pieces = [fenced(source.rstrip(), language)] if source.strip() else []
    for output in cell.get("outputs", []):
        data = output.get("data", output)
        shown = _joined(data.get("text/plain", output.get("text", "")))
        if output.get("output_type") == "error":
            shown = f"{output.get('ename', '')}: {output.get('evalue', '')}"
        shown = _ANSI.sub("", shown).strip("\n")
        place = either(f"第 {number} 格", f"cell {number}")
        if any(name.startswith("image/") or name in ("png", "jpeg", "svg") for name in data):
            losses.append(Loss(FIGURE, place))
        elif len(shown) > LONGEST:
            why = either("输出太长", "a long output")
            losses.append(Loss(TEXT, place, why))
        elif shown.strip():
            pieces.append(fenced(shown.rstrip(), "text"))
    return pieces


def _language(metadata: Any) -> str:
    known = metadata.get("language_info", {}).get("name")
    return str(known or metadata.get("kernelspec", {}).get("language") or "python")


def _joined(source: Any) -> str:
    return "".join(source) if isinstance(source, list) else str(source)
