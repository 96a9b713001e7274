"""Drawings made of characters: boxes of +--+ and |, or of ┌─┐ and │."""

import re

_EDGE = re.compile(r"\+-{2,}[-+>]|[┌└├╭╰┏┗╔╚][─━═]+[┬┴]?[┐┘┤╮╯┓┛╗╝─━═]")
_JOINED = re.compile(
    # arrows at boxes; one of a single dash stands in tables, too (EXPLAIN's "| -> Limit")
    r"[|+│┤┐┘][ \t]*[-─]{2,}[>►▶→]|[<◄◀←][-─]{2,}[ \t]*[|+│├┌└]|[-─]{2,}[>►▶→][ \t]*[|+│┌├└]"
    r"|[+┐┘╮╯┓┛╗╝] {2,}[+┌└╭╰┏┗╔╚]"  # boxes side by side
    r"|(?m:^[\s|│]*[vV^▼▲↓↑][\s|│vV^▼▲↓↑]*$)"  # arrows between boxes
)
_ROW = re.compile(r"[+|│┌├└╔╠╚┏┣┗].*[+|│┐┤┘╗╣╝┓┫┛]")


def is_drawing(text: str) -> bool:
    """Does a block draw boxes that are joined, side by side, or one upon another as in memory?

    A single box may be a table that a program printed: it stays text.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    edges = [number for number, line in enumerate(lines) if _EDGE.search(line)]
    if len(edges) < 2:
        return False
    if _JOINED.search(text):
        return True
    inside = lines[edges[0] : edges[-1] + 1]
    single = all(_ROW.fullmatch(line) and line.count("|") <= 2 for line in inside)
    # A printed table has one edge below its head, memory one between all its parts.
    return single and len(edges) > 3
