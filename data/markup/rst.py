"""reStructuredText prepared for pandoc: what Sphinx and docutils know beyond it."""

import re
from contextlib import suppress
from functools import lru_cache
from os.path import normpath
from pathlib import Path

from common.language import either
from common.text_encodings import decode
from data.includes import marked_root
from data.kinds import REST, in_folder
from data.losses import TEXT, Loss
from data.markup.parts import found_file
from data.markup.tree import DRAWN, DRAWN_CODE

_DEPTH = 5
_INCLUDE = re.compile(
    r"^([ \t]*)\.\. (include|literalinclude|sourcecode-include)::[ \t]*(\S+)[ \t]*$"
)
_OPTION = re.compile(r"^[ \t]+:([\w-]+):[ \t]*(.*)$")
# Directives that show their argument as a title, and pandoc drops it.
_TITLED = re.compile(
    r"^([ \t]*)\.\. (?:prf:\w+|(?:c|cpp|py|js|rst|std)?:?(?:function|class|method|attribute|module"
    r"|data|exception|macro|type|member|option|describe|object|envvar|program|struct|enum|var"
    r"|staticmethod|classmethod|currentmodule|automodule|autoclass|autofunction|confval|cmdoption)"
    r"|epigraph|highlights|pull-quote|parsed-literal)::[ \t]*(.*)$"
)
_PLAIN_TITLES = ("epigraph", "highlights", "pull-quote", "prf:")
_UNSHOWN = ("currentmodule", "automodule", "autoclass", "autofunction", "program", "module")
_DOCTEST = re.compile(r"^([ \t]*)>>>(?: |$)")
_CODE = re.compile(
    r"^[ \t]*(?:\.\. (?:code|code-block|sourcecode|prompt|parsed-literal|literalinclude|highlight"
    r"|math|raw|ipython|jupyter-execute|tabularcolumns)\b.*|.*::[ \t]*)$"
)
# What draws is no text: pandoc, which does not know it, would read the strokes as paragraphs.
_DRAWING = re.compile(rf"^([ \t]*)\.\. ({'|'.join(sorted(DRAWN))})::[ \t]*$")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{3,}[ \t]*")
_CJK = "\u3400-\u9fff\uff00-\uffef\u3000-\u303f\u2018-\u201d"
# Chinese has no room around marks; docutils wants some, Sphinx in Chinese is told not to.
_INLINE = re.compile(
    r"``[^`\n]+``|(?<![`:\w]):[a-zA-Z][\w:+.-]*:`[^`\n]+`|(?<![`:\w\\])`[^`\n]+`_{0,2}(?!`)"
    r"|(?<![*\\\w])\*\*[^*\s](?:[^*\n]*[^*\s])?\*\*(?!\*)"
    r"|(?<![|\w])\|[^|\s](?:[^|\n]{0,40}[^|\s])?\|_{0,2}(?!\|)"
    r"|\[[#*]?[\w.-]*\]_(?!\w)"
)


def prepared(path: Path) -> tuple[str, list[Loss]]:
    """The text of a file with what it includes, as pandoc reads it.

    Titles of other files of the book stand in their references.
    """
    losses: list[Loss] = []
    text = _included(path, path, losses, 0)
    lines = _directives(_underlined(text.split("\n")))
    return "\n".join(_spaced(lines)), losses


def _included(path: Path, main: Path, losses: list[Loss], depth: int) -> str:
    text = decode(path.read_bytes()).replace("\r\n", "\n").replace("\r", "\n").expandtabs(8)
    lines = text.split("\n")
    out: list[str] = []
    place = 0
    while place < len(lines):
        found = _INCLUDE.match(lines[place])
        place += 1
        if not found:
            out.append(lines[place - 1])
            continue
        indent, kind, name = found.groups()
        options = {}
        while place < len(lines) and (said := _OPTION.match(lines[place])):
            options[said.group(1)] = said.group(2).strip()
            place += 1
        part = found_file(name, [path.parent, main.parent, *main.parent.parents[:3]])
        if part is None or depth >= _DEPTH:
            why = either("写在另一个文件里，没有读", "stands in another file, which was not read")
            losses.append(Loss(TEXT, name, why))
            continue
        if kind == "include" and not {"literal", "code"} & options.keys():
            out += _indented(_part(_included(part, main, losses, depth + 1), options), indent)
        else:
            code = _part(decode(part.read_bytes()).replace("\r\n", "\n").expandtabs(8), options)
            language = options.get("language") or options.get("code") or part.suffix[1:]
            out += ["", f"{indent}.. code-block:: {language}", ""]
            out += [*_indented(code, f"{indent}   "), ""]
    return "\n".join(out)


def _part(text: str, options: dict[str, str]) -> str:
    lines = text.split("\n")
    if spans := options.get("lines"):
        chosen: list[str] = []
        for span in spans.split(","):
            first, dash, last = span.strip().partition("-")
            start = int(first) if first.isdigit() else 1
            stop = int(last) if last.isdigit() else len(lines) if dash else start
            chosen += lines[start - 1 : stop]
        lines = chosen
    lines = lines[
        int(options["start-line"]) if options.get("start-line", "").isdigit() else 0 : int(
            options["end-line"]
        )
        if options.get("end-line", "").isdigit()
        else None
    ]
    text = "\n".join(lines)
    for name in ("start-after", "start-at"):
        if (mark := options.get(name)) and mark in text:
            before, found, after = text.partition(mark)
            text = after if name == "start-after" else found + after
    for name in ("end-before", "end-at"):
        if (mark := options.get(name)) and mark in text:
            before, found, _ = text.partition(mark)
            text = before if name == "end-before" else before + found
    return text


def _indented(text: str, indent: str) -> list[str]:
    return [indent + line if line.strip() else "" for line in text.split("\n")]


def _underlined(lines: list[str]) -> list[str]:
    """Lines below (and above) titles as long as the title: docutils takes four signs for one."""
    out = list(lines)
    for place in range(1, len(out)):
        title, before = out[place - 1].rstrip(), out[place - 2].rstrip() if place > 1 else ""
        over = bool(_UNDERLINE.fullmatch(before)) and before[0] == out[place][:1]
        if (
            _UNDERLINE.fullmatch(out[place])
            and (not before or over)
            and title[:1].strip()
            and not title.startswith((".. ", "|", "+"))
            and len(out[place].rstrip()) < len(title)
            and not _UNDERLINE.fullmatch(title)
        ):
            for line in (place, place - 2) if over else (place,):
                out[line] = out[line][0] * len(title)
    return out


def _directives(lines: list[str]) -> list[str]:
    """Titles of directives that pandoc drops in lines of their own; doctests as code."""
    out: list[str] = []
    doctest: str | None = None
    for line in lines:
        if doctest is not None and not line.strip():
            doctest = None
            out.append("")
            continue
        found = _DOCTEST.match(line)
        if (
            found
            and not doctest
            and (not out or not out[-1].strip())
            and not _within(out, found[1])
        ):
            doctest = found.group(1)
            out += ["", f"{doctest}.. code-block:: python", ""]
        if doctest is not None:
            out.append(f"   {line}")
            continue
        if drawing := _DRAWING.match(line):
            out.append(f"{drawing[1]}.. code-block:: {DRAWN_CODE}{drawing[2]}")
            continue
        if only := re.match(r"^([ \t]*)\.\. (?:only|ifconfig)::", line):
            out.append(f"{only.group(1)}.. container:: kit")
            continue
        titled = _TITLED.match(line)
        if titled and titled.group(2):
            name = line.strip().split("::")[0].removeprefix(".. ")
            title = titled.group(2).strip()
            if name in _UNSHOWN:
                out.append(line)
                continue
            out.append(f"{titled.group(1)}.. container:: kit")
            out.append("")
            shown = title if name.startswith(_PLAIN_TITLES) else f"``{title}``"
            out.append(
                f"{titled.group(1)}   **{shown}**"
                if shown == title and "prf" in name
                else f"{titled.group(1)}   {shown}"
            )
            out.append("")
            continue
        out.append(line)
    return out


def _within(out: list[str], indent: str) -> bool:
    """Whether a line of this indentation goes on within a code block above it."""
    for line in reversed(out):
        if not line.strip():
            continue
        room = len(line) - len(line.lstrip())
        if room < len(indent):
            return bool(_CODE.match(line)) or bool(_OPTION.match(line))
    return False


def _spaced(lines: list[str]) -> list[str]:
    """Escaped blanks between marks and the Chinese characters around them; not in code."""
    out: list[str] = []
    code_indent = -1
    for line in lines:
        room = len(line) - len(line.lstrip())
        if code_indent >= 0 and line.strip() and room <= code_indent:
            code_indent = -1
        if code_indent < 0 and line.strip():
            line = _apart(line)
            if _CODE.match(line):
                code_indent = room
        out.append(line)
    return out


def _apart(line: str) -> str:
    if "`" not in line and "*" not in line and "]_" not in line and "|" not in line:
        return line
    if re.match(r"\s*[+|].*[+|]\s*$", line) or re.match(r"\s*\.\. ", line):
        return line  # rows of a grid table, whose width counts; directives
    out, place = [], 0
    for found in _INLINE.finditer(line):
        before = line[place : found.start()]
        after = line[found.end() : found.end() + 1]
        left = re.search(f"[{_CJK}]$", before)
        right = re.match(f"[{_CJK}]", after)
        out += [before, "\\ " if left else "", found.group(), "\\ " if right else ""]
        place = found.end()
    return "".join([*out, line[place:]])


_LINE = r"[=\-~^\"'`#*+.:_]"  # of which lines above and below a title are made
_LABEL = re.compile(
    r"(?m)^\.\. _([^:\n]+):[ \t]*\n(?:[ \t]*\n|\.\. [^\n]*\n)*([^\n]+)\n"
    rf"(?:({_LINE})\3{{2,}}|[^\n]+\n({_LINE})\4{{2,}})"
)
_TITLE = re.compile(
    rf"(?m)^(?:({_LINE})\1{{2,}}[ \t]*\n)?[ \t]*(\S[^\n]*)\n({_LINE})\3{{2,}}[ \t]*$"
)
_USED = re.compile(r":(?:doc|ref|numref):`(?:[^`<]*<)?([^`<>]+)>?`")


def titles_of(path: Path, text: str) -> tuple[dict[str, str], list[Loss]]:
    """Titles by the label or page that a text refers to, from all files of its book.

    Of a file alone, those of its own folder and pages that it names below: the rest belongs to
    others, and may be a whole home. Where a title is not found, files that could not be read are
    named, each as a loss.
    """
    names = {name.strip() for name in _USED.findall(text)}
    if not names:
        return {}, []
    folder = path.resolve().parent
    root = marked_root(path)
    below = () if root else tuple(sorted(name for name in names if "/" in name))
    known, unreadable = _all_titles(root or folder, bool(root), below)
    root = root or folder
    found = {}
    for name in names:
        page = (folder / name).resolve()
        place = f"/{page.relative_to(root)}" if page.is_relative_to(root) else ""
        title = known.get(name.lower()) or known.get(place) or known.get(f"/source{name}")
        if title:
            found[name] = title
    return found, [] if len(found) == len(names) else list(unreadable)


@lru_cache(maxsize=8)
def _all_titles(
    root: Path, whole: bool, below: tuple[str, ...] = ()
) -> tuple[dict[str, str], tuple[Loss, ...]]:
    """Titles by label and page of the files in a folder; whole: with all folders in it.

    below: pages deeper in it to read as well.
    """
    found: dict[str, str] = {}
    errors: list[OSError] = []
    files: list[Path] = []
    if whole:
        files = in_folder(root, errors)
    else:
        pages = [normpath(f"{root}/{name}{suffix}") for name in below for suffix in REST]
        inside = [Path(page) for page in pages if Path(page).is_relative_to(root)]
        with suppress(OSError):  # a folder whose files may be read, its list not
            files = sorted(root.iterdir())
        files += inside
    for file in files:
        if file.suffix.lower() not in REST:
            continue
        try:
            if not file.is_file() or file.stat().st_size > 1 << 20:
                continue
            text = decode(file.read_bytes()).replace("\r\n", "\n")
        except OSError as error:
            errors.append(error)
            continue
        except ValueError:
            continue
        for label in _LABEL.finditer(text):
            above = re.fullmatch(rf"({_LINE})\1{{2,}}[ \t]*", label.group(2))
            title = text[label.start(2) :].split("\n")[1 if above else 0]
            found[label.group(1).strip("` ").lower()] = _bare(title)
        if title := _TITLE.search(text):
            found["/" + str(file.relative_to(root).with_suffix(""))] = _bare(title.group(2))
    why = either("不能读，其中的标题没有用上", "may not be read, nor the titles in it")
    names = [Path(error.filename or "?") for error in errors]
    places = [name.relative_to(root) if name.is_relative_to(root) else name for name in names]
    return found, tuple(Loss(TEXT, str(place), why) for place in places)


def _bare(title: str) -> str:
    return re.sub(r"[`*]|:[\w:]+:(?=`)", "", title).strip()
