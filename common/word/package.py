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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lxml import etree

from common.archives import DAMAGE, check_archive, refuse_old_office
from common.language import BilingualError, either
from common.word.clean import clean
from common.word.document import WordDocument, read_styles
from common.word.numbering import Numbering
from common.word.xml import (
    PLACE,
    SPACES,
    all_of,
    attribute,
    child,
    name,
    paragraph_number,
    remove,
    replace,
)

_MAIN_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
_OTHER_TYPES = re.compile(
    r"application/vnd\.(?:ms-word\.(?:document|template)\.macroEnabled(?:Template)?\.main"
    r"|openxmlformats-officedocument\.wordprocessingml\.template\.main)\+xml"
)
COUNT = "\ue015{}\ue016"  # around the number that Word draws before a list paragraph
_EQUATION = re.compile(r"equation|mathtype|axmath|kformula", re.IGNORECASE)
_DAMAGE = (*DAMAGE, etree.LxmlError)


class DocxError(BilingualError, ValueError):
    """A file that is no readable Word document; the message says why, not which file."""


def open_docx(path: Path) -> WordDocument:
    """The document, cleaned. Raises DocxError when it is none, and for a hostile archive."""
    return _guarded(path, lambda parts: parts.document())


def plain_docx(
    path: Path,
    formula: Callable[[Any], tuple[str, bool]],
    drawn: Callable[[bytes], str] | None = None,
) -> tuple[bytes, dict[str, list[int]]]:
    """The file again, its text as Word shows it and nothing that a converter could miss.

    formula: gives an m:oMath element's text, and whether all of it is in the text. drawn: the
    LaTeX of an embedded formula object, ValueError for one that it cannot read. Also returned:
    what could not be read, by the numbers of its paragraphs. Raises DocxError.
    """
    return _guarded(path, lambda parts: parts.repacked(formula, drawn))


def _guarded(path: Path, work: Any) -> Any:
    try:
        try:
            refuse_old_office(path, ".doc", ".docx")
            check_archive(path)
        except (ValueError, zipfile.BadZipFile) as error:  # their words say it all
            raise DocxError(str(error)) from error
        with zipfile.ZipFile(path) as archive:
            return work(_Parts(archive))
    except DocxError:
        raise
    except _DAMAGE as error:
        raise DocxError(
            f"文件坏了（{type(error).__name__}：{error}）",
            f"it is broken ({type(error).__name__}: {error})",
        ) from error


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
            raise DocxError("文件坏了：正文部分是空的", "it is broken: its main part has no body")
        styles = self._related("styles")
        document = WordDocument(body, read_styles(styles), self._related("numbering"))
        clean(document)
        return document

    def repacked(
        self,
        formula: Callable[[Any], tuple[str, bool]],
        drawn: Callable[[bytes], str] | None = None,
    ) -> tuple[bytes, dict[str, list[int]]]:
        document = self.document()
        document.unread.pop("formula", None)
        _write_formulas(document, formula)
        self._write_objects(document, drawn)
        _write_counts(document)
        self._drop_broken_links(document.body)
        etree.strip_attributes(document.body, PLACE)
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
        return out.getvalue(), document.unread

    def _write_objects(self, document: WordDocument, drawn: Callable[[bytes], str] | None) -> None:
        """Formulas of MathType and its like as LaTeX, or a mark where they cannot be read."""
        space = document.body.tag.removesuffix("body")
        lost, seen = [], False
        for element in all_of(document.body, "w:object"):
            objects = all_of(element, "o:OLEObject")
            if not any(_EQUATION.search(attribute(each, "ProgID") or "") for each in objects):
                continue
            seen = True
            try:
                latex = drawn(self._embedded(objects[0])) if drawn else ""
            except ValueError:
                latex = ""
            if not latex:
                lost.append(_number_above(element))
            written = etree.Element(f"{space}t")
            written.text = f"${latex}$" if latex else either("[公式]", "[formula]")
            replace(element, [written])
        if seen:
            left = {_number_above(each) for each in all_of(document.body, "o:OLEObject")}
            others = [n for n in document.unread.pop("embedded object", []) if n in left]
            document.unread.update({"embedded object": others, "drawn formula": lost[::-1]})

    def _embedded(self, element: Any) -> bytes:
        _, target, _ = self.relations.get(attribute(element, "id") or "", ("", "", False))
        if target not in self.names:
            raise ValueError(either("文件里没有这个对象", "the object's part is missing"))
        return self.archive.read(self.names[target])

    def _main(self) -> str:
        """The part that holds the text, as the package says, else under its usual name."""
        for kind, target, _ in self._relations("").values():
            if kind == "officeDocument" and target in self.names:
                return target
        for usual in sorted(self.names):
            if re.fullmatch(r"word/document\d*\.xml", usual):
                return usual
        raise DocxError("文件坏了：里面没有文档", "it is broken: there is no document in it")

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
                if SPACES.get(space[1:]) != "r" or local not in ("id", "embed", "link"):
                    continue
                _, target, outside = self.relations.get(element.attrib[key], ("", "", False))
                if outside or target in self.names:
                    continue
                if name(element) in ("a:blip", "v:imagedata"):
                    remove(element)
                    break
                del element.attrib[key]


def _write_formulas(document: WordDocument, formula: Callable[[Any], tuple[str, bool]]) -> None:
    """Put each formula's text where it stands, and note those of which some is missing."""
    space = document.body.tag.removesuffix("body")
    number = 0
    formulas = []
    for element in document.body.iter():
        if name(element) == "w:p":
            number = paragraph_number(element)
        elif name(element) == "m:oMath":
            formulas.append((element, number))
    for element, place in formulas:
        text, whole = formula(element)
        if not whole:
            document.note("formula", place)
        run = etree.Element(f"{space}r")
        written = etree.SubElement(run, f"{space}t")
        written.text = f"${text}$" if whole and text else text
        replace(element, [run])
    for paragraph in all_of(document.body, "m:oMathPara"):
        runs = [each for each in paragraph if name(each) == "w:r"]
        if name(paragraph.getparent()) != "w:p":
            holder = etree.Element(f"{space}p")
            holder.extend(runs)
            runs = [holder]
        replace(paragraph, runs)


def _write_counts(document: WordDocument) -> None:
    """The number of each list paragraph before its text, between COUNT's signs: a converter counts
    every list from 1, also one that goes on below a picture or a listing."""
    numbering = Numbering(document)
    space = document.body.tag.removesuffix("body")
    for paragraph in document.body.iter(f"{space}p"):
        found = re.search(r"(\d{1,4})\D*$", numbering.label(paragraph))
        if found:
            run = etree.Element(f"{space}r")
            etree.SubElement(run, f"{space}t").text = COUNT.format(found.group(1))
            paragraph.insert(0 if child(paragraph, "w:pPr") is None else 1, run)


def _number_above(element: Any) -> int:
    holder = next((each for each in element.iterancestors() if name(each) == "w:p"), None)
    return 0 if holder is None else paragraph_number(holder)
