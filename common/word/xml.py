"""Elements of a Word document by their usual names, whichever of its namespaces they are in."""

from typing import Any

SPACES = {
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
PLACE = "{urn:kit}paragraph"  # on every w:p while it is worked on: its number


def name(element: Any) -> str:
    """An element's name with its usual prefix, such as "w:p"; strict OOXML has the same ones."""
    if not isinstance(element.tag, str):
        return ""
    space, _, local = element.tag.rpartition("}")
    return f"{SPACES.get(space[1:], '?')}:{local}"


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
    return int(paragraph.get(PLACE, 0))


def all_of(root: Any, *names: str) -> list[Any]:
    """Elements of these names, those inside others first."""
    tags = [f"{{{space}}}{each[len(prefix) + 1:]}" for each in names
            for space, prefix in SPACES.items() if each.startswith(f"{prefix}:")]  # fmt: skip
    return list(root.iter(*tags))[::-1]


def remove(element: Any) -> None:
    """Take an element out; text never stands behind one in these files."""
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def replace(element: Any, others: list[Any]) -> None:
    """Put other elements where one stands."""
    parent = element.getparent()
    place = parent.index(element)
    parent.remove(element)
    for offset, other in enumerate(others):
        parent.insert(place + offset, other)
