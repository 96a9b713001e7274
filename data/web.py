"""HTML of pages and e-books made ready for the converter: formulas as LaTeX, figures with their
captions, no emphasis marks inside Chinese, no navigation.
"""

import copy
import io
import re
import zipfile
from typing import Any
from urllib.parse import unquote_plus

from common.archives import read_part
from common.language import either
from common.word.package import COUNT
from data.losses import FORMULA, TEXT, Loss
from data.page_parts import book_part, hide_fences

_PAGE_PARTS = ["nav", "footer", "script", "style", "noscript", "template", "button"]
_PAGE_PARTS += ["input", "select", "textarea", "rt", "rp"]
_TEX_ATTRIBUTES = ("data-tex", "data-latex", "data-formula", "data-math")
_TEX_IMAGES = re.compile(r"tex|math|formula|equation|eeimg", re.I)
_TEX_SOURCE = re.compile(
    r"(?:zhihu\.com/equation\?tex=|latex\.codecogs\.com/\w+(?:\.latex)?\?)(.+)$"
)
# What opens again before it ends is none: see dialects.py.
_TEX_BRACKETS = re.compile(
    r"\\\(((?:(?!(?<!\\)\\\().)+?)\\\)|\\\[((?:(?!(?<!\\)\\\[).)+?)\\\]", re.S
)
_COUNT = re.compile(COUNT.format(r"(\d+)"))
_TEX = re.compile(r"[\\^_{}=]|^[A-Za-z]$")


def prepared(html: str) -> tuple[str, list[Loss]]:
    """The HTML of a page's body, and the formulas that are not in it."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    losses = _formulas(soup)
    for tag in soup("form"):
        tag.unwrap()  # some sites put the whole page into one
    for tag in soup(_PAGE_PARTS):
        tag.decompose()
    part, outside = book_part(soup)
    losses += outside
    for drawing in soup("svg"):
        if words := " ".join(part.get_text(" ", strip=True) for part in drawing("text")).strip():
            losses.append(
                Loss(TEXT, words[:30], either("图里的文字（SVG）", "words of an SVG drawing"))
            )
        drawing.decompose()
    _marks_apart(soup)
    _listings(soup)
    for tag in soup(["aside"]):
        if "footnote" in f"{tag.get('epub:type', '')} {tag.get('role', '')}":
            tag.name = "blockquote"
        elif _is_navigation(tag):
            tag.decompose()
    _figures(soup)
    _emphasis(soup)
    even_tables(soup)
    hide_fences(soup)
    _scripts(soup)
    for piece in part.find_all(string=re.compile("<[A-Za-z/!]")):  # shown, so no tags
        if type(piece).__name__ == "NavigableString" and not piece.find_parent(["pre", "code"]):
            piece.replace_with(re.sub("<(?=[A-Za-z/!])", r"\\<", piece))
    return str(part), losses


def prepared_word(html: str) -> str:
    """HTML of a Word file: tables and scripts as `prepared` has them."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(html, "html.parser")
    _listings(soup)
    for code in soup.select("table pre"):
        code.unwrap()  # a cell is one line
    even_tables(soup)
    hide_fences(soup)
    _scripts(soup)
    for items in soup("ol"):
        first = items.find("li")
        count = _COUNT.match(first.get_text().strip()) if first is not None else None
        if count:
            items["start"] = count.group(1)
    return _COUNT.sub("", str(soup))


def prepared_epub(content: bytes) -> tuple[bytes, list[Loss]]:
    """An e-book whose chapters went through `prepared`."""
    losses: list[Loss] = []
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        # Of two parts of one name the last is the book's, as for every reader of zip files.
        for part in {part.filename: part for part in source.infolist()}.values():
            data = read_part(source, part)
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
    for tag in soup.select("code.language-math, pre.language-math, code.math, pre.math"):
        _put(tag, tag.get_text(), tag.name == "pre" or tag.parent.name == "pre")
    losses = []
    for math in soup.find_all(re.compile(r"^(\w+:)?math$")):
        if math.parent is None:
            continue
        source = math.find(re.compile(r"^(\w+:)?annotation$"), encoding=re.compile("tex", re.I))
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
    for image in soup.find_all("img", src=_TEX_SOURCE):
        found = _TEX_SOURCE.search(image["src"])
        _put(image, unquote_plus(found.group(1)) if found else "", False)
    for image in soup.find_all("img", alt=True):
        kind = " ".join(
            [*image.get("class", []), image.get("src", "")[:200], *map(str, image.attrs)]
        )
        tex = _TEX_IMAGES.search(kind) and _TEX.search(image["alt"])
        if tex or re.match(r"\s*\$?\\[A-Za-z]+\s*[{_^]", image["alt"]):
            _put(image, image["alt"], False)
    # Formulas that MathJax drew: version 2 leaves their source beside them, version 3 within.
    for tag in soup.select(
        ".MathJax, .MathJax_SVG, .MathJax_CHTML, .MathJax_Display, .MathJax_SVG_Display,"
        " mjx-container"
    ):
        if tag.parent is None or "$" in tag.get_text():
            continue
        if tag.name == "mjx-container" or "$" not in tag.parent.get_text():
            said = tag.get("aria-label") or tag.get_text("", strip=True)
            losses.append(Loss(FORMULA, said[:30] or "?"))
            tag.replace_with(" [公式] ")
        else:
            tag.decompose()
    for piece in soup.find_all(string=_TEX_BRACKETS):
        if not piece.find_parent(["pre", "code", "script", "style", "tt", "kbd"]):
            piece.replace_with(_TEX_BRACKETS.sub(_dollars, str(piece)))
    return losses


def _dollars(found: re.Match[str]) -> str:
    inline, display = found.groups()
    body = " ".join((inline or display).split())
    return f"${body}$" if inline else f"$${body}$$"


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


_SIMPLE = {"math", "semantics", "mrow", "mi", "mn", "mo", "mtext", "mstyle", "mspace", "mpadded",
           "menclose", "mphantom", "merror", "none"}  # fmt: skip


_ACCENTS = {"^": r"\hat", "ˆ": r"\hat", "~": r"\tilde", "˜": r"\tilde", "¯": r"\bar",
            "‾": r"\overline", "→": r"\vec", "⃗": r"\vec", "˙": r"\dot", "¨": r"\ddot",
            "⏞": r"\overbrace"}  # fmt: skip


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
    if name == "mover" and len(kids) == 2 and kids[1] in _ACCENTS:
        return f"{_ACCENTS[kids[1]]}{{{kids[0]}}}"
    if wanted and len(kids) == wanted[0]:
        return wanted[1].format(*kids)
    if name == "mtable":
        return r"\begin{matrix}" + r" \\ ".join(kids) + r"\end{matrix}"
    if name in ("mtr", "mtd"):
        return " & ".join(kids) if name == "mtr" else "".join(kids)
    return None


def _is_navigation(tag: Any) -> bool:
    """A margin of links; not a box of the book."""
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


def _marks_apart(soup: Any) -> None:
    """Marks that lead elsewhere are no words of the text: ¶ behind a title, numbers of notes."""
    for link in soup.find_all("a", href=re.compile("^[^:/]*#")):
        text = link.get_text(strip=True).strip("\u200b")
        if not text and not link.find("img"):
            link.unwrap()
            continue
        note = "noteref" in f"{link.get('epub:type', '')} {link.get('role', '')}"
        note = note or "footnote" in " ".join(link.get("class", []))
        raised = link.find_parent("sup") or link.find("sup")
        if text in ("¶", "#", "§", "🔗") or (
            re.fullmatch(r"[\[(（]?[\d*†]{1,3}[\])）]?", text) and (note or raised)
        ):
            link.decompose()
    for tag in soup("tt"):
        tag.name = "code"
    for tag in soup("summary"):
        tag.name = "p"


def _listings(soup: Any) -> None:
    """A listing with line numbers beside it is a table to browsers: only its code stays."""
    for table in soup.find_all("table"):
        blocks = table.find_all("pre")
        code = [pre for pre in blocks if not re.fullmatch(r"[\d\s]+", pre.get_text())]
        if len(code) == 1 and len(code) < len(blocks) and not table.find("th"):
            table.replace_with(code[0])
    # Numbers as elements within the listing.
    for tag in soup.select("pre .linenos, pre .lineno, pre .hljs-ln-numbers, pre .line-number"):
        tag.decompose()


def even_tables(soup: Any) -> None:
    """Cells that span several rows or columns are said in each; "|" inside a cell is escaped."""
    for table in soup.find_all("table"):
        if table.find("table") or table.find("pre"):
            continue
        _title_above(table)
        rows = table.find_all("tr")
        if len(rows) > 1 and not table.find("th"):
            for cell in rows[0].find_all("td"):
                cell.name = "th"
        open_cells: dict[int, tuple[int, Any]] = {}  # column → rows still to fill, cell
        for row in rows:
            column = 0
            for cell in row.find_all(["td", "th"]):
                column = _fill(row, column, open_cells, cell)
                down, across = (_span(cell, name) for name in ("rowspan", "colspan"))
                for extra in range(across):
                    if down > 1:
                        open_cells[column + extra] = (down - 1, cell)
                    if extra:
                        cell.insert_after(_empty(soup, cell.name))
                column += across
            _fill(row, column, open_cells, None)
        for piece in table.find_all(string=re.compile(r"(?<!\\)\|")):
            piece.replace_with(re.sub(r"(?<!\\)\|", r"\|", str(piece)))


def _title_above(table: Any) -> None:
    """A first row of one cell across the table is its title: a header names each column. Like a
    caption it goes above, or the converter takes neither row for a header."""
    if (caption := table.find("caption")) is not None:
        caption.name = "div"
        table.insert_before(caption.extract())
    rows = table.find_all("tr")
    if len(rows) < 3:
        return
    first, second = (row.find_all(["td", "th"]) for row in rows[:2])
    across = len(first) == 1 and first[0].get("colspan", "1") != "1"
    if across and len(second) > 1 and first[0].get_text(strip=True):
        first[0].name = "div"
        table.insert_before(first[0].extract())
        head = rows[0].parent
        rows[0].decompose()
        if head.name == "thead" and not head.find("tr"):
            head.decompose()


def _fill(row: Any, column: int, open_cells: dict[int, tuple[int, Any]], before: Any) -> int:
    """Copies of the cells above that reach down to a row; the first column that is free."""
    while column in open_cells:
        left, cell = open_cells.pop(column)
        if left > 1:
            open_cells[column] = (left - 1, cell)
        again = copy.copy(cell)
        if before is None:
            row.append(again)
        else:
            before.insert_before(again)
        column += 1
    return column


def _span(cell: Any, name: str) -> int:
    """How many rows or columns a cell takes, removed from it; 1 for nonsense."""
    value = str(cell.attrs.pop(name, "1")).strip()
    return min(max(int(value), 1), 50) if value.isdigit() else 1


def _empty(soup: Any, name: str) -> Any:
    return soup.new_tag(name)


def _scripts(soup: Any) -> None:
    """x² and H₂O: a raised or lowered sign keeps its meaning, as in formulas of PDFs."""
    for tag in soup.find_all(["sup", "sub"]):
        text = tag.get_text(strip=True)
        before = str(tag.previous_sibling or "")[-1:]
        wanted = re.match(r"[A-Za-z0-9)\]}α-ωΑ-Ω]", before) and re.fullmatch(
            r"[A-Za-z0-9α-ωΑ-Ω+\-−*/=,.()]{1,12}", text
        )
        if not wanted or re.fullmatch("st|nd|rd|th|TM|®", text) or tag.find_parent(["pre", "a"]):
            continue
        sign = "^" if tag.name == "sup" else "_"
        tag.replace_with(f"{sign}{text}" if len(text) == 1 else f"{sign}{{{text}}}")
