"""HTML of pages and e-books made ready for the converter: formulas as LaTeX, figures with their
captions, no emphasis marks inside Chinese, no navigation.
"""

import io
import re
import zipfile
from typing import Any

from data.losses import FORMULA, Loss

_PAGE_PARTS = ["nav", "footer", "script", "style", "noscript", "form", "template", "button"]
_TEX_ATTRIBUTES = ("data-tex", "data-latex", "data-formula", "data-math")
_TEX_IMAGES = re.compile(r"tex|math|formula|equation|eeimg", re.I)
_TEX = re.compile(r"[\\^_{}=]|^[A-Za-z]$")


def prepared(html: str) -> tuple[str, list[Loss]]:
    """The HTML of a page's body, and the formulas that are not in it."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    losses = _formulas(soup)
    for tag in soup(_PAGE_PARTS):
        tag.decompose()
    for tag in soup(["aside"]):
        if _is_navigation(tag):
            tag.decompose()
    _figures(soup)
    _emphasis(soup)
    return str(soup), losses


def prepared_epub(content: bytes) -> tuple[bytes, list[Loss]]:
    """An e-book whose chapters went through `prepared`."""
    losses: list[Loss] = []
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for part in source.infolist():
            data = source.read(part)
            if part.filename.lower().endswith((".xhtml", ".html", ".htm")):
                text, found = prepared(data.decode("utf-8", errors="replace"))
                losses += found
                data = text.encode()
            target.writestr(part, data)
    return out.getvalue(), losses


def _formulas(soup: Any) -> list[Loss]:
    """Each formula becomes $LaTeX$, whatever shows it; those without source are lost."""
    for script in soup.find_all("script", type=re.compile("^math/tex")):
        _put(script, script.string or script.get_text(), "display" in script["type"])
    for tag in soup.select(".MathJax_Preview, .MJX_Assistive_MathML"):
        tag.decompose()
    for name in _TEX_ATTRIBUTES:
        for tag in soup.find_all(attrs={name: True}):
            if tag.parent is not None:
                _put(tag, tag[name], "display" in " ".join(tag.get("class", [])))
    losses = []
    for math in soup.find_all("math"):
        if math.parent is None:
            continue
        source = math.find("annotation", encoding=re.compile("tex", re.I))
        latex = source.get_text() if source else math.get("alttext", "")
        shown = _outermost(math)
        display = math.get("display") == "block" or "display" in " ".join(shown.get("class", []))
        if latex.strip():
            _put(shown, latex, display)
            continue
        whole = _linear(math)
        if whole is None:
            losses.append(Loss(FORMULA, math.get_text("", strip=True)[:30] or "?"))
            shown.replace_with(" [公式] ")
        else:
            _put(shown, whole, display)
    for image in soup.find_all("img", alt=True):
        kind = " ".join(
            [*image.get("class", []), image.get("src", "")[:200], *map(str, image.attrs)]
        )
        if _TEX_IMAGES.search(kind) and _TEX.search(image["alt"]):
            _put(image, image["alt"], False)
    # Pictures of formulas that MathJax drew; the source stood beside them.
    for tag in soup.select(
        ".MathJax, .MathJax_SVG, .MathJax_CHTML, .MathJax_Display, .MathJax_SVG_Display,"
        " mjx-container"
    ):
        if tag.parent is not None and "$" not in tag.get_text():
            tag.decompose()
    return losses


def _put(tag: Any, latex: str, display: bool) -> None:
    text = re.sub(r"^\s*<!\[CDATA\[|%?\]\]>\s*$|^%\s*", "", latex.strip()).strip()
    text = re.sub(r"^\\[(\[]|\\[)\]]$|^\$+|\$+$", "", text).strip()
    text = re.sub(r"^\{\\displaystyle\s+(.*)\}$", r"\1", text, flags=re.S)
    text = re.sub(r"\s+", " ", text)
    if text:
        tag.replace_with(f"$${text}$$" if display else f"${text}$")
    else:
        tag.decompose()


def _outermost(math: Any) -> Any:
    """The element that shows a formula: KaTeX and Wikipedia wrap MathML beside a picture of it."""
    shown = math
    for parent in math.parents:
        classes = " ".join(parent.get("class", [])) if parent.name != "[document]" else ""
        if parent.name == "mjx-container" or re.search(r"katex|mwe-math|MathJax|mjx", classes):
            shown = parent
    return shown


_SIMPLE = {"math", "semantics", "mrow", "mi", "mn", "mo", "mtext", "mstyle", "mspace", "mpadded"}


def _linear(node: Any) -> str | None:
    """LaTeX of MathML, None for an element that is not known here."""
    from bs4 import NavigableString

    if isinstance(node, NavigableString):
        return str(node).strip()
    parts = [_linear(child) for child in node.children]
    if any(part is None for part in parts):
        return None
    kids = [part for part in parts if part]
    name = node.name.split(":")[-1]
    if name in _SIMPLE:
        return "".join(kids)
    if name == "msqrt":
        return rf"\sqrt{{{''.join(kids)}}}"
    if name == "mfenced":
        return f"{node.get('open', '(')}{','.join(kids)}{node.get('close', ')')}"
    wanted = {
        "mfrac": (2, r"\frac{{{0}}}{{{1}}}"),
        "msup": (2, "{0}^{{{1}}}"),
        "msub": (2, "{0}_{{{1}}}"),
        "msubsup": (3, "{0}_{{{1}}}^{{{2}}}"),
        "munder": (2, "{0}_{{{1}}}"),
        "mover": (2, r"\overset{{{1}}}{{{0}}}"),
        "munderover": (3, "{0}_{{{1}}}^{{{2}}}"),
        "mroot": (2, r"\sqrt[{1}]{{{0}}}"),
    }.get(name)
    if wanted and len(kids) == wanted[0]:
        return wanted[1].format(*kids)
    if name == "mtable":
        return r"\begin{matrix}" + r" \\ ".join(kids) + r"\end{matrix}"
    if name in ("mtr", "mtd"):
        return " & ".join(kids) if name == "mtr" else "".join(kids)
    return None


def _is_navigation(tag: Any) -> bool:
    """A margin of links, or a note that a footnote mark leads to; not a box of the book."""
    if "footnote" in f"{tag.get('epub:type', '')} {tag.get('role', '')}":
        return True
    text = tag.get_text(strip=True)
    linked = sum(len(link.get_text(strip=True)) for link in tag.find_all("a"))
    return len(text) < 20 or linked > len(text) * 0.4


def _figures(soup: Any) -> None:
    """A figure's caption becomes the text of its image."""
    for figure in soup.find_all("figure"):
        caption, image = figure.find("figcaption"), figure.find("img")
        if caption is not None and image is not None:
            image["alt"] = caption.get_text(" ", strip=True)
            caption.decompose()


def _emphasis(soup: Any) -> None:
    """Italics leave no mark: stars beside Chinese characters are not read as emphasis again."""
    for tag in soup.find_all(["em", "i", "cite", "dfn", "var"]):
        tag.unwrap()
