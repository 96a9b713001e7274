"""Books in markup that pandoc reads: LaTeX, reStructuredText, AsciiDoc, Org and others → Markdown.

Files that a book includes are put in (`parts.py`), what pandoc does not know of LaTeX and
reStructuredText is prepared for it (`latex.py`, `rst.py`), its tree is made plain (`tree.py`), and
words of the source that are not in the result are named (`reader.py`).
"""
