"""pandoc's tables with one line a row, as Markdown has them."""

from collections.abc import Callable, Iterator
from typing import Any

from data.markup.nodes import Node, node, one_line, words_of


def table_of(
    held: Any, plain: Callable[[list[Node]], list[Node]]
) -> tuple[str, list[list[Node]], Node | None]:
    """(caption, cells, table) of pandoc's table: the cells where it cannot have one line a row.

    plain: makes inlines plain.
    """
    _, (_, caption), columns, head, bodies, foot = held
    rows = [*head[1], *(row for body in bodies for row in [*body[2], *body[3]]), *foot[1]]
    cells = [cell[4] for _, cells in rows for cell in cells]
    if len(columns) < 2 or any(_long(block) for cell in cells for block in cell):
        return words_of(caption), cells, None
    lines = [[(c[2], c[3], _cell(c[4], plain)) for c in cells] for _, cells in rows]
    shown = [row for row in _even(lines, len(columns)) if any(row)]
    if not shown:
        return words_of(caption), [], None
    made = [[["", [], []], [_cell_node(each) for each in row]] for row in shown]
    sizes = [[{"t": "AlignDefault"}, {"t": "ColWidthDefault"}] for _ in columns]
    none: list[Any] = ["", [], []]
    body = [none, 0, [], made[1:]]
    table = node("Table", [none, [None, []], sizes, [none, made[:1]], [body], [none, []]])
    return words_of(caption), [], table


def _cell(blocks: list[Node], plain: Callable[[list[Node]], list[Node]]) -> list[Node]:
    """A cell's blocks as one line."""
    line: list[Node] = []
    for inlines in _lines_of(blocks):
        made = [_in_cell(each) for each in one_line(plain(inlines))]
        line += [*([node("Space")] if line and made else []), *made]
    return line


def _long(block: Node) -> bool:
    kind = block["t"]
    if kind == "CodeBlock":
        return "\n" in block["c"][1].strip()
    return kind in ("Table", "OrderedList", "Figure") or (
        kind == "Div" and any(map(_long, block["c"][1]))
    )


def _lines_of(blocks: list[Node]) -> Iterator[list[Node]]:
    for block in blocks:
        kind, held = block["t"], block.get("c")
        if kind in ("Plain", "Para"):
            yield held
        elif kind == "CodeBlock":
            yield [node("Code", [["", [], []], held[1].strip()])]
        elif kind == "LineBlock":
            yield from held
        elif kind in ("BulletList",):
            for item in held:
                yield from _lines_of(item)
        elif kind == "BlockQuote":
            yield from _lines_of(held)
        elif kind == "Div":
            yield from _lines_of(held[1])
        elif kind == "DefinitionList":
            for term, meanings in held:
                yield term
                for meaning in meanings:
                    yield from _lines_of(meaning)


def _in_cell(inline: Node) -> Node:
    """A bar within a cell would end it."""
    if inline["t"] == "Math":
        text = inline["c"][1].replace(r"\|", r"\Vert ").replace("|", r"\vert ")
        return node("Math", [{"t": "InlineMath"}, text])
    return inline


def _even(rows: list[list[tuple[int, int, list[Node]]]], width: int) -> list[list[list[Node]]]:
    """Rows of `width` cells: one that spans several rows is said in each."""
    shown = []
    open_cells: dict[int, tuple[int, list[Node]]] = {}
    for row in rows:
        line: list[list[Node]] = []
        cells = iter(row)
        while len(line) < width:
            column = len(line)
            if column in open_cells:
                left, again = open_cells.pop(column)
                if left > 1:
                    open_cells[column] = (left - 1, again)
                line.append(again)
                continue
            down, across, content = next(cells, (1, 1, []))
            for extra in range(min(across, width - column)):
                if down > 1:
                    open_cells[column + extra] = (down - 1, content if not extra else [])
                line.append(content if not extra else [])
        shown.append(line)
    return shown


def _cell_node(inlines: list[Node]) -> list[Any]:
    return [["", [], []], {"t": "AlignDefault"}, 1, 1, [node("Plain", inlines)]]
