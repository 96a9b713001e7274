"""Characters that Word draws with a symbol font, or raises and lowers, as Unicode."""

# Adobe's Symbol encoding (Unicode, Inc.: mappings/vendors/adobe/symbol.txt), where it is not ASCII.
_SYMBOL = {
    **dict(zip(range(0x41, 0x5B), "ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ", strict=True)),
    **dict(zip(range(0x61, 0x7B), "αβχδεφγηιϕκλμνοπθρστυϖωξψζ", strict=True)),
    **dict(zip(range(0xA2, 0xBF), "′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯", strict=True)),
    **dict(zip(range(0xC0, 0xDA), "ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧", strict=True)),
    **dict(zip(range(0xDA, 0xE2), "∨⇔⇐⇑⇒⇓◊⟨", strict=True)),
    **{0x22: "∀", 0x24: "∃", 0x27: "∋", 0x2A: "∗", 0x2D: "−", 0x40: "≅", 0x5C: "∴", 0x5E: "⊥"},
    **{0x7E: "∼", 0xE5: "∑", 0xF1: "⟩", 0xF2: "∫"},
}
_WINGDINGS = {
    **{0x4A: "☺", 0x6C: "●", 0x6E: "■", 0x6F: "□", 0x71: "❑", 0x75: "◆", 0x76: "❖", 0x9F: "•"},
    **{0xA7: "▪", 0xA8: "◻", 0xD8: "➢", 0xDF: "←", 0xE0: "→", 0xE1: "↑", 0xE2: "↓", 0xE8: "➔"},
    **{0xEF: "⇦", 0xF0: "⇨", 0xF3: "⇔", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑"},
    **{0x81 + n: chr(0x2460 + n) for n in range(10)},
}
_FONTS = {"symbol": _SYMBOL, "wingdings": _WINGDINGS}
_UNKNOWN_FONTS = ("wingdings 2", "wingdings 3", "webdings", "mt extra", "marlett")
_PRIVATE = range(0xF000, 0xF100)  # where symbol fonts keep their characters

_RAISED = dict(zip("0123456789+-−=()ni", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ⁿⁱ", strict=True))
_LOWERED = dict(zip("0123456789+-−=()aeoxijn", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₒₓᵢⱼₙ", strict=True))


def symbol(font: str, code: str) -> str | None:
    """The character of a `w:sym` (font name, hexadecimal code), or None for an unknown one."""
    try:
        number = int(code, 16)
    except ValueError:
        return None
    table = _FONTS.get(font.lower())
    if number in _PRIVATE or (number < 0x100 and table):
        number &= 0xFF
        if table is None or number < 0x20:
            return None
        plain = chr(number) if table is _SYMBOL and number < 0x7F else None
        return table.get(number, plain)
    return chr(number) if 0x20 <= number < 0x10000 and not 0xD800 <= number < 0xF900 else None


def spelled_in(font: str, text: str) -> tuple[str, bool]:
    """A text as a run in that font shows it, and whether all of its characters are known."""
    symbols = font.lower() in _FONTS or font.lower() in _UNKNOWN_FONTS
    spelled, whole = [], True
    for each in text:
        # A symbol font has no Chinese: Word takes another font for what it lacks.
        if ord(each) in _PRIVATE or (symbols and 0x20 < ord(each) < 0x100):
            shown = symbol(font, f"{ord(each):x}") if font.lower() in _FONTS else None
            whole = whole and shown is not None
            each = shown or each
        spelled.append(each)
    return "".join(spelled), whole


def raised(text: str) -> str | None:
    """The text in superscript characters (2¹⁰), or None where Unicode has not all of them."""
    return _mapped(text, _RAISED)


def lowered(text: str) -> str | None:
    """The text in subscript characters (x₁), or None where Unicode has not all of them."""
    return _mapped(text, _LOWERED)


def _mapped(text: str, table: dict[str, str]) -> str | None:
    mapped = [character if character.isspace() else table.get(character) for character in text]
    return None if None in mapped else "".join(mapped)
