"""Reading: the same text from every format, clear errors for what cannot be read."""

import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from docx import Document
from hypothesis import given, settings
from hypothesis import strategies as st

from data.books import BookError, find_books, read_book, unread_files
from data.cache import Cache
from data.chunks import MAX_CHARS, MIN_CHARS, cut_chunks
from data.records import CODE, TABLE, chunk_from_dict
from data.sections import read_sections, segments
from data.text import join_lines, normalise, sentences

REAL = Path(__file__).parents[2] / "shared" / "real"
SAMPLE = Path(__file__).parents[1] / "data" / "sample" / "book.md"
ROOT = Path(__file__).parents[1]

BOOK = """# 第1章 线程

## 目录

第1章 线程 ........ 3

## 1.1 线程束

线程束（warp）是指 32 个一起执行的线程，`__syncthreads()` 让块内线程互相
等待。*斜体*与**粗体**不留记号。

```c
if (x < n && y > 0) {
    int v = a[x];   // 注释

    b[y] = v;
}
```

- 第一项：`threadIdx.x` 是下标
- 第二项：包含 &lt;<<...>>> 记号

# 参考文献

[1] 某书。
"""


def parts(path: Path) -> tuple[list, Counter, Counter]:
    """Heading paths, sentences and code lines of a book, punctuation and spaces aside."""
    sections = list(read_sections(read_book(path).text))
    said: Counter[str] = Counter()
    code: Counter[str] = Counter()
    for section in sections:
        for block in section.blocks:
            if block.kind == CODE:
                code.update(line.rstrip() for line in block.text.split("\n") if line.strip())
            else:
                said.update(n for s in sentences(block.text) if (n := normalise(s)))
    return [tuple(map(normalise, s.path)) for s in sections if s.path], said, code


def agreement(a: Counter, b: Counter) -> float:
    """F1 of two multisets."""
    return 2 * sum((a & b).values()) / (sum(a.values()) + sum(b.values()))


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real tutorial is not here")
@pytest.mark.parametrize(
    ("suffix", "least"),
    # docx and epub were made from the Markdown by a program that kept its ":::note" as text.
    [("docx", (1.0, 0.98, 1.0)), ("epub", (0.99, 0.98, 1.0)), ("pdf", (1.0, 0.93, 0.84))],
)
def test_the_four_formats_of_the_tutorial_agree(suffix, least):
    markdown = parts(REAL / "cuda_tutorial.md")
    other = parts(REAL / f"cuda_tutorial.{suffix}")
    found = (
        agreement(Counter(markdown[0]), Counter(other[0])),
        agreement(markdown[1], other[1]),
        agreement(markdown[2], other[2]),
    )
    assert all(f >= wanted for f, wanted in zip(found, least, strict=True)), found


def test_markdown_becomes_sections_with_whole_code(tmp_path):
    (tmp_path / "b.md").write_text(BOOK, encoding="utf-8")
    book = read_book(tmp_path / "b.md")
    sections = {s.path[-1]: s for s in read_sections(book.text)}
    assert sections["1.1 线程束"].path == ("第1章 线程", "1.1 线程束")
    assert sections["目录"].is_apparatus and sections["参考文献"].is_apparatus
    paragraph, code, first, second = sections["1.1 线程束"].blocks
    assert paragraph.text.startswith("线程束（warp）是指 32 个一起执行的线程，")
    assert "__syncthreads() 让块内线程互相等待。" in paragraph.text
    assert "粗体不留" in paragraph.text and "粗体" in paragraph.terms
    assert code.text == ("if (x < n && y > 0) {\n    int v = a[x];   // 注释\n\n    b[y] = v;\n}")
    assert (first.marker, first.text) == ("-", "第一项：threadIdx.x 是下标")
    assert book.text[paragraph.start : paragraph.end].startswith("线程束（warp）")
    assert book.text[code.start : code.end].endswith("```")


def html(tmp_path: Path) -> Path:
    path = tmp_path / "b.html"
    path.write_text(
        "<html><nav>导航 首页</nav><body><h1>第1章 线程</h1><p>线程束（warp）是 32 个线程。</p>"
        "<pre><code>for (;;) {\n    a_b *= 2;\n}</code></pre><footer>版权所有</footer>"
        "</body></html>",
        encoding="utf-8",
    )
    return path


def docx(tmp_path: Path) -> Path:
    import docx as library

    document = library.Document()
    document.styles.add_style("Source Code", 1)
    document.add_heading("第1章 线程", 1)
    document.add_paragraph("线程束（warp）是 32 个线程。")
    for line in ("for (;;) {", "    a_b *= 2;", "}"):
        document.add_paragraph(line, style="Source Code")
    document.save(tmp_path / "b.docx")
    return tmp_path / "b.docx"


def txt(tmp_path: Path) -> Path:
    path = tmp_path / "b.txt"
    text = "第1章 线程\n\n　　线程束（warp）是 32 个线程。\n\n"
    text += "    for (;;) {\n        a_b *= 2;\n    }\n"
    path.write_bytes(text.encode("gb18030"))
    return path


@pytest.mark.parametrize("make", [html, docx, txt])
def test_other_formats_keep_headings_text_and_code(tmp_path, make):
    sections = list(read_sections(read_book(make(tmp_path)).text))
    assert [s.path for s in sections if s.blocks] == [("第1章 线程",)]
    paragraph, code = sections[-1].blocks
    assert paragraph.text == "线程束（warp）是 32 个线程。"
    assert code.kind == CODE and "for (;;) {\n" in code.text
    indents = [len(line) - len(line.lstrip()) for line in code.text.split("\n")]
    assert indents[1] - indents[0] == 4 and "a_b *= 2;" in code.text


def pdf_bytes(text: str | None, password: bool = False) -> bytes:
    """A PDF of one page by hand; encrypted ones get an /Encrypt entry that no password opens."""
    stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else "0 0 100 100 re f"
    objects = [
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R"
        "/Resources<</Font<</F1 5 0 R>>>>>>",
        f"<</Length {len(stream)}>>\nstream\n{stream}\nendstream",
        "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    if password:
        secret = "00" * 32
        objects.append(f"<</Filter/Standard/V 1/R 2/O<{secret}>/U<{secret}>/P -4/Length 40>>")
    out, offsets = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n"
    out += "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    encrypt = f"/Encrypt {len(objects)} 0 R/ID[<00><00>]" if password else ""
    out += f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R{encrypt}>>\nstartxref\n{table}\n%%EOF"
    return out.encode("latin-1")


def broken_zip() -> bytes:
    return b"PK\x03\x04 not really a zip"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.pdf", None, "no such file"),
        ("a.xyz", b"x", "unknown format"),
        ("empty.md", b" \n", "empty"),
        ("marks.md", b"# \n\n---\n", "no text"),
        ("scan.pdf", pdf_bytes(None), "no text layer"),
        ("locked.pdf", pdf_bytes("secret", password=True), "encrypted"),
        ("broken.pdf", b"%PDF-1.4 nothing else", "PDF|read"),
        ("broken.docx", broken_zip(), "broken"),
        ("old.docx", bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600, "encrypted or an old"),
        ("broken.epub", broken_zip(), "broken"),
        ("binary.txt", b"\xff\x00\x01\x80" * 9, "not text"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BookError, match=says) as error:
        read_book(path)
    assert str(path) in str(error.value)


def test_a_zip_that_is_no_document_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "z.docx", "w") as archive:
        archive.writestr("hello.txt", "hi")
    with pytest.raises(BookError, match="broken"):
        read_book(tmp_path / "z.docx")


def test_a_pdf_text_is_read(tmp_path):
    (tmp_path / "a.pdf").write_bytes(pdf_bytes("A warp has 32 threads and runs them together."))
    assert "A warp has 32 threads" in read_book(tmp_path / "a.pdf").text


def test_folders_stand_for_the_books_in_them(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2.md").write_text("x")
    (tmp_path / "b" / "1.txt").write_text("x")
    (tmp_path / "b" / "skip.png").write_text("x")
    assert [p.name for p in find_books([tmp_path / "b"])] == ["1.txt", "2.md"]
    with pytest.raises(BookError, match="no book"):
        (tmp_path / "none").mkdir()
        find_books([tmp_path / "none"])


def test_data_beside_the_pages_of_a_folder_is_named_not_read(tmp_path):
    prose = "进程是程序的一次执行，\n它有自己的地址空间。\n\n" * 4
    numbers = "\n".join(f"{n}\t{n * 7}\t0.5" for n in range(40))
    files = {
        "book.md": "# 章\n\n一段话。\n".encode(),
        "lyrics.txt": ("天青色等烟雨 而我在等你\n" * 9).encode(),
        "numbers.txt": numbers.encode(),
        "odd.txt": b"caf\xe9 \xff\xfe\x81",
        "prose.txt": prose.encode(),
        "words.txt": "\n".join(["的", "进程", "线程", "内存", "磁盘", "调度"]).encode(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert [path.name for path in find_books([tmp_path])] == ["book.md", "prose.txt"]
    (losses,) = unread_files([tmp_path]).values()
    why = {loss.place: loss.why for loss in losses}
    assert [*why] == ["lyrics.txt", "numbers.txt", "odd.txt", "words.txt"]
    assert "0 % letters" in why["numbers.txt"] and "UTF-8" in why["odd.txt"]
    assert "0 of 6 lines are sentences" in why["words.txt"]
    assert all("name the file itself" in each for each in why.values())
    assert "线程" in read_book(tmp_path / "words.txt").text


def test_a_text_read_before_comes_from_the_cache(tmp_path, monkeypatch):
    (tmp_path / "b.html").write_text("<p>线程束是 32 个线程。</p>", encoding="utf-8")
    cache = Cache(tmp_path / "cache")
    first = read_book(tmp_path / "b.html", cache)
    monkeypatch.setattr("data.books._to_markdown", lambda *_: pytest.fail("read again"))
    assert read_book(tmp_path / "b.html", cache) == first


def test_hyphens_and_line_ends_are_undone():
    assert join_lines("paral-", "lel") == "parallel"
    assert join_lines("just-in-", "time") == "just-in-time"
    assert join_lines("线程", "束") == "线程束"
    assert join_lines("the", "warp") == "the warp"


def test_importing_the_command_line_loads_nothing_heavy():
    heavy = ("torch", "vllm", "markitdown", "pypdfium2", "jieba", "numpy")
    code = f"import sys, data.__main__; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


# --- chunks


@pytest.mark.parametrize("limits", [(MIN_CHARS, MAX_CHARS), (50, 300)])
def test_chunks_keep_to_their_limits_and_lose_nothing(limits):
    low, high = limits
    text = SAMPLE.read_text(encoding="utf-8")
    sections = [s for s in read_sections(text) if not s.is_apparatus]
    chunks = list(cut_chunks("book.md", sections, low, high))
    whole = "".join(normalise(b.text) for s in sections for b in s.blocks)
    assert "".join(normalise(b.text) for c in chunks for b in c.blocks) == whole
    for chunk in chunks:
        alone = len(chunk.blocks) == 1
        assert (
            len(chunk.text) <= high
            or (alone and chunk.blocks[0].kind in (CODE, TABLE))
            or (alone and len(sentences(chunk.blocks[0].text)) == 1)
        ), chunk
        assert chunk.path and 0 <= chunk.start < chunk.end <= len(text)
        assert chunk_from_dict(chunk.to_dict()) == chunk
    assert sum(len(c.text) < low for c in chunks) <= len(chunks) * 0.05


def test_an_announcement_stays_with_its_list():
    text = "# A\n\n" + "前文。" * 50 + "\n\n步骤如下：\n\n- 一\n- 二\n\n" + "后文。" * 60
    chunks = list(cut_chunks("b", read_sections(text), 100, 220))
    holder = next(c for c in chunks if "步骤如下" in c.text)
    assert "- 一" in holder.text and "- 二" in holder.text


BLOCKS = st.lists(
    st.one_of(
        st.builds(lambda n, t: "#" * n + " " + t, st.integers(1, 4), st.sampled_from("甲乙丙丁")),
        st.builds(lambda n: "这是一个句子。" * n, st.integers(1, 90)),
        st.builds(lambda n: "```\n" + "    x = 1;\n" * n + "```", st.integers(1, 60)),
        st.builds(lambda n: "\n".join(f"- 第{i}项" for i in range(n)), st.integers(1, 9)),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(BLOCKS)
def test_any_book_is_cut_without_loss_or_overlap(blocks):
    text = "\n\n".join(blocks)
    sections = list(read_sections(text))
    chunks = list(cut_chunks("b", sections))
    whole = "".join(normalise(b.text) for s in sections if not s.is_apparatus for b in s.blocks)
    assert "".join(normalise(b.text) for c in chunks for b in c.blocks) == whole
    for chunk in chunks:
        assert all(block.text.endswith("。") for block in chunk.blocks if "句子" in block.text)
        assert chunk.text.count("```") % 2 == 0
    for first, second in zip(chunks, chunks[1:], strict=False):
        assert first.end <= second.start or first.blocks[-1].start == second.blocks[0].start


@settings(max_examples=40, deadline=None)
@given(BLOCKS, st.integers(20, 400))
def test_cutting_a_long_text_into_segments_changes_no_section(blocks, size):
    text = "\n\n".join(blocks)
    pieces = list(segments(text, size))
    assert "".join(piece for _, piece in pieces) == text
    assert all(text[offset : offset + len(piece)] == piece for offset, piece in pieces)
    assert all(piece.count("```") % 2 == 0 for _, piece in pieces)


@given(st.text(max_size=300))
def test_sentences_lose_no_character(text):
    assert normalise("".join(sentences(text))) == normalise(text)


def test_numbers_of_a_list_go_on_below_what_stands_between(tmp_path):
    document = Document()
    for words in ("准备数据。", "训练模型。"):
        document.add_paragraph(words, style="List Number")
    document.add_paragraph("这里先看一下损失。")
    document.add_paragraph("测试模型。", style="List Number")
    document.save(tmp_path / "b.docx")
    text = read_book(tmp_path / "b.docx").text
    assert [line for line in text.split("\n") if line[:1].isdigit()] == [
        "1. 准备数据。",
        "2. 训练模型。",
        "3. 测试模型。",
    ]


def test_bold_lines_of_a_word_file_without_styles_are_titles(tmp_path):
    document = Document()
    for title in ("实验三", "1 实验目的", "2 实验要求"):
        document.add_paragraph().add_run(title).bold = True
        for number in range(4):
            document.add_paragraph(f"这一段说明{title}的第{number}点。")
    document.save(tmp_path / "b.docx")
    sections = list(read_sections(read_book(tmp_path / "b.docx").text))
    assert [s.path for s in sections] == [
        ("实验三",),
        ("实验三", "1 实验目的"),
        ("实验三", "2 实验要求"),
    ]
