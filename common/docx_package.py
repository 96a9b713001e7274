"""Word files as Word shows them: changes accepted, hidden text gone, wrappers opened.

Test sets and books are read from the same cleaned tree: `open_docx` gives it to the reader of test
sets, `plain_docx` puts it back into a file for the converter of books. Only the parts that hold
text are opened, so that a relationship to nowhere, a macro file under another name or strict
OOXML costs nothing.
"""

import io
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lxml import etree

from common.archives import OLD_OFFICE, check_archive
from common.docx_symbols import lowered, raised, symbol

_SPACES = {
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main": "w",
    "http://purl.oclc.org/ooxml/wordprocessingml/main": "w",
    "http://schemas.openxmlformats.org/officeDocument/2006/math": "m",
    "http://purl.oclc.org/ooxml/officeDocument/math": "m",
    "http://schemas.openxmlformats.org/markup-compatibility/2006": "mc",
    "http://schemas.openxmlformats.org/drawingml/2006/main": "a",
    "http://purl.oclc.org/ooxml/drawingml/main": "a",
    "http://schemas.openxmlformats.org/drawingml/2006/chart": "c",
    "http://purl.oclc.org/ooxml/drawingml/chart": "c",
    "http://schemas.openxmlformats.org/drawingml/2006/diagram": "dgm",
    "http://purl.oclc.org/ooxml/drawingml/diagram": "dgm",
    "urn:schemas-microsoft-com:vml": "v",
    "urn:schemas-microsoft-com:office:office": "o",
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships": "r",
    "http://purl.oclc.org/ooxml/officeDocument/relationships": "r",
}
_PLACE = "{urn:kit}paragraph"  # on every w:p while it is worked on: its number
_WRAPPERS = {"w:ins", "w:moveTo", "w:customXml", "w:smartTag", "w:fldSimple", "w:dir", "w:bdo"}
_PROPERTIES = {"w:rPr", "w:pPr", "w:trPr", "w:tcPr", "w:tblPr", "w:sectPr"}
_MAIN_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_OTHER_TYPES = re.compile(
    r"application/vnd\.(?:ms-word\.(?:document|template)\.macroEnabled(?:Template)?\.main"
    r"|openxmlformats-officedocument\.wordprocessingml\.template\.main)\+xml"
)
# A damaged file shows itself anywhere between the zip directory and the last XML node.
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, etree.LxmlError, OSError, EOFError, RecursionError),
    *(KeyError, IndexError, ValueError, AttributeError, TypeError, NotImplementedError),
)


class DocxError(ValueError):
    """A file that is no readable Word document; the message says why, not which file."""


@dataclass(frozen=True)
class Style:
    """What a style says about text: its name, the one it is based on, and three properties."""

    name: str = ""
    based_on: str = ""
    hidden: bool | None = None
    vertical: str = ""
    outline: str = ""
    numbering: Any = None


@dataclass
class WordDocument:
    """The cleaned body, the styles by id, the numbering part's root, and what could not be read.

    `unread` maps what it is ("formula", "picture", …) to the numbers of its paragraphs.
    """

    body: Any
    styles: Mapping[str, Style]
    numbering: Any = None
    unread: dict[str, list[int]] = field(default_factory=dict)

    def note(self, what: str, number: int) -> None:
        """Something visible in paragraph `number` is not in the text."""
        found = self.unread.setdefault(what, [])
        if number not in found:
            found.append(number)

    def style(self, style_id: str | None) -> Iterator[Style]:
        """A style and those it is based on, nearest first."""
        seen = set()
        while style_id and style_id not in seen and style_id in self.styles:
            seen.add(style_id)
            found = self.styles[style_id]
            yield found
            style_id = found.based_on


def name(element: Any) -> str:
    """An element's name with its usual prefix, such as "w:p"; strict OOXML has the same ones."""
    if not isinstance(element.tag, str):
        return ""
    space, _, local = element.tag.rpartition("}")
    return f"{_SPACES.get(space[1:], '?')}:{local}"


def attribute(element: Any, local: str) -> str | None:
    """An attribute by its local name, whatever its namespace."""
    for key, value in element.attrib.items():
        if key.rpartition("}")[2] == local:
            return value
    return None


def child(element: Any, *names: str) -> Any:
    """The first child of each name in turn (child(p, "w:pPr", "w:pStyle")), or None."""
    for wanted in names:
        if element is None:
            return None
        element = next((each for each in element if name(each) == wanted), None)
    return element


def value(element: Any, *names: str) -> str | None:
    """The w:val of such a child, or None."""
    found = child(element, *names)
    return None if found is None else attribute(found, "val")


def is_on(element: Any, *names: str) -> bool | None:
    """A switch such as w:b: None where it is not set, else whether it is on."""
    found = child(element, *names)
    if found is None:
        return None
    return (attribute(found, "val") or "true").lower() not in ("false", "0", "off", "none")


def paragraph_number(paragraph: Any) -> int:
    """A paragraph's number in reading order, from 1, blank ones counted.

    Those inside a table or a text box have the number of the paragraph before it.
    """
    return int(paragraph.get(_PLACE, 0))


def open_docx(path: Path) -> WordDocument:
    """The document, cleaned. Raises DocxError when it is none, and for a hostile archive."""
    return _guarded(path, lambda parts: parts.document())


def plain_docx(path: Path) -> bytes:
    """The file again, its text as Word shows it and nothing that a converter could miss.

    Raises DocxError.
    """
    return _guarded(path, lambda parts: parts.repacked())


def _guarded(path: Path, work: Any) -> Any:
    try:
        with path.open("rb") as stream:
            if stream.read(8) == OLD_OFFICE:
                raise DocxError("it is encrypted or an old .doc: save it as .docx without password")
        check_archive(path)
        with zipfile.ZipFile(path) as archive:
            return work(_Parts(archive))
    except DocxError:
        raise
    except _DAMAGE as error:
        raise DocxError(f"it is broken ({type(error).__name__}: {error})") from error


class _Parts:
    """The parts of a package that are looked at."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        # Some tools write backslashes, or names in another case than they are asked for.
        self.names = {
            each.replace("\\", "/").lstrip("/").lower(): each for each in archive.namelist()
        }
        self.main = self._main()
        self.relations = self._relations(self.main)

    def document(self) -> WordDocument:
        root = self._parsed(self.main)
        body = child(root, "w:body")
        if body is None:
            raise DocxError("it is broken: its main part has no body")
        styles = self._related("styles")
        document = WordDocument(body, _styles(styles), self._related("numbering"))
        _clean(document)
        return document

    def repacked(self) -> bytes:
        document = self.document()
        self._drop_broken_links(document.body)
        etree.strip_attributes(document.body, _PLACE)
        new = {
            self.names[self.main]: etree.tostring(
                document.body.getroottree(), xml_declaration=True, encoding="UTF-8", standalone=True
            )
        }
        types = self.names.get("[content_types].xml")
        if types:
            text = self.archive.read(types).decode("utf-8", "replace")
            new[types] = _OTHER_TYPES.sub(_MAIN_TYPE, text).encode()
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
            for each in dict.fromkeys(self.archive.namelist()):
                target.writestr(each, new[each] if each in new else self.archive.read(each))
        return out.getvalue()

    def _main(self) -> str:
        """The part that holds the text, as the package says, else under its usual name."""
        for kind, target, _ in self._relations("").values():
            if kind == "officeDocument" and target in self.names:
                return target
        for usual in sorted(self.names):
            if re.fullmatch(r"word/document\d*\.xml", usual):
                return usual
        raise DocxError("it is broken: there is no document in it")

    def _related(self, kind: str) -> Any:
        """The root of the main part's first relation of a kind, or None."""
        for found, target, _ in self.relations.values():
            if found == kind and target in self.names:
                return self._parsed(target)
        usual = f"word/{kind}.xml"
        return self._parsed(usual) if usual in self.names else None

    def _relations(self, part: str) -> dict[str, tuple[str, str, bool]]:
        """Relation id → (kind, part that it leads to, whether it leads outside)."""
        folder, _, file = part.rpartition("/")
        listing = f"{folder}/_rels/{file}.rels".lstrip("/")
        if listing not in self.names:
            return {}
        found = {}
        for each in self._parsed(listing):
            target = each.get("Target") or ""
            outside = each.get("TargetMode") == "External"
            if not outside:
                target = posixpath.normpath(posixpath.join("/" + folder, target)).lstrip("/")
                target = target.lower()
            kind = (each.get("Type") or "").rpartition("/")[2]
            found[each.get("Id") or ""] = (kind, target, outside)
        return found

    def _parsed(self, part: str) -> Any:
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
        )
        return etree.fromstring(self.archive.read(self.names[part]), parser)

    def _drop_broken_links(self, body: Any) -> None:
        """Take out pictures and links whose part is missing: a converter would stop at them."""
        for element in list(body.iter()):
            for key in list(element.attrib):
                space, _, local = key.rpartition("}")
                if _SPACES.get(space[1:]) != "r" or local not in ("id", "embed", "link"):
                    continue
                _, target, outside = self.relations.get(element.attrib[key], ("", "", False))
                if outside or target in self.names:
                    continue
                if name(element) in ("a:blip", "v:imagedata"):
                    _remove(element)
                    break
                del element.attrib[key]


def _styles(root: Any) -> dict[str, Style]:
    found = {}
    for each in root if root is not None else ():
        if name(each) != "w:style":
            continue
        found[attribute(each, "styleId") or ""] = Style(
            value(each, "w:name") or "",
            value(each, "w:basedOn") or "",
            is_on(each, "w:rPr", "w:vanish"),
            value(each, "w:rPr", "w:vertAlign") or "",
            value(each, "w:pPr", "w:outlineLvl") or "",
            child(each, "w:pPr", "w:numPr"),
        )
    return found


def _clean(document: WordDocument) -> None:
    """All steps, each on the whole body; paragraphs are numbered as soon as they are what is seen,
    and before text boxes add theirs."""
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


def _all(root: Any, *names: str) -> list[Any]:
    """Elements of these names, those inside others first."""
    tags = [f"{{{space}}}{each[len(prefix) + 1:]}" for each in names
            for space, prefix in _SPACES.items() if each.startswith(f"{prefix}:")]  # fmt: skip
    return list(root.iter(*tags))[::-1]


def _remove(element: Any) -> None:
    """Take an element out; text never stands behind one in these files."""
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _replace(element: Any, others: list[Any]) -> None:
    parent = element.getparent()
    place = parent.index(element)
    parent.remove(element)
    for offset, other in enumerate(others):
        parent.insert(place + offset, other)


def _choose_alternatives(body: Any) -> None:
    """Of what is written twice, for newer and older programs, the first that holds text."""
    for each in _all(body, "mc:AlternateContent"):
        branches = [branch for branch in each if name(branch) in ("mc:Choice", "mc:Fallback")]
        texts = [b for b in branches if any(name(t) in ("w:t", "m:t") for t in b.iter())]
        chosen = next(iter(texts or branches), None)
        _replace(each, [] if chosen is None else list(chosen))


def _accept_changes(body: Any) -> None:
    """Drop what was deleted or moved away, table rows and cells among it."""
    for each in _all(body, "w:del", "w:moveFrom"):
        if name(each.getparent()) not in _PROPERTIES:
            _remove(each)
    for row in _all(body, "w:tr"):
        if child(row, "w:trPr", "w:del") is not None or is_on(row, "w:trPr", "w:hidden"):
            _remove(row)
    for cell in _all(body, "w:tc"):
        if child(cell, "w:tcPr", "w:cellDel") is not None:
            _remove(cell)


def _open_wrappers(body: Any) -> None:
    """Put the content of controls, tags and insertions where the wrapper stood."""
    for each in _all(body, "w:sdt", *_WRAPPERS):
        if name(each.getparent()) in _PROPERTIES:
            continue
        inside = child(each, "w:sdtContent") if name(each) == "w:sdt" else each
        kept = [] if inside is None else list(inside)
        unwanted = ("w:customXmlPr", "w:smartTagPr", "w:fldData")
        _replace(each, [one for one in kept if name(one) not in unwanted])


def _drop_hidden(document: WordDocument) -> None:
    for run in _all(document.body, "w:r"):
        if _is_hidden(document, run):
            _remove(run)


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
    for paragraph in _all(body, "w:p"):
        marks = [each for each in paragraph.iter() if name(each) in ("w:fldChar", "w:t")]
        kinds = [attribute(each, "fldCharType") for each in marks if name(each) == "w:fldChar"]
        if not kinds or not kinds.count("begin") == kinds.count("end") == kinds.count("separate"):
            continue
        shown: list[bool] = []
        for each in marks:
            kind = attribute(each, "fldCharType") if name(each) == "w:fldChar" else None
            if kind == "begin":
                shown.append(False)
            elif kind == "separate" and shown:
                shown[-1] = True
            elif kind == "end" and shown:
                shown.pop()
            elif kind is None and not all(shown):
                _remove(each)


def _join_paragraphs(document: WordDocument) -> None:
    """Where a paragraph's mark is deleted, moved away or hidden, the next one goes on its line."""
    for paragraph in _all(document.body, "w:p"):
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
            _remove(paragraph)
        elif not has_text and name(paragraph.getparent()) != "w:tc":
            _remove(paragraph)  # a cell keeps its last paragraph


def _number(body: Any) -> None:
    number = 0
    for block in body:
        number += name(block) == "w:p"
        for each in block.iter():
            if name(each) == "w:p":
                each.set(_PLACE, str(number))


_UNREAD = {
    "m:oMath": "formula",
    "a:blip": "picture",
    "v:imagedata": "picture",
    "c:chart": "chart",
    "dgm:relIds": "diagram",
    "o:OLEObject": "embedded object",
    "w:footnoteReference": "footnote",
    "w:endnoteReference": "endnote",
    "w:ruby": "phonetic guide",
}


def _note_unread(document: WordDocument) -> None:
    number = 0
    for block in document.body:
        if name(block) == "w:p":
            number = paragraph_number(block)
        for each in block.iter():
            what = _UNREAD.get(name(each))
            if name(each) in ("w:altChunk", "w:subDoc"):
                what = "inserted file"
            elif name(each) == "w:instrText" and _is_drawn(each):
                what = "field that draws its text"
            if what:
                document.note(what, number)


def _is_drawn(code: Any) -> bool:
    """Whether a field's code makes what is seen: EQ and SYMBOL have no result to read."""
    return bool(re.match(r"\s*(?:eq|symbol|advance)\b", code.text or "", re.IGNORECASE))


def _open_ruby(body: Any) -> None:
    """A phonetic guide's base text is the text; its run is cut in two around it."""
    for ruby in _all(body, "w:ruby"):
        run = ruby.getparent()
        base = child(ruby, "w:rubyBase")
        if name(run) != "w:r" or run.getparent() is None:
            continue
        after = etree.Element(run.tag)
        if (properties := child(run, "w:rPr")) is not None:
            after.append(_copy(properties))
        after.extend(list(run)[run.index(ruby) + 1 :])
        _remove(ruby)
        place = run.getparent().index(run) + 1
        inside = [] if base is None else [each for each in base if name(each) == "w:r"]
        for offset, each in enumerate([*inside, after]):
            run.getparent().insert(place + offset, each)


def _copy(element: Any) -> Any:
    return etree.fromstring(etree.tostring(element))


def _open_text_boxes(body: Any) -> None:
    """The paragraphs of a text box follow the paragraph that it hangs on."""
    for box in _all(body, "w:txbxContent"):
        host = next((each for each in box.iterancestors() if name(each) == "w:p"), None)
        if host is None or host.getparent() is None:
            continue
        place = host.getparent().index(host) + 1
        for offset, block in enumerate(list(box)):
            host.getparent().insert(place + offset, block)
        drawing = next(
            (e for e in box.iterancestors() if name(e) in ("w:drawing", "w:pict", "w:object")), None
        )
        _remove(box)
        left = ("w:txbxContent", "a:blip", "v:imagedata")
        if drawing is not None and not any(name(each) in left for each in drawing.iter()):
            _remove(drawing)
        seen = ("w:t", "w:sym", "w:drawing", "w:pict", "w:object", "m:oMath")
        if not any(name(each) in seen for each in host.iter()):
            _remove(host)


def _spell_out(document: WordDocument) -> None:
    """Symbols of symbol fonts, and raised or lowered digits, as the characters that look so."""
    for each in _all(document.body, "w:sym", "w:noBreakHyphen"):
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
            _replace(each, [text])
    for run in _all(document.body, "w:r"):
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


def _number_of(element: Any) -> int:
    paragraph = next((each for each in element.iterancestors() if name(each) == "w:p"), None)
    return 0 if paragraph is None else paragraph_number(paragraph)
