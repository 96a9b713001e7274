"""The book's part of a web page: the article without the site around it, tabs apart by name.

Site builders put menus, search boxes, copyright lines and buttons around an article, not always in
elements that say so. The article is taken where it holds nearly all sentences of the page.
"""

import re
from typing import Any

from common.language import either
from data.losses import TEXT, Loss

_ARTICLES = (
    "main, [role=main], article, [itemprop=articleBody], .theme-default-content, .vp-doc,"
    " .theme-doc-markdown, .markdown-section, .markdown-body, .post-content, .post-body,"
    " .article-entry, .entry-content, .article-content, #article-container, #cnblogs_post_body,"
    " #content_views"
)
_SENTENCE = re.compile("[。，；：！？.,;:!?]")
_MOST = 0.9  # of a page's sentences: the rest is what a site says beside an article
_WORTH_A_WORD = 40  # characters left outside in one place
# Words for screen readers, labels of listings, boxes of the site's own scripts.
_UNSEEN = (
    ".sr-only, .visually-hidden, .screen-reader-text, .external-link-icon-sr-only, .skip-link,"
    " .search-results, .line-numbers-wrapper, .vp-code-group + .lang, [class*=language-] > .lang,"
    " .md-clipboard, .md-source-file, .headerlink, .fn-backref, [role=doc-backlink], .eqno,"
    " #loading-box, .post-copyright, .post-reward, .code-copy-btn"
)
_LAZY = ("data-lazy-src", "data-original", "data-actualsrc", "data-src")
# What holds a set of tabs, its labels, its panels.
_TABS = (
    ("[role=tablist]", "[role=tab]", "[role=tabpanel]"),
    (".vp-code-group, .tabbed-set", "label", ".blocks > div, .tabbed-block"),
    (".sd-tab-set", ".sd-tab-label", ".sd-tab-content"),
)
_NO_SENTENCES = {"a", "title", "head"}
_TAB, _TAB_END = "\ue013{}\ue014", "\ue013/\ue014"
# A fence in a listing, while markitdown puts three backticks around all listings.
_HIDDEN = "\ufdd0"
_WITH_FENCE = re.compile(f"(?s)```((?:(?!```)[^{_HIDDEN}])*{_HIDDEN}.*?)```")
_TAB_MARK = re.compile("[ \t]*\ue013(.*?)\ue014[ \t]*")


def book_part(soup: Any) -> tuple[Any, list[Loss]]:
    """The element that holds a page's text, and sentences of the page outside it."""
    for tag in soup.select(_UNSEEN):
        tag.decompose()
    for outer in soup("pre"):
        if outer.find("pre") is not None:
            outer.unwrap()
    for drawing in soup.select("div.mermaid"):
        drawing.name = "pre"
    for image in soup("img"):
        for name in _LAZY:
            if image.get(name):
                image["src"] = image[name]
    _definitions(soup)
    _tabs(soup)
    return _article(soup)


def hide_fences(soup: Any) -> None:
    """Fences in listings, which would end them, become signs that `shown` turns back."""
    for listing in soup("pre"):
        for piece in listing.find_all(string=re.compile("```")):
            piece.replace_with(re.sub("`{3,}", lambda marks: _HIDDEN * len(marks[0]), piece))


def shown(markdown: str) -> str:
    """markitdown's Markdown: fences in listings as they were, in longer ones; marks of tabs as the
    comments that `data/sections.py` knows."""

    def longer(found: re.Match[str]) -> str:
        marks = "`" * (len(max(re.findall(f"{_HIDDEN}+", found[1]))) + 1)
        return f"{marks}{found[1]}{marks}"

    markdown = _WITH_FENCE.sub(longer, markdown).replace(_HIDDEN, "`")

    def comment(found: re.Match[str]) -> str:
        name = found.group(1)
        return "\n\n<!-- /tab -->\n\n" if name == "/" else f"\n\n<!-- tab: {name} -->\n\n"

    return _TAB_MARK.sub(comment, markdown)


def _article(soup: Any) -> tuple[Any, list[Loss]]:
    whole = _said(soup)
    found = [(said, tag) for tag in soup.select(_ARTICLES) if (said := _said(tag)) >= whole * _MOST]
    if not whole or not found:
        return soup, []
    _, article = min(found, key=lambda pair: pair[0])
    losses = []
    for piece in _sentences(soup):
        if len(piece.strip()) >= _WORTH_A_WORD and article not in piece.parents:
            why = either("在网页正文之外", "outside the page's article")
            losses.append(Loss(TEXT, " ".join(piece.split())[:30], why))
    if article.find("h1") is None and article.name != "h1":
        above = [title for title in article.find_all_previous("h1") if title.get_text(strip=True)]
        if above:
            article.insert(0, above[0].extract())
    return article, losses


def _said(tag: Any) -> int:
    return sum(len(piece.strip()) for piece in _sentences(tag))


def _sentences(tag: Any) -> list[Any]:
    """Pieces of text that are sentences or code, none of links.

    Tags that are never closed nest thousands deep: one way down, none up from each piece.
    """
    found = []
    above = {each.name for each in tag.parents}
    inside = [(tag, "pre" in above, bool(above & _NO_SENTENCES))]
    while inside:
        node, code, link = inside.pop()
        if not hasattr(node, "contents"):
            plain = type(node).__name__ == "NavigableString" and not link
            if plain and (code or _SENTENCE.search(node)):
                found.append(node)
            continue
        code, link = code or node.name == "pre", link or node.name in _NO_SENTENCES
        inside += [(child, code, link) for child in reversed(node.contents)]
    return found


def _definitions(soup: Any) -> None:
    """A list of definitions becomes its terms in bold above what is said of them."""
    for term in soup("dt"):
        if not term.get_text(strip=True):
            term.decompose()
            continue
        for code in term("code"):
            code.unwrap()
        inside = soup.new_tag("strong")
        inside.extend(list(term.contents))
        term.append(inside)
        term.name = "p"
    for tag in soup(["dl", "dd"]):
        tag.name = "div"


def _tabs(soup: Any) -> None:
    for holder, label, panel in _TABS:
        for found in soup.select(holder):
            inside = found.parent if holder == "[role=tablist]" else found
            labels = [tag for tag in inside.select(label) if tag.get_text(strip=True)]
            panels = inside.select(panel)
            if not panels or len(labels) != len(panels):
                continue
            for name, tab in zip(labels, panels, strict=True):
                tab.insert(0, _mark(soup, _TAB.format(name.get_text(" ", strip=True))))
                tab.append(_mark(soup, _TAB_END))
                name.decompose()


def _mark(soup: Any, text: str) -> Any:
    tag = soup.new_tag("p")
    tag.string = text
    return tag
