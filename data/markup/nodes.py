"""Nodes of pandoc's document tree: making them, finding them, their words."""

import re
from collections.abc import Iterator
from typing import Any

Node = dict[str, Any]
# Signs that the writer would escape, and that are read as they stand.
_STANDINS = {"_": "\ue010", "[": "\ue011", "]": "\ue012", "~": "\ue013", "^": "\ue014",
             "'": "\ue015", '"': "\ue016", "#": "\ue017", "-": "\ue018", "+": "\ue019",
             ".": "\ue01a", "!": "\ue01b", ")": "\ue01c", "&": "\ue01d", "=": "\ue01e"}  # fmt: skip
STAND_IN = str.maketrans(_STANDINS)
STAND_OUT = str.maketrans({mark: sign for sign, mark in _STANDINS.items()})


# Where they would begin a heading, a list, a link or an entity after all.
_BEGINS = re.compile(
    "(?m)^([ >]*[0-9]*)([\ue017\ue018\ue019\ue01e\ue013\ue01a\ue01c])"
    "|(\ue012)(?=[(:])|(\ue01d)(?=#?[A-Za-z0-9]+;)"
)


def without_stand_ins(text: str) -> str:
    """Written Markdown with the signs themselves; a backslash where they would mean something."""
    return _BEGINS.sub(lambda m: f"{m[1] or ''}\\{m[2] or m[3] or m[4]}", text).translate(STAND_OUT)


def node(kind: str, held: Any = None) -> Node:
    """A node as pandoc's JSON has it."""
    return {"t": kind} if held is None else {"t": kind, "c": held}


def para(text: str) -> Node:
    """A paragraph of plain words."""
    return node("Para", [node("Str", text.translate(STAND_IN))])


def as_para(block: Node) -> Node:
    """A paragraph of its own, for a line of a tight list."""
    return node("Para", block["c"]) if block["t"] == "Plain" else block


def image_node(caption: str, source: str) -> Node:
    """A picture with its caption."""
    return node("Image", [["", [], []], [node("Str", caption)] if caption else [], [source, ""]])


def find(value: Any, kind: str) -> Iterator[Node]:
    """All nodes of a kind, outermost first."""
    if isinstance(value, list):
        for each in value:
            yield from find(each, kind)
    elif isinstance(value, dict):
        if value.get("t") == kind:
            yield value
        else:
            yield from find(value.get("c"), kind)


def only_images(block: Node) -> bool:
    """Whether a block holds pictures and no words."""
    return not words_of([block]) and any(True for _ in find([block], "Image"))


def words_of(value: Any) -> str:
    """The words of blocks or inlines, without notes."""
    return said(value).strip()


def said(value: Any) -> str:
    """Like `words_of`, with the blanks around."""
    if isinstance(value, list):
        return "".join(map(said, value))
    if not isinstance(value, dict):
        return ""
    kind, held = value.get("t"), value.get("c")
    if kind == "Str":
        return str(held).translate(STAND_OUT)
    if kind in ("Space", "SoftBreak", "LineBreak"):
        return " "
    if kind in ("Code", "CodeBlock"):
        return str(held[1])
    if kind == "Math":
        return f"${formula(held[1])}$"
    if kind in ("Image", "Note", "RawInline", "RawBlock"):
        return ""
    if kind in ("Para", "Plain", "Header"):
        return said(held) + " "
    return said(held)


def formula(text: str) -> str:
    r"""A formula in one line, without \label and comments."""
    text = re.sub(r"(?<!\\)%[^\n]*\n?", "", text)
    text = re.sub(r"\\(?:label|eqlabel)\s*\{[^{}]*\}|\\(?:nonumber|notag)\b", "", text)
    text = re.sub(r"\\(?:begin|end)\{(?:equation|displaymath)\*?\}", "", text)
    text = re.sub(
        r"\\(begin|end)\{(?:align|gather|multline|eqnarray|alignat|flalign)\*?\}",
        r"\\\1{aligned}",
        text,
    )
    return " ".join(text.split())


def one_line(inlines: list[Node]) -> list[Node]:
    """Inlines without line breaks."""
    return [node("Space") if e["t"] in ("SoftBreak", "LineBreak") else e for e in inlines]


def title_of(tree: Node) -> list[Node]:
    """A document's title as the heading above all others."""
    title = tree.get("meta", {}).get("title", {})
    if title.get("t") == "MetaBlocks" or not words_of(title.get("c")):
        return []
    return [node("Header", [0, ["", [], []], title["c"]])]


def levelled(blocks: list[Node]) -> list[Node]:
    """Blocks whose highest headings are of the first level."""
    headings = [block for block in blocks if block["t"] == "Header"]
    spare = 1 - min((block["c"][0] for block in headings), default=1)
    for block in headings:
        block["c"][0] = min(block["c"][0] + spare, 6)
    return blocks


def code_joined(inlines: list[Node]) -> list[Node]:
    """`git` `add` as `git add`: pandoc parts what AsciiDoc sets in a code face at its blanks."""
    made: list[Node] = []
    for each in inlines:
        if each["t"] == "Code" and len(made) > 1 and made[-1]["t"] == "Space":
            before = made[-2]
            if before["t"] == "Code":
                made[-2:] = [node("Code", [["", [], []], f"{before['c'][1]} {each['c'][1]}"])]
                continue
        made.append(each)
    return made
