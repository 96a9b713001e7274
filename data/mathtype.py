"""Formulas of MathType (Equation.DSMT4) → LaTeX.

An object of MathType keeps its formula as MTEF records (version 5) in the OLE stream "Equation
Native". Records, templates and typefaces are those of "MTEF v.5", the format's description in
MathType's SDK. What is not known here raises, so that the formula is counted as not read.
"""

import io
from dataclasses import dataclass, field

from markitdown.converter_utils.docx.math.latex_dict import T as SYMBOLS

_HEADER = 28  # bytes of EQNOLEFILEHDR before the records
_END, _LINE, _CHAR, _TMPL, _PILE, _MATRIX, _EMBELL, _RULER = range(8)
_FONT_STYLE, _SIZE = 8, 9
_SIZES = range(10, 15)
_COLOR, _COLOR_DEF, _FONT_DEF, _PREFS, _ENCODING = range(15, 20)
_NULL, _HAS_RULER, _SPACED, _NUDGED = 1, 2, 4, 8
_FENCES = {0: ("⟨", "⟩"), 1: ("(", ")"), 2: (r"\{", r"\}"), 3: ("[", "]"), 4: ("|", "|"),
           5: (r"\|", r"\|"), 6: (r"\lfloor ", r"\rfloor "), 7: (r"\lceil ", r"\rceil "),
           8: ("[", "]")}  # fmt: skip
_INTEGRAL = 15
_BIG = {16: r"\sum", 17: r"\prod", 18: r"\coprod", 19: r"\bigcup", 20: r"\bigcap",
        21: r"\int", 22: r"\sum"}  # fmt: skip
# Of an integral's variation: how many signs, its loop (without an arrow, clockwise, counter-
# clockwise), which limits it has and where, whether the signs grow.
_SIGNS, _LOOP, _PLAIN_LOOP, _LOOKS = 0x3, 0xC, 0x4, 0x170
_INTERVAL, _ARROW, _LIM, _LDIV, _SUB, _SUBSUP, _DIRAC, _VEC = 9, 14, 23, 26, 27, 29, 30, 31
_OVER = {12: r"\underline", 13: r"\overline", 32: r"\tilde", 33: r"\hat",
         34: r"\overset{\frown}", 35: r"\overbracket", 37: r"\boxed"}  # fmt: skip
_BRACES = {24: "brace", 25: "bracket"}  # over or under a term, with a note
_STRIKE, _STRUCK = 36, {2: r"\cancel", 4: r"\bcancel", 6: r"\xcancel"}
_ENDS = "()[]"  # of an interval, by two bits each
_EMBELLISHED = {2: r"\dot", 3: r"\ddot", 4: r"\dddot", 5: "'", 6: "''", 8: r"\tilde",
                9: r"\hat", 10: r"\not", 11: r"\vec", 12: r"\overleftarrow", 17: r"\bar",
                18: "'''"}  # fmt: skip
_TEXT, _FUNCTION, _VECTOR = 1, 2, 7


@dataclass
class _Node:
    """A record: its kind, LaTeX for characters, selector and variation of templates, content."""

    kind: int
    latex: str = ""
    selector: int = 0
    variation: int = 0
    rows: int = 0
    columns: int = 0
    inside: list["_Node"] = field(default_factory=list)
    typeface: int = 0
    unknown: str = ""  # why a character cannot be said; those that draw a fence need not be


def mathtype_latex(content: bytes) -> str:
    """The LaTeX of an embedded object's bytes. Raises ValueError where it is none, or unknown."""
    import olefile

    try:
        with olefile.OleFileIO(io.BytesIO(content)) as ole:
            data = ole.openstream("Equation Native").read()
        return _Reader(data[_HEADER:]).latex()
    except (OSError, IndexError, RecursionError) as error:
        raise ValueError(f"no formula of MathType: {error}") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        if not data or data[0] != 5:
            raise ValueError(f"MTEF version {data[0] if data else 'none'}")
        self.data, self.place = data, 5
        self._name()  # of the application
        self._pass(1)  # options of the equation

    def latex(self) -> str:
        return " ".join(_joined(self._objects()).split())

    def _pass(self, count: int) -> None:
        self.place += count

    def _byte(self) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def _word(self) -> int:
        return self._byte() | self._byte() << 8

    def _number(self) -> int:
        first = self._byte()
        return self._word() if first == 255 else first

    def _name(self) -> bytes:
        end = self.data.index(0, self.place)
        found = self.data[self.place : end]
        self.place = end + 1
        return found

    def _nudge(self, options: int) -> None:
        """An offset: two bytes, and two words where both are 128."""
        if options & _NUDGED and (self._byte(), self._byte()) == (128, 128):
            self._pass(4)

    def _objects(self) -> list[_Node]:
        """Records up to END, or to the end of the data."""
        found = []
        while self.place < len(self.data):
            kind = self._byte()
            if kind == _END:
                break
            node = self._record(kind)
            if node is not None:
                found.append(node)
        return found

    def _record(self, kind: int) -> _Node | None:
        if kind in (_LINE, _PILE):
            options = self._byte()
            self._nudge(options)
            self._pass(2 if kind == _PILE else 0)
            self._pass(2 if kind == _LINE and options & _SPACED else 0)
            if options & _HAS_RULER:
                if self._byte() != _RULER:  # some files have its tag, some do not
                    self.place -= 1
                self._ruler()
            return _Node(kind, inside=[] if options & _NULL and kind == _LINE else self._objects())
        if kind == _CHAR:
            return self._char()
        if kind == _TMPL:
            self._nudge(self._byte())
            node = _Node(kind, selector=self._byte(), variation=self._byte())
            if node.variation & 0x80:
                node.variation = node.variation & 0x7F | self._byte() << 8
            self._pass(1)
            node.inside = self._objects()
            return node
        if kind == _MATRIX:
            self._nudge(self._byte())
            self._pass(3)
            node = _Node(kind, rows=self._byte(), columns=self._byte())
            self._pass((node.rows + 4) // 4 + (node.columns + 4) // 4)
            node.inside = self._objects()
            return node
        if kind == _EMBELL:
            self._nudge(self._byte())
            return _Node(kind, selector=self._byte())
        self._skip(kind)
        return None

    def _ruler(self) -> None:
        self._pass(3 * self._byte())

    def _skip(self, kind: int) -> None:
        """Records that say how a formula looks."""
        if kind == _RULER:
            self._ruler()
        elif kind == _FONT_STYLE:
            self._number()
            self._pass(1)
        elif kind == _SIZE:
            size = self._byte()
            self._pass(2 if size == 101 else 3 if size == 100 else 1)
        elif kind == _COLOR:
            self._number()
        elif kind == _COLOR_DEF:
            options = self._byte()
            self._pass(8 if options & 1 else 6)
            if options & 4:
                self._name()
        elif kind == _FONT_DEF:
            self._number()
            self._name()
        elif kind == _PREFS:
            self._pass(1)
            for _ in range(2):
                self._dimensions(self._byte())
            for _ in range(self._byte()):
                self._pass(1 if self._byte() else 0)
        elif kind == _ENCODING:
            self._name()
        elif kind >= 100:
            self._pass(self._number())
        elif kind not in _SIZES:
            raise ValueError(f"unknown record {kind}")

    def _dimensions(self, count: int) -> None:
        """Nibbles, those of each dimension ended by 15."""
        ended = 0
        while ended < count:
            byte = self._byte()
            ended += (byte >> 4 == 15) + (byte & 15 == 15 and ended + (byte >> 4 == 15) < count)

    def _char(self) -> _Node:
        options = self._byte()
        self._nudge(options)
        typeface = self._byte() - 128
        code = 0 if options & 0x20 else self._word()
        self._pass(1 if options & 4 else 0)
        self._pass(2 if options & 0x10 else 0)
        node = _Node(_CHAR, typeface=typeface)
        try:
            node.latex = _sign(code, typeface)
        except ValueError as error:
            node.unknown = str(error)
        for mark in self._objects() if options & 1 else []:
            over = _EMBELLISHED.get(mark.selector)
            if over is None:
                raise ValueError(f"unknown embellishment {mark.selector}")
            node.latex = node.latex + over if over[0] == "'" else f"{over}{{{node.latex.strip()}}}"
        return node


def _sign(code: int, typeface: int) -> str:
    if 0xEF00 <= code <= 0xEF0F or code == 0x20:
        return " "
    if not code or 0xE000 <= code < 0xF900:
        raise ValueError(f"unknown character {code:04x}")
    sign = "-" if code == 0x2212 else chr(code)
    if sign in "{}%#&$":
        return f"\\{sign}"
    return SYMBOLS.get(sign, sign) if typeface != _TEXT else sign


def _joined(nodes: list[_Node]) -> str:
    """LaTeX of a slot's records; words of one typeface are put together."""
    out: list[str] = []
    position = 0
    while position < len(nodes):
        node = nodes[position]
        position += 1
        if node.unknown:
            raise ValueError(node.unknown)
        if node.kind == _CHAR and node.typeface in (_TEXT, _FUNCTION, _VECTOR):
            word = node.latex
            while position < len(nodes) and nodes[position].kind == _CHAR:
                if nodes[position].typeface != node.typeface or nodes[position].unknown:
                    break
                word += nodes[position].latex
                position += 1
            face = {_TEXT: r"\text", _FUNCTION: r"\operatorname", _VECTOR: r"\mathbf"}
            plain = not word.strip() or not word.strip()[-1:].isalpha()
            out.append(word if plain else f"{face[node.typeface]}{{{word.strip()}}}")
        elif node.kind == _CHAR:
            out.append(node.latex)
        elif node.kind == _TMPL:
            out.append(_template(node))
        elif node.kind == _MATRIX:
            cells = [_joined(line.inside) for line in node.inside]
            rows = [cells[n : n + node.columns] for n in range(0, len(cells), node.columns)]
            lines = r" \\ ".join(" & ".join(row) for row in rows)
            out.append(rf"\begin{{matrix}} {lines} \end{{matrix}}")
        elif node.kind == _PILE and len(node.inside) > 1:
            lines = r" \\ ".join(_joined(line.inside) for line in node.inside)
            out.append(rf"\begin{{aligned}} {lines} \end{{aligned}}")
        elif node.kind in (_LINE, _PILE):
            out.append(_joined(node.inside))
    return "".join(out)


def _template(node: _Node) -> str:
    slots = [_joined([each]) for each in node.inside if each.kind in (_LINE, _PILE)]
    slots += [""] * (3 - len(slots))
    selector, main = node.selector, slots[0]
    if selector in _FENCES:
        left, right = _FENCES[selector]
        left = left if node.variation & 1 else "."
        right = right if node.variation & 2 else "."
        return rf"\left{left}{main}\right{right}"
    if selector == 10:
        return rf"\sqrt[{slots[1]}]{{{main}}}" if slots[1] else rf"\sqrt{{{main}}}"
    if selector == 11:
        return rf"\frac{{{main}}}{{{slots[1]}}}"
    if selector in _OVER:
        twice = selector in (12, 13) and node.variation & 1
        main = rf"{_OVER[selector]}{{{main}}}" if twice else main
        return rf"{_OVER[selector]}{{{main}}}"
    if selector == _INTEGRAL:
        return f"{_integral(node.variation)}{_limits(slots[1], slots[2])} {main}"
    if selector in _BIG:
        return f"{_BIG[selector]}{_limits(slots[1], slots[2])} {main}"
    if selector == _LIM:
        return f"{main}{_limits(slots[1], slots[2])}"
    if _SUB <= selector <= _SUBSUP:
        before = "{}" if node.variation & 1 else ""  # the scripts stand before their term
        return before + _limits(slots[0], slots[1])
    if selector == _INTERVAL:
        left, right = _ENDS[node.variation & 3], _ENDS[node.variation >> 4 & 3]
        return rf"\left{left}{main}\right{right}"
    if selector == _ARROW:
        return _arrow(node.variation, slots[0], slots[1])
    if selector == _VEC:
        return _vector(node.variation, main)
    if selector in _BRACES:
        side, sign = ("over", "^") if node.variation & 1 else ("under", "_")
        note = f"{sign}{{{slots[1]}}}" if slots[1].strip() else ""
        return rf"\{side}{_BRACES[selector]}{{{main}}}{note}"
    if selector == _LDIV:
        divided = rf"\overline{{\left){main}\right.}}"
        return rf"\overset{{{slots[1]}}}{{{divided}}}" if slots[1].strip() else divided
    if selector == _DIRAC:
        bra = rf"\left\langle {main}\right|" if node.variation & 1 else ""
        ket = rf"\left|{slots[1]}\right\rangle" if node.variation & 2 else ""
        return bra + ket
    if selector == _STRIKE:
        return rf"{_STRUCK.get(node.variation & 6, _STRUCK[2])}{{{main}}}"
    raise ValueError(f"unknown template {selector}")


def _arrow(variation: int, above: str, below: str) -> str:
    """An arrow with words above and below: one, two, or two harpoons."""
    if variation & 3:
        sign = r"\rightleftharpoons" if variation & 2 else r"\rightleftarrows"
        sign = rf"\overset{{{above}}}{{{sign}}}" if above.strip() else sign
        return rf"\underset{{{below}}}{{{sign}}}" if below.strip() else f"{sign} "
    left, right = variation & 0x10, variation & 0x20
    name = "leftright" if left and right else "left" if left else "right"
    under = f"[{below}]" if below.strip() else ""
    return rf"\x{name}arrow{under}{{{above}}}"


def _vector(variation: int, main: str) -> str:
    """An arrow or harpoon over a term, or under it."""
    left, right, under, harpoon = (variation & bit for bit in (1, 2, 4, 8))
    if variation in (0, 2):
        return rf"\vec{{{main}}}"
    name = "leftright" if left and right else "left" if left else "right"
    if harpoon:
        sign = rf"\{'right' if name == 'leftright' else name}harpoonup"
        return rf"\{'under' if under else 'over'}set{{{sign}}}{{{main}}}"
    return rf"\{'under' if under else 'over'}{name}arrow{{{main}}}"


def _integral(variation: int) -> str:
    r"""The sign: \int, \iint, \iiint, or \oint and its like. Raises ValueError."""
    signs, loop = max(1, variation & _SIGNS), variation & _LOOP
    unknown = variation & ~(_SIGNS | _LOOP | _LOOKS)
    if unknown or (signs > 1 and loop not in (0, _PLAIN_LOOP)):  # no sign for arrows on several
        raise ValueError(f"unknown integral {variation:04x}")
    return rf"\{'o' if loop else ''}{'i' * signs}nt"


def _limits(low: str, high: str) -> str:
    parts = [f"{sign}{{{text}}}" for sign, text in (("_", low), ("^", high)) if text.strip()]
    return "".join(parts)
