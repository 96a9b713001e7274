"""Word files with a body written by hand, for what python-docx does not write."""

import functools
import io
import re
import zipfile
from pathlib import Path

import docx

NAMESPACES = " ".join(
    f'xmlns:{prefix}="{uri}"'
    for prefix, uri in {
        "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
        "m": "http://schemas.openxmlformats.org/officeDocument/2006/math",
        "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
        "r": "http://schemas.openxmlformats.org/officeDocument/2006/relationships",
        "a": "http://schemas.openxmlformats.org/drawingml/2006/main",
        "wp": "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing",
        "wps": "http://schemas.microsoft.com/office/word/2010/wordprocessingShape",
        "v": "urn:schemas-microsoft-com:vml",
        "o": "urn:schemas-microsoft-com:office:office",
        "w14": "http://schemas.microsoft.com/office/word/2010/wordml",
    }.items()
)

TABLE_STYLES = re.compile('<w:style w:type="table".*?</w:style>', re.DOTALL)


def r(text: str, properties: str = "") -> str:
    """A run."""
    shown = text.replace("&", "&amp;").replace("<", "&lt;")
    return f'<w:r><w:rPr>{properties}</w:rPr><w:t xml:space="preserve">{shown}</w:t></w:r>'


def p(*content: str, properties: str = "") -> str:
    """A paragraph of runs and wrappers; a text without a tag becomes a run."""
    inner = "".join(each if each.startswith("<") else r(each) for each in content)
    return f"<w:p><w:pPr>{properties}</w:pPr>{inner}</w:p>"


def tc(*content: str, properties: str = "") -> str:
    """A table cell of texts or paragraphs."""
    inner = "".join(each if each.startswith("<") else p(each) for each in content)
    return f"<w:tc><w:tcPr>{properties}</w:tcPr>{inner}</w:tc>"


def tr(*cells: str, properties: str = "") -> str:
    """A table row of texts or cells."""
    inner = "".join(each if each.startswith("<w:") else tc(each) for each in cells)
    return f"<w:tr><w:trPr>{properties}</w:trPr>{inner}</w:tr>"


def tbl(*rows: str) -> str:
    """A table."""
    return f"<w:tbl><w:tblPr/><w:tblGrid/>{''.join(rows)}</w:tbl>"


def box(*paragraphs: str) -> str:
    """A run with a text box, written twice as Word does."""
    content = f"<w:txbxContent>{''.join(paragraphs)}</w:txbxContent>"
    return (
        '<w:r><mc:AlternateContent><mc:Choice Requires="wps"><w:drawing><wp:inline><a:graphic>'
        f"<a:graphicData><wps:wsp><wps:txbx>{content}</wps:txbx></wps:wsp></a:graphicData>"
        "</a:graphic></wp:inline></w:drawing></mc:Choice><mc:Fallback><w:pict><v:shape><v:textbox>"
        f"{content}</v:textbox></v:shape></w:pict></mc:Fallback></mc:AlternateContent></w:r>"
    )


@functools.cache
def _empty() -> bytes:
    buffer = io.BytesIO()
    docx.Document().save(buffer)
    return buffer.getvalue()


def write(path: Path, *blocks: str, styles: str = "", numbering: str = "", **parts: str) -> Path:
    """A docx file with these blocks as its body; `parts` replace others (dots as __)."""
    body = f"<w:document {NAMESPACES}><w:body>{''.join(blocks)}<w:sectPr/></w:body></w:document>"
    changed = {"word/document.xml": body}
    with zipfile.ZipFile(io.BytesIO(_empty())) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name).decode("utf-8", "surrogateescape")
            content = changed.get(name, content)
            if name == "word/styles.xml":  # a hundred that no test uses take as long as the rest
                content = TABLE_STYLES.sub("", content)
            if name == "word/styles.xml" and styles:
                content = content.replace("</w:styles>", f"{styles}</w:styles>")
            if name == "word/numbering.xml" and numbering:
                content = f"<w:numbering {NAMESPACES}>{numbering}</w:numbering>"
            for old, new in parts.items():
                if name.lower().endswith(old.replace("__", ".").lower()):
                    content = new
            target.writestr(name, content.encode("utf-8", "surrogateescape"))
    return path
