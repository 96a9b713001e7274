"""Code in Word files that no style names is code; what only looks like it is not."""

from pathlib import Path

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.shared import Pt

from data.books import read_book

CODE = """__global__ void add(const float *a, float *c, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;

    if (i < n) { // 越界的不做
        c[i] = a[i] * 2;
    }
}"""
LEAD = "下面的程序把两个向量相加，每个线程负责一个元素。"
NEXT = "这样每个线程只写一次，也不需要同步。"


def text_of(path: Path, write) -> str:
    document = docx.Document()
    document.add_heading("第1章 核函数", 1)
    document.add_paragraph(LEAD)
    write(document)
    document.add_paragraph(NEXT)
    document.save(path / "书.docx")
    return read_book(path / "书.docx").text


def in_paragraphs(document) -> None:
    for line in CODE.split("\n"):
        document.add_paragraph(line)


def in_one_paragraph(document) -> None:
    document.add_paragraph(CODE)


def in_a_box(document) -> None:
    document.add_table(rows=1, cols=1).cell(0, 0).text = CODE


def indented_by_format(document) -> None:
    for line in CODE.split("\n"):
        level = (len(line) - len(line.lstrip())) // 4
        document.add_paragraph(line.strip()).paragraph_format.left_indent = Pt(24 * level)


def by_tabs(document) -> None:
    for line in CODE.split("\n"):
        document.add_paragraph(line.replace("    ", "\t"))


@pytest.mark.parametrize(
    "write", [in_paragraphs, in_one_paragraph, in_a_box, indented_by_format, by_tabs]
)
def test_code_of_no_style_is_one_listing(tmp_path, write):
    found = text_of(tmp_path, write)
    assert f"{LEAD}\n\n```\n{CODE}\n```\n\n{NEXT}" in found


def test_a_command_in_a_fixed_face_is_code(tmp_path):
    def write(document):
        document.add_paragraph().add_run("nvcc -O3 add.cu -o add").font.name = "Consolas"

    assert "```\nnvcc -O3 add.cu -o add\n```" in text_of(tmp_path, write)


def test_a_face_that_all_latin_words_have_tells_nothing(tmp_path):
    def write(document):
        for words in ("寄存器 eax 存放返回值。", "A. eax, 28", "Answer: 28", "用 gdb 看它。"):
            document.add_paragraph().add_run(words).font.name = "Courier New"

    assert "```" not in text_of(tmp_path, write)


@pytest.mark.parametrize(
    "lines",
    [
        ["A good reader skips;", "a better one reads;", "the best one reads twice;"],
        ["A. int, short", "B. int, long", "C. long, int;", "D. char;"],
        ["[1] Smith, J. (2001), Optics;", "[2] Ng, A. (2008), Learning;", "[3] Li (2019), GPU."],
        ["A. for(i=0;i<n;i++) s+=i;", "B. while(i<n){ s+=i; }", "C. do{ s+=i; }while(i<n);"],
        ["A = {1, 2, 3}", "B = {2, 3, 5}", "C = {1, 5}"],
        ["for example:", "with CUDA:", "class of device:"],
        ["FROM CUDA TO TRITON", "WHERE TO GO NEXT", "GROUP BY GROUP"],
        ["（1）int a[3] = {1,2,3};", "（2）int b[3] = {4};", "（3）int c = f(1);"],
        ["线程块由 (x, y, z) 定位；", "网格由 gridDim 给出；", "二者都是 dim3 类型；"],
    ],
)
def test_text_stays_text(tmp_path, lines):
    def write(document):
        for line in lines:
            document.add_paragraph(line)

    found = text_of(tmp_path, write)
    assert "```" not in found and all(line in found for line in lines)


def test_edges_that_hardly_differ_are_one_level(tmp_path):
    def write(document):
        lefts = (0, 21, 21.25, 0)
        for line, left in zip(("if (f(1)) {", "g(1);", "h(2);", "}"), lefts, strict=True):
            document.add_paragraph(line).paragraph_format.left_indent = Pt(left)

    assert "```\nif (f(1)) {\n    g(1);\n    h(2);\n}\n```" in text_of(tmp_path, write)


def test_a_fence_pasted_from_markdown_is_one_listing(tmp_path):
    def write(document):
        for line in ("```cpp", "int a = f(1);", "a += 2", "return a;", "```"):
            document.add_paragraph(line)

    found = text_of(tmp_path, write)
    assert f"{LEAD}\n\n```\nint a = f(1);\na += 2\nreturn a;\n```\n\n{NEXT}" in found


def test_a_fence_in_a_listing_does_not_end_it(tmp_path):
    code = ["cat << END", "```", "x = 1", "```", "END"]

    def write(document):
        document.styles.add_style("Source Code", WD_STYLE_TYPE.PARAGRAPH)
        for line in code:
            document.add_paragraph(line, "Source Code")
        document.add_paragraph("再看：")
        for line in ["````md", *code, "````"]:
            document.add_paragraph(line)

    shown = "````\n" + "\n".join(code) + "\n````"
    assert f"{LEAD}\n\n{shown}\n\n再看：\n\n{shown}\n\n{NEXT}" in text_of(tmp_path, write)


def test_a_fence_below_a_line_of_english_is_one_and_one_around_nothing_none(tmp_path):
    def write(document):
        for line in ("Usage", "```", "nvcc add.cu", "```", "之后：", "```", "", "```"):
            document.add_paragraph(line)

    assert "Usage\n\n```\nnvcc add.cu\n```\n\n之后：" in text_of(tmp_path, write)


def test_items_of_a_list_and_a_fence_around_a_picture_are_no_code(tmp_path):
    def write(document):
        for line in ("int a = f(1);", "a += 2;", "return a;"):
            document.add_paragraph(line, "List Bullet")
        for line in ("```", "int x;"):
            document.add_paragraph(line)
        document.add_picture(png(tmp_path))
        document.add_paragraph("```")

    found = text_of(tmp_path, write)
    assert "* int a = f(1);\n* a += 2;\n" in found and "![" in found


def test_code_in_tables_is_a_listing_beside_its_numbers_and_words_of_a_cell(tmp_path):
    def write(document):
        for cells in (["1\n2", "a = f(1)\nb = a"], ["ls", "列出"]):
            for cell, words in zip(document.add_table(1, 2).rows[0].cells, cells, strict=True):
                for line in words.split("\n"):
                    cell.add_paragraph().add_run(line).font.name = "Monaco"

    found = text_of(tmp_path, write)
    assert "```\na = f(1)\nb = a\n```" in found and "| ls | 列出 |" in found


def test_a_heading_or_a_caption_is_no_code(tmp_path):
    def write(document):
        document.styles.add_style("Code Caption", WD_STYLE_TYPE.PARAGRAPH)
        for style in ("Heading 2", "Code Caption"):
            document.add_paragraph("", style).add_run("int f(x);").font.name = "Consolas"

    assert "```" not in text_of(tmp_path, write)


@pytest.mark.parametrize(
    ("words", "bold"),
    [("2.3 cudaMalloc", True), ("Listing 3-1 vector addition", False),
     ("https://docs.nvidia.com/cuda/ 是官方文档，建议先读。", False),
     ("CUDA“先算后搬，能合并就合并。”", False)],
)  # fmt: skip
def test_a_line_in_a_fixed_face_that_names_or_says_is_no_code(tmp_path, words, bold):
    def write(document):
        run = document.add_paragraph().add_run(words)
        run.font.name, run.bold = "Consolas", bold

    assert "```" not in text_of(tmp_path, write)


def test_a_picture_in_a_listing_stays(tmp_path):
    def write(document):
        in_paragraphs(document)
        document.add_picture(png(tmp_path))
        in_paragraphs(document)

    found = text_of(tmp_path, write)
    assert found.count(f"```\n{CODE}\n```") == 2 and "![" in found


def png(folder: Path) -> str:
    from PIL import Image

    Image.new("RGB", (40, 20), "white").save(folder / "a.png")
    return str(folder / "a.png")
