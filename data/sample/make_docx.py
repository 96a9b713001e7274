"""Write the sample book and test sets as docx, in the layouts that real ones have.

    python -m data.sample.make_docx [OUTPUT_DIR]

`book.md` becomes `book.docx` with real heading styles; each `testset_*.jsonl` becomes a docx in
the contest's layout: every paragraph of style Normal, `问题：` and `答案：` paragraphs, chapter
headings that are only bold. The output depends on nothing but the sources: same text, same bytes.
"""

import datetime
import io
import json
import re
import sys
import zipfile
from pathlib import Path

from docx import Document
from docx.document import Document as DocumentObject
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml.ns import qn
from docx.shared import Pt
from docx.text.paragraph import Paragraph

HERE = Path(__file__).parent
TESTSETS = ("testset_basic", "testset_bonus")
# Any fixed moment will do: the date of writing would make every run a new file.
FIXED_DATE = datetime.datetime(2025, 1, 1)
MONOSPACE = "Courier New"
# "Source Code" is the style name that pandoc reads back as a code block.
CODE_STYLE = "Source Code"


def new_document(title: str) -> DocumentObject:
    """Return an empty document with fixed core properties and a Chinese body font."""
    document = Document()
    properties = document.core_properties
    properties.title, properties.author, properties.last_modified_by = title, "", ""
    properties.comments = ""
    properties.created = properties.modified = FIXED_DATE
    normal = document.styles["Normal"]
    normal.element.get_or_add_rPr().get_or_add_rFonts().set(qn("w:eastAsia"), "宋体")
    return document


def save(document: DocumentObject, path: Path) -> None:
    """Save with fixed zip dates, so that the same text gives the same bytes."""
    buffer = io.BytesIO()
    document.save(buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            entry = zipfile.ZipInfo(name, FIXED_DATE.timetuple()[:6])
            target.writestr(entry, source.read(name), zipfile.ZIP_DEFLATED)


def add_inline(paragraph: Paragraph, text: str) -> None:
    """Add text whose `code` becomes monospace and whose **term** becomes bold."""
    for part in re.split(r"(`[^`]+`|\*\*[^*]+\*\*)", text):
        if part.startswith("`"):
            paragraph.add_run(part[1:-1]).font.name = MONOSPACE
        elif part.startswith("**"):
            paragraph.add_run(part[2:-2]).bold = True
        elif part:
            paragraph.add_run(part)


def add_table(document: DocumentObject, lines: list[str]) -> None:
    """Add a Markdown pipe table; its second line, the rule, is left out."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    del rows[1]
    table = document.add_table(len(rows), len(rows[0]), style="Table Grid")
    for table_row, row in zip(table.rows, rows, strict=True):
        for cell, text in zip(table_row.cells, row, strict=True):
            add_inline(cell.paragraphs[0], text)


def book_document(markdown: str) -> DocumentObject:
    """Turn the Markdown that book.md uses into a document; code keeps its indentation."""
    lines = markdown.splitlines()
    document = new_document(lines[0].lstrip("# "))
    code = document.styles.add_style(CODE_STYLE, WD_STYLE_TYPE.PARAGRAPH)
    code.base_style = document.styles["Normal"]
    code.font.name, code.font.size = MONOSPACE, Pt(9)
    code.paragraph_format.space_after = Pt(0)
    in_code, table = False, []
    for line in [*lines, ""]:
        if table and not line.startswith("|"):
            add_table(document, table)
            table = []
        if line.startswith("```"):
            in_code = not in_code
        elif in_code:
            document.add_paragraph(line, style=CODE_STYLE)
        elif line.startswith("|"):
            table.append(line)
        elif heading := re.match(r"(#{1,3}) (.+)", line):
            document.add_heading(heading[2], level=len(heading[1]))
        elif line.startswith("- "):
            add_inline(document.add_paragraph(style="List Bullet"), line[2:])
        elif re.match(r"\d+\. ", line):
            # The number stays text: Word's own numbering would go on from the list before.
            add_inline(document.add_paragraph(style="List Paragraph"), line)
        elif line:
            add_inline(document.add_paragraph(), line)
    return document


def testset_document(rows: list[dict[str, str]], chapters: dict[str, str]) -> DocumentObject:
    """Lay out questions and answers as the contest does, irregularities included.

    `rows` have id, question and answer; `chapters` maps "ch2" to "第2章 …".
    """
    document = new_document("")
    chapter = ""
    for index, row in enumerate(rows):
        if row["id"].partition("-")[0] != chapter:
            chapter = row["id"].partition("-")[0]
            document.add_paragraph().add_run(chapters[chapter]).bold = True
        # Real files mix these forms: a reader that knows only one of them loses pairs.
        colon = ":" if index == 10 else "："
        first, *rest = row["answer"].split("\n")
        question = document.add_paragraph()
        question.add_run(f"问题{colon}").bold = True
        question.add_run(row["question"])
        answer = document.add_paragraph(" " if index % 3 == 0 else "")
        answer.add_run(f"答案{colon}").bold = True
        answer.add_run(first)
        for line in rest:
            # A bold caption inside an answer, as real bonus sets have, is not a heading.
            run = document.add_paragraph().add_run(line)
            if line.endswith("："):
                run.bold = True
    return document


def read_jsonl(path: Path) -> list[dict[str, str]]:
    """Read one JSON object a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main(output: Path = HERE) -> None:
    """Write book.docx and the test sets into `output`."""
    markdown = (HERE / "book.md").read_text(encoding="utf-8")
    save(book_document(markdown), output / "book.docx")
    chapters = {f"ch{n}": title for title, n in re.findall(r"(?m)^## (第(\d+)章 .+)$", markdown)}
    for name in TESTSETS:
        rows = read_jsonl(HERE / f"{name}.jsonl")
        save(testset_document(rows, chapters), output / f"{name}.docx")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
