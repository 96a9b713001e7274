"""Formulas of Word files (OMML) → LaTeX, one by one: an odd one costs itself only.

The converter is markitdown's; what it does not know or gets wrong is added here.
"""

import re
import unicodedata
from typing import Any
from xml.etree import ElementTree

from lxml import etree
from markitdown.converter_utils.docx.math.latex_dict import CHR_BO, LIM_FUNC
from markitdown.converter_utils.docx.math.omml import OMML_NS, get_char, oMath2Latex

_STRICT = b"http://purl.oclc.org/ooxml/officeDocument/math"


class _Converter(oMath2Latex):
    """Limits under any sign, the integral as the sign that is meant when none is named, several
    terms within one pair of brackets, scripts before a base, boxes."""

    def do_limlow(self, element: Any) -> str:
        parts = self.process_children_dict(element, include=("e", "lim"))
        base, limit = parts.get("e", ""), parts.get("lim", "")
        known = LIM_FUNC.get(base)
        return known.format(lim=limit) if known else rf"\underset{{{limit}}}{{{base}}}"

    def do_nary(self, element: Any) -> str:
        sign, rest = r"\int", []
        for tag, text, _ in self.process_children_list(element):
            if tag == "naryPr":
                sign = get_char(text.chr, default=r"\int", store=CHR_BO)
            else:
                rest.append(text)
        return sign + "".join(map(str, rest))

    def do_d(self, element: Any) -> str:
        """The library keeps the last of several terms: (a | b) would become (b)."""
        terms = [child for child in element if child.tag == f"{OMML_NS}e"]
        if len(terms) < 2:
            return oMath2Latex.do_d(self, element)
        marks = {"begChr": "(", "endChr": ")", "sepChr": "|"}
        for tag in marks:
            found = element.find(f"{OMML_NS}dPr/{OMML_NS}{tag}")
            if found is not None:
                marks[tag] = found.get(f"{OMML_NS}val", "")
        inside = f" {marks['sepChr']} ".join(self.process_children(term) for term in terms)
        left, right = marks["begChr"] or ".", marks["endChr"] or "."
        shown = [rf"\{mark}" if mark in "{}" else mark for mark in (left, right)]
        return rf"\left{shown[0]}{inside}\right{shown[1]}"

    def do_spre(self, element: Any) -> str:
        parts = self.process_children_dict(element)
        return f"{{}}{parts.get('sub', '')}{parts.get('sup', '')}{parts.get('e', '')}"

    def do_eqarr(self, element: Any) -> str:
        """The marks at which lines are aligned are no signs."""
        return str(oMath2Latex.do_eqarr(self, element)).replace(r"\&", "")

    def do_groupchr(self, element: Any) -> str:
        """A brace, an arrow or another sign over or under a term."""
        sign, place = "⏟", "bot"
        for name in ("chr", "pos"):
            found = element.find(f"{OMML_NS}groupChrPr/{OMML_NS}{name}")
            value = found.get(f"{OMML_NS}val", "") if found is not None else ""
            sign, place = (value or sign, place) if name == "chr" else (sign, value or place)
        base = self.process_children(element, include=("e",))
        if sign in "⏟⏞":
            return rf"\{'under' if sign == '⏟' else 'over'}brace{{{base}}}"
        return rf"\{'over' if place == 'top' else 'under'}set{{{sign}}}{{{base}}}"

    def do_inside(self, element: Any) -> str:
        return self.process_children(element, include=("e",))

    tag2meth = {
        **oMath2Latex.tag2meth,
        "limLow": do_limlow,
        "nary": do_nary,
        "d": do_d,
        "sPre": do_spre,
        "eqArr": do_eqarr,
        "groupChr": do_groupchr,
        "borderBox": do_inside,
        "phant": do_inside,
    }


# Elements that the library wants with properties, which the format lets be left out.
_WITH_PROPERTIES = ("f", "acc", "bar", "d", "groupChr")
_MATH_LETTERS = re.compile("[\U0001d400-\U0001d7ff]+")


def _with_properties(formula: Any) -> Any:
    for name in _WITH_PROPERTIES:
        for element in formula.iter(f"{OMML_NS}{name}"):
            if element.find(f"{OMML_NS}{name}Pr") is None:
                element.insert(0, ElementTree.Element(f"{OMML_NS}{name}Pr"))
    return formula


def _letters(text: str) -> str:
    """Italic and bold letters of formulas as plain ones: 𝑥 is not the x that a judge counts."""
    return _MATH_LETTERS.sub(lambda m: unicodedata.normalize("NFKC", m.group()), text)


def to_latex(formula: Any) -> tuple[str, bool]:
    """(LaTeX of an m:oMath element of lxml, True), or (its plain text, False)."""
    source = etree.tostring(formula, with_tail=False).replace(_STRICT, OMML_NS[1:-1].encode())
    try:
        latex = _Converter(_with_properties(ElementTree.fromstring(source))).latex.strip()
    # The library stops at an element without the properties it expects in any of these ways.
    except (NotImplementedError, KeyError, TypeError, AttributeError, IndexError, ValueError):
        latex = ""
    texts = [each.text or "" for each in formula.iter() if str(each.tag).endswith("}t")]
    latex = re.sub(r"[\^_]\{\}(?!_|\^)", "", latex)  # a sum without an upper bound
    latex, plain = _letters(latex), _letters("".join(texts).strip())
    if latex or not plain:
        return latex, True
    return plain, False
