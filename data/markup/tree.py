"""pandoc's document tree made plain: what Markdown of `data/sections.py` can hold, nothing else.

Boxes become their title and text, figures pictures with a caption, notes quotes below their
paragraph, references the title of what they lead to; tables have one line a row.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from common.language import either
from data.drawings import is_drawing
from data.losses import FIGURE, TABLE, Loss
from data.markup.nodes import (
    STAND_IN,
    Node,
    as_para,
    code_joined,
    find,
    formula,
    image_node,
    levelled,
    node,
    one_line,
    only_images,
    para,
    said,
    title_of,
    without_stand_ins,
    words_of,
)
from data.markup.tables import table_of
from data.text import CJK

# Titles that boxes have in print, by the name that their makers give the environment.
_BOXES = {
    "theorem": "定理", "definition": "定义", "lemma": "引理", "corollary": "推论", "axiom": "公理",
    "proposition": "命题", "proof": "证明", "example": "例", "exercise": "练习", "remark": "注",
    "solution": "解", "problem": "问题", "property": "性质", "note": "注", "conclusion": "结论",
}  # fmt: skip
HIDDEN = {"toctree", "index", "todolist", "meta", "highlight", "comment", "contents", "sectnum"}
DRAWN = {"mermaid", "graphviz", "digraph", "graph", "plot", "plantuml", "uml", "blockdiag",
         "seqdiag", "actdiag", "nwdiag", "ditaa", "aafig", "tikz", "wavedrom"}  # fmt: skip
DRAWN_CODE = "drawn-"  # class of a code block that a directive draws
_CHANGES = {"versionadded": "新增于", "versionchanged": "修改于", "deprecated": "不再推荐，自"}
_TABS = {"tab", "group-tab", "code-tab", "tab-item"}
_TAB, _TAB_END = "<!-- tab: {} -->", "<!-- /tab -->"
_KIND_BEFORE = re.compile(
    r"(?:图|圖|表|式|公式|节|章|定理|代码|算法|Fig\.?|Figure|Table)[\s\u00a0(（~]*$"
)


class Plain:
    """A tree made plain; `losses` names the pictures drawn by code and the odd tables."""

    def __init__(self, tree: Node, titles: Mapping[str, str] | None = None) -> None:
        self.losses: list[Loss] = []
        self._titles: dict[str, str] = dict(titles or {})
        self._notes: list[list[Node]] = []
        blocks = [*title_of(tree), *tree["blocks"]]
        self._collect(blocks)
        self.tree = {**tree, "meta": {}, "blocks": levelled(list(self._blocks(blocks)))}

    def _collect(self, value: Any) -> None:
        """Titles by the label that stands at them."""
        if isinstance(value, list):
            for each in value:
                self._collect(each)
        elif isinstance(value, dict):
            kind, held = value.get("t"), value.get("c")
            if kind == "Header" and held[1][0]:
                self._titles[held[1][0]] = words_of(held[2])
            elif kind == "Figure" and held[0][0]:
                self._titles[held[0][0]] = words_of(held[1][1])
            elif kind == "Div" and held[0][0] and held[1][:1]:
                first = held[1][0]
                table = first["t"] == "Table"
                self._titles[held[0][0]] = words_of(first["c"][1][1]) if table else ""
            self._collect(held)

    # Blocks

    def _blocks(self, blocks: list[Node]) -> Iterator[Node]:
        for block in blocks:
            made = list(self._block(block))
            notes, self._notes = self._notes, []
            yield from made
            for note in notes:
                yield node("BlockQuote", list(self._blocks(note)))

    def _block(self, block: Node) -> Iterator[Node]:
        kind, held = block["t"], block.get("c")
        if kind in ("Plain", "Para"):
            yield from self._paragraph(kind, self._inlines(held))
        elif kind == "LineBlock":
            lines = [self._inlines(line) for line in held]
            joined = [each for line in lines for each in [*line, node("LineBreak")]]
            yield node("Para", joined[:-1])
        elif kind == "CodeBlock":
            name = next(iter(held[0][1]), "")
            typed = not name and is_drawing(held[1])
            if name.startswith(DRAWN_CODE) or typed:
                words = " ".join(re.findall(r"\w(?:[\w ]*\w)?", held[1]))
                place = dict(held[0][2]).get("caption") or words or name or "+--+"
                how = ("用字符画的图", "drawn in characters")
                why = either(*how) if typed else either("用代码画的图", "drawn by code")
                self.losses.append(Loss(FIGURE, place[:30].strip(), why))
            elif held[1].strip():
                language = next(iter(_language(held[0][1])), None)
                if caption := dict(held[0][2]).get("caption"):
                    yield para(caption)
                yield node("CodeBlock", [["", [language] if language else [], []], held[1]])
        elif kind == "Header":
            level, (_, classes, _), inlines = held
            title = [each for each in self._inlines(inlines) if each["t"] != "Image"]
            self._notes = [] if not words_of(title) else self._notes
            yield node("Header", [level, ["", [], []], one_line(title)])
        elif kind == "BlockQuote":
            yield node("BlockQuote", list(self._blocks(held)))
        elif kind == "OrderedList":
            yield node(kind, [held[0], [self._item(item) for item in held[1]]])
        elif kind == "BulletList":
            yield node(kind, [self._item(item) for item in held])
        elif kind == "DefinitionList":
            for term, meanings in held:
                if words_of(term):
                    yield node("Para", [node("Strong", one_line(self._inlines(term)))])
                for meaning in meanings:
                    yield from self._blocks([as_para(each) for each in meaning])
        elif kind == "Table":
            yield from self._table(held)
        elif kind == "Figure":
            yield from self._figure(held)
        elif kind == "Div":
            yield from self._div(held)
        elif kind == "RawBlock" and held[0] == "html":
            yield from self._html(held[1])

    def _item(self, item: list[Node]) -> list[Node]:
        made = list(self._blocks(item))
        return made or [node("Plain", [])]

    def _paragraph(self, kind: str, inlines: list[Node]) -> Iterator[Node]:
        """A paragraph; displayed formulas stand in lines of their own."""
        part: list[Node] = []
        for each in [*inlines, None]:
            display = each and each["t"] == "Math" and each["c"][0]["t"] == "DisplayMath"
            if each is None or display:
                while part and part[-1]["t"] in ("SoftBreak", "Space", "LineBreak"):
                    part.pop()
                if part:
                    yield node(kind if each is None else "Para", part)
                part = []
            if display:
                yield node("Para", [each])
            elif each and (part or each["t"] not in ("SoftBreak", "Space", "LineBreak")):
                part.append(each)

    def _html(self, text: str) -> Iterator[Node]:
        from data.markup.pandoc import read_tree

        if words := re.sub(r"(?s)<(script|style)\b.*?</\1>|<!--.*?-->", "", text).strip():
            yield from self._blocks(read_tree(words.encode(), "html")[0]["blocks"])

    def _div(self, held: Any) -> Iterator[Node]:
        (_, classes, pairs), blocks = held
        name = next(iter(classes), "")
        if name in HIDDEN or name == "citations":
            return
        if name in DRAWN:
            words = words_of(blocks)
            self.losses.append(
                Loss(FIGURE, words[:30] or name, either("用代码画的图", "drawn by code"))
            )
            return
        if name in _TABS and blocks:
            title, *rest = blocks
            yield node("RawBlock", ["html", _TAB.format(words_of([title]) or name)])
            yield from self._blocks(rest)
            yield node("RawBlock", ["html", _TAB_END])
            return
        if blocks and blocks[0]["t"] == "Div" and blocks[0]["c"][0][1] == ["title"]:
            title = words_of(blocks[0]["c"][1])
            blocks = blocks[1:]
            if title.lower() != name and name != "note" or re.search(f"[{CJK}]", title):
                yield node("Para", [node("Strong", [node("Str", title)])])
        if name in _CHANGES and blocks and blocks[0]["t"] in ("Para", "Plain"):
            said = node("Str", _CHANGES[name])
            blocks = [node("Para", [said, node("Space"), *blocks[0]["c"]]), *blocks[1:]]
        if name == "proof" and blocks:
            blocks = [_without_proof(blocks[0]), *blocks[1:]]
        blocks = [_without_number(blocks[0]), *blocks[1:]] if blocks else blocks
        if name in _BOXES and not _begins(blocks, _BOXES[name]):
            yield node("Para", [node("Strong", [node("Str", _BOXES[name])])])
        yield from self._blocks(blocks)

    def _figure(self, held: Any) -> Iterator[Node]:
        _, (_, caption), blocks = held
        words = words_of(caption)
        images = list(find(blocks, "Image"))
        rest = [b for b in blocks if not only_images(b)]
        if not images and not rest:
            self.losses.append(
                Loss(
                    FIGURE,
                    words[:30] or either("图", "figure"),
                    either("用代码画的图", "drawn by code"),
                )
            )
        for number, image in enumerate(images):
            _, alt, (source, _) = image["c"]
            shown = words_of(alt)
            text = words if number == 0 and words else shown if shown != "image" else ""
            yield node("Para", [image_node(text or shown, source)])
        if words and not images:
            yield para(words)
        yield from self._blocks(
            [each for each in rest if words_of([each]) or each["t"] != "Figure"]
        )

    def _table(self, held: Any) -> Iterator[Node]:
        words, cells, table = table_of(held, self._inlines)
        if words:
            yield para(words)
        if table:
            yield table
            return
        if cells and len(held[2]) > 1:
            place = words or words_of([block for cell in cells for block in cell])
            why = either(
                "单元格里有代码或列表，逐格留下", "code or lists in its cells, kept cell by cell"
            )
            self.losses.append(Loss(TABLE, place[:30], why))
        for cell in cells:
            yield from self._blocks([as_para(each) for each in cell])

    # Inlines

    def _inlines(self, inlines: list[Node]) -> list[Node]:
        made: list[Node] = []
        for each in inlines:
            made += self._inline(each, said(made[-3:]))
        return code_joined(made)

    def _inline(self, inline: Node, before: str) -> list[Node]:
        kind, held = inline["t"], inline.get("c")
        if kind == "Str":
            return [node("Str", held.replace("\u00a0", " ").translate(STAND_IN))]
        if kind in ("Emph", "Underline", "SmallCaps", "Strikeout"):
            return self._inlines(held)
        if kind == "Strong":
            inside = self._inlines(held)
            return [node("Strong", inside)] if words_of(inside) else inside
        if kind in ("Superscript", "Subscript"):
            return self._script("^" if kind == "Superscript" else "_", held)
        if kind == "Quoted":
            marks = "‘’" if held[0]["t"] == "SingleQuote" else "“”"
            return [node("Str", marks[0]), *self._inlines(held[1]), node("Str", marks[1])]
        if kind == "Cite":
            return []
        if kind == "Code":
            return [self._code(held)] if held[1].strip() else []
        if kind == "Math":
            return [node("Math", [held[0], formula(held[1])])]
        if kind == "Link":
            return self._link(held, before)
        if kind == "Image":
            return [image_node(words_of(held[1]).removesuffix("image"), held[2][0])]
        if kind == "Note":
            self._notes.append(held)
            return []
        if kind == "Span":
            return self._inlines(held[1])
        if kind == "RawInline":
            return []
        return [inline]

    def _script(self, sign: str, held: list[Node]) -> list[Node]:
        text = words_of(held)
        if not re.fullmatch(r"[A-Za-z0-9α-ωΑ-Ω+\-−*/=,.()]{1,12}", text) or text in (
            "st",
            "nd",
            "rd",
            "th",
            "TM",
        ):
            return self._inlines(held)
        shown = f"{sign}{text}" if len(text) == 1 else f"{sign}{{{text}}}"
        return [node("Str", shown.translate(STAND_IN))]

    def _code(self, held: Any) -> Node:
        (_, classes, pairs), text = held
        role = dict(pairs).get("role", "")
        if "interpreted-text" in classes:
            return self._role(role, text)
        return node("Code", [["", [], []], text.strip("\n")])

    def _role(self, role: str, text: str) -> Node:
        """A role of Sphinx: the words that a reader sees."""
        from data.dialects import shown_role

        shown = shown_role(role, text, self._titles)
        if shown[:1] == "`":
            return node("Code", [["", [], []], shown.strip("`")])
        return node("Str", shown.translate(STAND_IN))

    def _link(self, held: Any, before: str) -> list[Node]:
        (_, classes, pairs), inlines, (target, _) = held
        given = dict(pairs)
        if "reference" in given or "citation" in classes:
            title = self._titles.get(given.get("reference", ""), "")
            if "citation" in classes:
                return []
            if title and len(title) <= 30:
                return [node("Str", f"“{title}”".translate(STAND_IN))]
            kind = "" if _KIND_BEFORE.search(before) else _kind(given["reference"])
            return [node("Str", kind)] if kind else []
        if "cross-reference" in classes and words_of(inlines) == target[1:]:
            # AsciiDoc's, to a heading in another piece: pandoc fills in those of the same one.
            return [node("Str", self._titles.get(target[1:], target[1:]).translate(STAND_IN))]
        return self._inlines(inlines)


def markdown_of(plain: Plain) -> str:
    """The Markdown of a plain tree."""
    from data.markup.pandoc import write_markdown

    text = without_stand_ins(write_markdown(plain.tree))
    text = re.sub(r"(?m)^<!-- -->\n\n?", "", text)  # parts two lists
    return re.sub(r"(?<=\S) (?=[，。；：、！？）])", "", text)


def _language(classes: list[str]) -> Iterator[str]:
    """The language of a listing; pandoc's own names are no others."""
    for name in classes:
        if name in ("numberLines", "number-lines", "literate", "src", "example"):
            continue
        if name == "objectivec":  # what pandoc makes of C
            name = "c"
        if re.fullmatch(r"[\w+#-]+", name):
            yield name


def _begins(blocks: list[Node], title: str) -> bool:
    return bool(blocks) and words_of(blocks[:1]).strip("*（( ").startswith(title)


def _without_proof(block: Node) -> Node:
    """pandoc writes "Proof." in English before the first words."""
    held = block.get("c")
    if block["t"] != "Para" or not held or held[0]["t"] != "Emph":
        return block
    return node("Para", held[2:]) if words_of(held[0]) == "Proof." else block


def _kind(label: str) -> str:
    from data.dialects import kind_of_label

    return kind_of_label(label)


def _without_number(block: Node) -> Node:
    """pandoc counts theorems otherwise than print: no number rather than a wrong one."""
    held = block.get("c")
    if block["t"] != "Para" or not held or held[0]["t"] != "Strong":
        return block
    title = re.fullmatch(r"(\D+?)\s*\d+(?:\.\d+)*", words_of(held[0]))
    if not title or not re.search(f"[{CJK}]", title.group(1)):
        return block
    return node("Para", [node("Strong", [node("Str", title.group(1))]), *held[1:]])
