"""Front matter of Markdown pages: their title; of home pages, which stand in it, all that is shown.

VitePress and VuePress write a home page as `hero:` and `features:`.
"""

import re
from collections.abc import Iterator
from typing import Any

_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\n(.*?)\n(?:\1|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_TITLE = re.compile(r"""(?m)^title\s*[:=]\s*["']?(.+?)["']?\s*$""")
_DESCRIPTION = re.compile(
    r"(?m)^description:[ \t]*"
    r"""(?:[>|]-?[ \t]*\n((?:[ \t]+\S.*(?:\n|\Z))+)|["']?(\S.*?)["']?[ \t]*$)"""
)
_FIRST_HEADING = re.compile(r"\A\s*# [^\n]+\n")
_HOME = re.compile(r"(?m)^(?:hero|heroText|features)\s*:|^home\s*:\s*true|^layout\s*:\s*home")


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
    # GitBook shows it below the title, which stands in the text; to others it is for searchers.
    if title is None and (said := _DESCRIPTION.search(matter[2])):
        shown = " ".join((said[1] or said[2]).split())
        return _FIRST_HEADING.sub(lambda found: f"{found[0]}\n{shown}\n\n", text, count=1)
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
        return f"```yaml\n{matter}\n```"
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
