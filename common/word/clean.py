"""A document's body as Word shows it: changes accepted, hidden text gone, wrappers opened."""

import re
from typing import Any

from lxml import etree

from common.word.document import WordDocument
from common.word.symbols import lowered, raised, spelled_in, symbol
from common.word.xml import (
    PLACE,
    all_of,
    attribute,
    child,
    is_on,
    name,
    paragraph_number,
    remove,
    replace,
    value,
)

_WRAPPERS = {"w:ins", "w:moveTo", "w:customXml", "w:smartTag", "w:fldSimple", "w:dir", "w:bdo"}
_UNFILLED = "{urn:kit}placeholder"
_MOVED = 4  # half points off the line at which text looks raised
_PROPERTIES = {"w:rPr", "w:pPr", "w:trPr", "w:tcPr", "w:tblPr", "w:sectPr"}


def clean(document: WordDocument) -> None:
    """Turn the body into what Word shows, one step after the other on the whole body.

    Paragraphs are numbered as soon as they are those that Word shows, and before text boxes add
    theirs.
    """
    body = document.body
    _choose_alternatives(body)
    _accept_changes(body)
    _open_wrappers(body)
    _drop_hidden(document)
    _drop_field_codes(body)
    _join_paragraphs(document)
    _number(body)
    _note_unread(document)
    _open_ruby(body)
    _open_text_boxes(body)
    _spell_out(document)


def _choose_alternatives(body: Any) -> None:
    """Of what is written twice, for newer and older programs, the first that holds text."""
    for each in all_of(body, "mc:AlternateContent"):
        branches = [branch for branch in each if name(branch) in ("mc:Choice", "mc:Fallback")]
        texts = [b for b in branches if any(name(t) in ("w:t", "m:t") for t in b.iter())]
        chosen = next(iter(texts or branches), None)
        replace(each, [] if chosen is None else list(chosen))


def _accept_changes(body: Any) -> None:
    """Drop what was deleted or moved away, table rows and cells among it."""
    for each in all_of(body, "w:del", "w:moveFrom"):
        if name(each.getparent()) not in _PROPERTIES:
            remove(each)
    for row in all_of(body, "w:tr"):
        if child(row, "w:trPr", "w:del") is not None or is_on(row, "w:trPr", "w:hidden"):
            remove(row)
    for cell in all_of(body, "w:tc"):
        if child(cell, "w:tcPr", "w:cellDel") is not None:
            remove(cell)


def _open_wrappers(body: Any) -> None:
    """Put the content of controls, tags and insertions where the wrapper stood."""
    for each in all_of(body, "w:sdt", *_WRAPPERS):
        if name(each.getparent()) in _PROPERTIES:
            continue
        inside = child(each, "w:sdtContent") if name(each) == "w:sdt" else each
        if inside is not None and is_on(each, "w:sdtPr", "w:showingPlcHdr"):
            _unfill(inside)
        kept = [] if inside is None else list(inside)
        unwanted = ("w:customXmlPr", "w:smartTagPr", "w:fldData")
        replace(each, [one for one in kept if name(one) not in unwanted])


def _unfill(content: Any) -> None:
    """单击此处输入文字 is no text: nobody has typed there yet. A mark stays, to be told of."""
    for number, text in enumerate(list(content.iter(content.tag.rpartition("}")[0] + "}t"))):
        replace(text, [] if number else [etree.Element(_UNFILLED)])


def _drop_hidden(document: WordDocument) -> None:
    for run in all_of(document.body, "w:r"):
        if _is_hidden(document, run):
            remove(run)


def _is_hidden(document: WordDocument, run: Any) -> bool:
    own = is_on(run, "w:rPr", "w:vanish")
    if own is not None:
        return own
    for style in document.style(value(run, "w:rPr", "w:rStyle")):
        if style.hidden is not None:
            return style.hidden
    paragraph = next((each for each in run.iterancestors() if name(each) == "w:p"), None)
    for style in document.style(value(paragraph, "w:pPr", "w:pStyle")):
        if style.hidden is not None:
            return style.hidden
    return False


def _drop_field_codes(body: Any) -> None:
    """What stands between a field's begin and its separator is its code, nested results too."""
    open_fields: list[tuple[bool, list[Any]]] = []  # (past its separator, text in its code)
    for each in list(body.iter()):
        kind = attribute(each, "fldCharType") if name(each) == "w:fldChar" else None
        if kind == "begin":
            open_fields.append((False, []))
        elif kind == "separate" and open_fields:
            open_fields[-1] = (True, open_fields[-1][1])
        elif kind == "end" and open_fields:
            for text in open_fields.pop()[1]:  # of a field that never ends, all is shown
                remove(text)
        elif name(each) == "w:t":
            for separated, code in open_fields:
                if not separated:
                    code.append(each)


def _join_paragraphs(document: WordDocument) -> None:
    """Where a paragraph's mark is deleted, moved away or hidden, the next one goes on its line."""
    for paragraph in all_of(document.body, "w:p"):
        mark = child(paragraph, "w:pPr", "w:rPr")
        if mark is None:
            continue
        gone = child(mark, "w:del") is not None or child(mark, "w:moveFrom") is not None
        if not (gone or is_on(mark, "w:vanish")):
            continue
        following = paragraph.getnext()
        content = [each for each in paragraph if name(each) != "w:pPr"]
        has_text = any(name(each) == "w:t" for each in paragraph.iter())
        if following is not None and name(following) == "w:p":
            place = 0 if child(following, "w:pPr") is None else 1
            for offset, each in enumerate(content):
                following.insert(place + offset, each)
            remove(paragraph)
        elif not has_text and name(paragraph.getparent()) != "w:tc":
            remove(paragraph)  # a cell keeps its last paragraph


def _number(body: Any) -> None:
    number = 0
    for block in body:
        number += name(block) == "w:p"
        for each in block.iter():
            if name(each) == "w:p":
                each.set(PLACE, str(number))


# What Word shows and no text holds; reader.py has its Chinese names.
_UNREAD = {
    "m:oMath": "formula",
    "a:blip": "picture",
    "v:imagedata": "picture",
    "c:chart": "chart",
    "dgm:relIds": "diagram",
    "o:OLEObject": "embedded object",
    "a:t": "drawing",
    "v:textpath": "drawing",
    "w:ddList": "drop-down field",
    "w:checkBox": "check box",
    "w:footnoteReference": "footnote",
    "w:endnoteReference": "endnote",
    "w:ruby": "phonetic guide",
    "w:contentPart": "drawing",  # handwriting
}


def _note_unread(document: WordDocument) -> None:
    number = 0
    for block in document.body:
        if name(block) == "w:p":
            number = paragraph_number(block)
        for each in block.iter():
            what = "placeholder" if each.tag == _UNFILLED else _UNREAD.get(name(each))
            if name(each) in ("w:altChunk", "w:subDoc"):
                what = "inserted file"
            elif name(each) == "w:instrText" and _is_drawn(each):
                what = "field that draws its text"
            if what:
                document.note(what, number)
    etree.strip_elements(document.body, _UNFILLED)


def _is_drawn(code: Any) -> bool:
    """Whether a field's code makes what is seen: EQ and SYMBOL have no result to read."""
    return bool(re.match(r"\s*(?:eq|symbol|advance)\b", code.text or "", re.IGNORECASE))


def _open_ruby(body: Any) -> None:
    """A phonetic guide's base text is the text; its run is cut in two around it."""
    for ruby in all_of(body, "w:ruby"):
        run = ruby.getparent()
        base = child(ruby, "w:rubyBase")
        if name(run) != "w:r" or run.getparent() is None:
            continue
        after = etree.Element(run.tag)
        if (properties := child(run, "w:rPr")) is not None:
            after.append(_copy(properties))
        after.extend(list(run)[run.index(ruby) + 1 :])
        remove(ruby)
        place = run.getparent().index(run) + 1
        inside = [] if base is None else [each for each in base if name(each) == "w:r"]
        for offset, each in enumerate([*inside, after]):
            run.getparent().insert(place + offset, each)


def _copy(element: Any) -> Any:
    return etree.fromstring(etree.tostring(element))


def _open_text_boxes(body: Any) -> None:
    """The paragraphs of a text box follow the paragraph that it hangs on."""
    for box in all_of(body, "w:txbxContent"):
        host = next((each for each in box.iterancestors() if name(each) == "w:p"), None)
        if host is None or host.getparent() is None:
            continue
        place = host.getparent().index(host) + 1
        for offset, block in enumerate(list(box)):
            host.getparent().insert(place + offset, block)
        drawing = next(
            (e for e in box.iterancestors() if name(e) in ("w:drawing", "w:pict", "w:object")), None
        )
        remove(box)
        left = ("w:txbxContent", "a:blip", "v:imagedata")
        if drawing is not None and not any(name(each) in left for each in drawing.iter()):
            remove(drawing)
        seen = ("w:t", "w:sym", "w:drawing", "w:pict", "w:object", "m:oMath")
        if not any(name(each) in seen for each in host.iter()):
            remove(host)


def _spell_out(document: WordDocument) -> None:
    """Symbols of symbol fonts, and raised or lowered digits, as the characters that look so."""
    for each in all_of(document.body, "w:sym", "w:noBreakHyphen"):
        run = each.getparent()
        if name(each) == "w:noBreakHyphen":
            character = "-"
        else:
            character = symbol(attribute(each, "font") or "", attribute(each, "char") or "")
        if not character:
            document.note("symbol", _number_of(each))
        elif name(run) == "w:r":
            text = etree.Element(run.tag.removesuffix("r") + "t")
            text.text = character
            replace(each, [text])
    for run in all_of(document.body, "w:r"):
        _spell_symbol_font(document, run)
        _note_odd_dress(document, run)
        position = value(run, "w:rPr", "w:vertAlign") or next(
            (s.vertical for s in document.style(value(run, "w:rPr", "w:rStyle")) if s.vertical), ""
        )
        if position not in ("superscript", "subscript"):
            continue
        spell = raised if position == "superscript" else lowered
        for text in (each for each in run if name(each) == "w:t" and (each.text or "").strip()):
            spelled = spell(text.text)
            if spelled is None:
                document.note("raised or lowered text", _number_of(run))
            else:
                text.text = spelled


def _spell_symbol_font(document: WordDocument, run: Any) -> None:
    """Text typed in a symbol font, whose characters mostly stand in the private use area."""
    fonts = child(run, "w:rPr", "w:rFonts")
    named = fonts is not None and (attribute(fonts, "ascii") or attribute(fonts, "hAnsi"))
    for text in (each for each in run if name(each) == "w:t" and each.text):
        text.text, whole = spelled_in(named or "", text.text)
        if not whole:
            document.note("symbol", _number_of(run))


def _note_odd_dress(document: WordDocument, run: Any) -> None:
    """Note digits raised by hand (2¹⁰ as 210), and text that is struck through."""
    text = "".join(each.text or "" for each in run if name(each) == "w:t")
    moved = value(run, "w:rPr", "w:position") or "0"
    if text.strip() and moved.lstrip("-").isdigit() and abs(int(moved)) >= _MOVED:
        document.note("raised or lowered text", _number_of(run))
    own = is_on(run, "w:rPr", "w:strike")
    styles = document.style(value(run, "w:rPr", "w:rStyle"))
    struck = next((s.struck for s in styles if s.struck is not None), None) if own is None else own
    if text.strip() and (struck or is_on(run, "w:rPr", "w:dstrike")):
        document.note("struck-through text", _number_of(run))


def _number_of(element: Any) -> int:
    paragraph = next((each for each in element.iterancestors() if name(each) == "w:p"), None)
    return 0 if paragraph is None else paragraph_number(paragraph)
