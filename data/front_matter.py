"""Front matter of Markdown pages: their title; of home pages, which stand in it, all that is shown.

VitePress and VuePress write a home page as `hero:` and `features:`. GitBook shows a page's
`description:` below its title; to others it is for searchers.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.includes import root_of
from data.losses import SUMMARY, Loss
from data.text import fenced

_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\n(.*?)\n(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_TITLE = re.compile(r"""(?m)^title\s*[:=]\s*["']?(.+?)["']?\s*$""")
_DESCRIPTION = re.compile(
    r"(?m)^description:[ \t]*(?:[>|][-+\d]*[ \t]*((?:\n(?:[ \t].*)?)+)"
    r"""|["']?(\S.*?(?:\n[ \t]+\S.*?)*)["']?[ \t]*$(?!\n[ \t]+\S))"""
)
_FIRST_HEADING = re.compile(r"\A\s*# [^\n]+\n")
_GITBOOK_BLOCK = re.compile(r"\{%\s*(?:hint|tabs|code|content-ref|embed)\b")
_HOME = re.compile(r"(?m)^(?:hero|heroText|features)\s*:|^home\s*:\s*true|^layout\s*:\s*home")


def described(text: str, page: Path) -> tuple[str, list[Loss]]:
    """The text with its description below its title, if GitBook shows it there.

    Of other sites it is counted where the text does not say it itself.
    """
    matter = _MATTER.match(text)
    said = _DESCRIPTION.search(matter[2]) if matter and matter[1] == "---" else None
    if not said or _HOME.search(matter[2]):
        return text, []
    shown = " ".join((said[1] or said[2]).split())
    body = text[matter.end() :]
    if not re.search(r"\w{2}", shown) or _bare(shown) in _bare(body):
        return text, []
    if _TITLE.search(matter[2]) or not _is_gitbook(body, page):
        return text, [Loss(SUMMARY, shown[:40])]
    heading = _FIRST_HEADING.match(body)
    end = heading.end() if heading else 0
    return f"{matter[0]}{body[:end]}\n{shown}\n\n{body[end:]}", []


def _bare(text: str) -> str:
    """The words of a text alone, for comparison."""
    return re.sub(r"[\W_]+", "", text)


def _is_gitbook(body: str, page: Path) -> bool:
    if _GITBOOK_BLOCK.search(body):
        return True
    root = root_of(page)
    folders = [each for each in page.resolve().parents if each == root or root in each.parents]
    # mdBook, which has a SUMMARY.md as well, knows no front matter.
    return any((f / name).is_file() for f in folders for name in (".gitbook.yaml", "SUMMARY.md"))


def titled(text: str) -> str:
    """The text without its front matter, whose title is the page's where the text has none."""
    matter = _MATTER.match(text)
    if not matter:
        return text
    text = text[matter.end() :]
    home = _home(matter[2]) if matter[1] == "---" and _HOME.search(matter[2]) else ""
    if home:
        return f"{home}\n\n{text}"
    title = _TITLE.search(matter[2])
    prose = re.sub(r"(?ms)^(`{3,}|~{3,}).*?^\1", "", text)
    if title is None or re.search(r"(?m)^# |^=+$|<h1\b", prose):
        return text
    return f"# {title[1]}\n\n{text}"


def _home(matter: str) -> str:
    """What a home page shows, as Markdown; what is no YAML stays as it is written."""
    import yaml

    try:
        page = yaml.load(matter, yaml.BaseLoader)  # texts alone: no dates, which may be none
    except yaml.YAMLError:
        return fenced(matter, "yaml")
    return "\n\n".join(_shown(page)) if isinstance(page, dict) else ""


def _shown(page: dict[str, Any]) -> Iterator[str]:
    hero = page.get("hero") if isinstance(page.get("hero"), dict) else {}
    title = _words(hero, "name", "text") or _words(page, "heroText") or _words(page, "title")
    if title:
        yield f"# {title}"
    yield from filter(None, (_words(hero, "tagline"), _words(page, "tagline")))
    features = page.get("features")
    for feature in features if isinstance(features, list) else []:
        if not isinstance(feature, dict):
            continue
        if name := _words(feature, "title"):
            yield f"## {name}"
        if details := _words(feature, "details") or _words(feature, "description"):
            yield details


def _words(held: dict[str, Any], *names: str) -> str:
    """The values of these names that are texts, in one line."""
    texts = (held.get(name) for name in names)
    return " ".join(" ".join(text.split()) for text in texts if isinstance(text, str)).strip()
