"""PDF → Markdown with pdfium: outline and fonts give headings, code and paragraphs.

No converter of a permissive licence that was tried kept headings, paragraphs and the indentation
of code together (docs/data.md has the comparison), so the layout rules are here; characters,
fonts, positions and pictures of pages are the library's.
"""

from data.pdf.reader import read_pdf

__all__ = ["read_pdf"]
