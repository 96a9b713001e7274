"""Reading PDFs: order, words, headings, formulas, tables, and what is not in the text."""

import re

import pytest

from data.losses import FIGURE, FORMULA, PAGE, TEXT, Loss, spoken
from data.pdf import read_pdf
from data.pdf.blocks import to_markdown
from data.pdf.chars import Char
from data.pdf.formulas import _with_mark
from data.pdf.headings import Bookmark, Headings, find_headings
from data.pdf.lines import Line
from data.pdf.quality import fault
from tests.pdf_files import MONO, SONG, make_pdf, rule, text


def read(tmp_path, *args, ocr="never", **more):
    (tmp_path / "b.pdf").write_bytes(make_pdf(*args, **more))
    return read_pdf(tmp_path / "b.pdf", ocr)


def prose(words: str, count: int, left: float, top: float, pitch: float = 15) -> list[str]:
    """So many lines of the same words, each told from the others by its number."""
    return [text(f"{n:02d}{words}", left, top + n * pitch, font=SONG) for n in range(count)]


def test_columns_are_read_one_after_the_other_and_titles_across_them_first(tmp_path):
    page = [text("进程与内存管理的基本方法以及它们在系统里的实现过程和注意事项", 120, 60, 12, SONG)]
    page += prose("死锁是多个进程互相等待对方占有的资源", 12, 72, 100)
    page += prose("分页把地址空间划分为固定大小的多个页", 12, 320, 103)
    found = read(tmp_path, [page]).text.replace("\n", "")
    order = [found.index(w) for w in ("基本方法", "00死锁", "11死锁", "00分页", "11分页")]
    assert order == sorted(order)


def test_a_note_in_the_margin_interrupts_no_sentence(tmp_path):
    page = prose("循环神经网络通过带自反馈的神经元处理任意长度的时序", 12, 72, 100)
    page += [text("也译作递归神经", 400, 130, 8, SONG)]
    found = read(tmp_path, [page]).text
    assert "\n> 也译作递归神经\n" in found
    assert found.count("循环神经网络") == 12 and "时序也译" not in found


def test_heads_with_section_title_date_and_page_number_go(tmp_path):
    titles = ("进程", "线程", "调度", "内存", "分页", "文件")
    pages = []
    for number, title in enumerate(titles):
        head = [text(f"1.{number} ", 72, 40), text(title, 90, 40, font=SONG)]
        head += [text("2019-04-04", 300, 40), text(f"{number + 7}", 500, 40)]
        pages.append(head + prose(f"{title}的内容各页都不一样", 5 + number, 72, 80))
    found = read(tmp_path, pages).text
    assert "2019-04-04" not in found
    assert all(found.count(f"{title}的内容") == 5 + n for n, title in enumerate(titles))


def test_narrow_spaces_between_latin_words_stay(tmp_path):
    found = read(tmp_path, [[text("A|Recurrent|Neural|Network|has|a|short|memory.", 72, 100)]])
    assert "A Recurrent Neural Network has a short memory." in found.text


def test_bookmarks_without_numbers_find_their_printed_titles(tmp_path):
    page = [text("1.1 ", 72, 80, 10), text("进程与线程", 90, 80, 10, SONG)]
    page += prose("进程是资源分配的单位", 4, 72, 100)
    page += [text("Logo", 72, 200, 30)] + prose("排版系统的名字由图形拼成", 4, 72, 240)
    found = read(tmp_path, [page], [("进程与线程", 0, 70), ("LaTeX 简介", 0, 190)]).text
    assert "# 1.1 进程与线程\n" in found
    assert "# LaTeX 简介\n" in found and found.index("# LaTeX") < found.index("排版系统")


def test_formulas_stay_in_one_piece_or_leave_a_mark(tmp_path):
    page = [text("损失函数可以表示为", 72, 100, font=SONG), text("L(w) = (y - Xw)", 200, 120)]
    page += [text("2", 268, 116, 7), text("(3.1)", 480, 120)]
    page += [text("其中样本数记作大写字母。", 72, 140, font=SONG)]
    page += [text("平均值写作", 72, 180, font=SONG), text("m =", 200, 210), text("a + b", 225, 203)]
    page += [text("n", 235, 217), text("(3.2)", 480, 210)]
    page += [text("它的分母是样本的个数，这一段到此为止。", 72, 250, font=SONG)]
    found = read(tmp_path, [page])
    assert "损失函数可以表示为 $L(w) = (y - Xw)^2$ (3.1)" in found.text
    assert "平均值写作 [公式 3.2]" in found.text
    assert found.losses == [Loss(FORMULA, "p. 1 (3.2)")]


def test_rows_of_a_matrix_are_no_words_of_the_sentence_above(tmp_path):
    page = [text("这个矩阵写作", 72, 100, font=SONG), text("a11 a12", 230, 120)]
    page += [text("A =", 200, 132), text("a21 a22", 230, 144), text("(3.1)", 480, 132)]
    page += prose("它的每一行都是一个样本", 3, 72, 180)
    # The same rows without a formula beside them may be a table or a list.
    page += [text("a11 a12", 230, 320), text("a21 a22", 230, 334)]
    found = read(tmp_path, [page])
    assert "这个矩阵写作 [公式 3.1]" in found.text and found.text.count("a21 a22") == 1
    assert found.losses == [Loss(FORMULA, "p. 1 (3.1)")]


def test_rows_of_a_matrix_within_a_sentence_are_no_sentences_beside_it(tmp_path):
    page = prose("这是正文里的一段话它有好几行", 3, 72, 60)
    page += [text("设矩阵", 72, 124, font=SONG), text("A =", 110, 124)]
    page += [text(a, left, top) for top in (110, 124, 138) for a, left in (("1", 140), ("0", 165))]
    page += [text("，它的秩是二。", 190, 124, font=SONG)]
    page += [text("又设", 72, 184, font=SONG), text("B =", 110, 184)]  # two rows: none on its line
    page += [text(a, left, top) for top in (177, 191) for a, left in (("2", 140), ("3", 165))]
    page += [text("，它的秩是一。", 190, 184, font=SONG)] + prose(
        "下面还是正文里的一段话", 3, 72, 220
    )
    found = read(tmp_path, [page])
    assert "设矩阵 A = \\[公式\\] ，它的秩是二。" in found.text
    assert "又设 B = \\[公式\\] ，它的秩是一。" in found.text
    assert not re.search("(?m)^[0-3] [0-3]$", found.text)
    assert found.losses == [Loss(FORMULA, "p. 1"), Loss(FORMULA, "p. 1")]


def letter(left: float, top: float) -> str:
    """A small shape, as the outline of a letter is."""
    points = ((5, 0), (5, 3), (3, 3), (3, 7), (0, 7), (1, 2))
    lines = " ".join(f"{left + x} {792 - top + y} l" for x, y in points)
    return f"{left} {792 - top} m {lines} f"


def test_formulas_drawn_as_outlines_are_counted(tmp_path):
    page = [letter(74, top) for top in (75, 90, 105)]  # bullets
    page += prose("页面里的一段话它有好几行字", 3, 84, 80)
    page += [text("接着对", 72, 140, font=SONG), letter(104, 132)]
    page += [text("进行消元处理使它变成单位矩阵。", 112, 140, font=SONG)]
    page += [letter(left, 165) for left in (200, 208, 216, 224)]
    page += [rule(200, 200, 320, 200), rule(200, 200, 300, 280)]  # a drawing with its letters
    page += [letter(left, 230) for left in (210, 218, 226)]
    page += prose("下面还是正文里的一段话", 3, 72, 320)
    found = read(tmp_path, [page])
    assert [(loss.kind, loss.place) for loss in found.losses] == [(FORMULA, "p. 1")] * 2


def test_a_ruled_table_keeps_its_header(tmp_path):
    page = [rule(72, top, 400, top) for top in (100, 120, 140, 160)]
    page += [rule(left, 100, left, 160) for left in (72, 200, 400)]
    for top, a, b in ((114, "Type", "Size"), (134, "int", "4"), (154, "char", "1")):
        page += [text(a, 80, top), text(b, 210, top)]
    found = read(tmp_path, [page]).text
    assert "| Type | Size |\n| --- | --- |\n| int | 4 |\n| char | 1 |" in found


def test_a_caption_becomes_the_text_of_a_figure(tmp_path):
    page = prose("图的上面是正文的一段话它有很多字", 3, 72, 60)
    page += [rule(100 + n * 9, 150, 100 + n * 9, 250) for n in range(12)]
    page += [text("x", 140, 200, 7), text("图 3.1 线程的层次", 150, 280, font=SONG)]
    found = read(tmp_path, [page]).text
    assert "![图 3.1 线程的层次](#page=1)" in found


def test_code_keeps_its_indentation_and_code_words_in_prose_are_marked(tmp_path):
    page = [text("for (;;) {", 72, 80, 10, MONO), text("x += 1;", 96, 92, 10, MONO)]
    page += [text("}", 72, 104, 10, MONO), text("函数", 72, 140, font=SONG)]
    page += [text("atomicAdd", 94, 140, 10, MONO), text("把两个数加在一起。", 150, 140, font=SONG)]
    found = read(tmp_path, [page]).text
    assert "```\nfor (;;) {\n    x += 1;\n}\n```" in found
    assert "函数`atomicAdd`把两个数加在一起。" in found.replace(" ", "")


CODE = ["if (i < n) { // 越界的不做", "c[i] = a[i] + b[i];", "}"]
SQL = ["SELECT name, count(*)", "FROM student", "WHERE age > 18;"]


@pytest.mark.parametrize("code", [CODE, SQL, ["def area(r):", "return 3.14 * r", "import math"]])
def test_code_in_the_face_of_the_text_is_code(tmp_path, code):
    page = prose("每个线程负责一个元素由它的全局索引决定", 3, 72, 60)
    for n, words in enumerate(code):
        latin, _, chinese = words.partition("越")
        left = 72 + 15 * (n == 1)
        page += [text(latin, left, 120 + 14 * n)]
        page += [text("越" + chinese, left + 90, 120 + 14 * n, font=SONG)] if chinese else []
    page += prose("这样每个线程只写一次不会互相覆盖", 3, 72, 180)
    found = read(tmp_path, [page])
    rows = [f"    {words}" if n == 1 else words for n, words in enumerate(code)]
    assert "```\n" + "\n".join(rows) + "\n```" in found.text and not found.losses


def test_a_listing_right_below_an_open_sentence_is_whole(tmp_path):
    lead = "我们来看下面的程序怎么写它有很多很多的字一直写到了这一行的最右边"
    page = prose(lead, 1, 72, 60) + prose(
        "另外一段话在下面它也有很多很多的字一直写到这一行的右边", 1, 72, 200
    )
    page += [
        text(code, 72, 75 + 13 * n) for n, code in enumerate(["int main() {", "return f(0);", "}"])
    ]
    assert "```\nint main() {\nreturn f(0);\n}\n```" in read(tmp_path, [page]).text


@pytest.mark.parametrize(
    ("line_text", "shown"),
    [
        ("用 the GPU card 取得矩阵 1 0 ，它的秩", "用 the GPU card 取得矩阵 [公式] ，它的秩"),
        ("设 n = 3 时候取得矩阵 1 0 ，", "设 n = 3 时候取得矩阵 [公式] ，"),
        ("又设 B = ，它的秩", "又设 B = [公式] ，它的秩"),
        ("取得 the card 矩阵，它的秩", "取得 the card 矩阵，它的秩 [公式]"),
    ],
)
def test_a_matrix_takes_no_words_of_its_sentence(line_text, shown):
    assert _with_mark(line_text, 2) == shown


@pytest.mark.parametrize(
    "words",
    [
        ["A good reader skips;", "a better one reads;", "the best one reads twice;"],
        ["[1] Smith, J. (2001), Optics;", "[2] Ng, A. (2008), Learning;", "[3] Li (2019), GPU."],
        ["x = a + b;", "y = a - b;", "z = x + y."],
    ],
)
def test_lines_that_end_in_semicolons_alone_are_no_code(tmp_path, words):
    page = prose("每个线程负责一个元素由它的全局索引决定", 3, 72, 60)
    page += [text(each, 72, 120 + 14 * n) for n, each in enumerate(words)]
    assert "```" not in read(tmp_path, [page]).text


def scan(words: str) -> tuple[int, int, bytes]:
    """A page as a scanner sees it."""
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.new("L", (1224, 1584), 255)
    ImageDraw.Draw(picture).text((140, 200), words, fill=0, font=ImageFont.load_default(44))
    return 1224, 1584, picture.tobytes()


def test_scanned_pages_are_named_when_ocr_is_off(tmp_path):
    pages = [prose("第一页有文字层所以能够读出来", 6, 72, 80), [], []]
    pictures = {1: scan("scanned"), 2: scan("scanned")}
    found = read(tmp_path, pages, pictures=pictures)
    assert [(loss.kind, loss.place) for loss in found.losses] == [(PAGE, "p. 2"), (PAGE, "p. 3")]
    assert "2 pages not read (p. 2–3; no text layer)" in spoken(found.losses)


def test_scanned_pages_are_read_by_ocr_and_not_twice(tmp_path, monkeypatch):
    pytest.importorskip("rapidocr")
    from data.pdf import ocr

    told: list[tuple[int, int]] = []
    words = "A warp executes threads together"
    book = make_pdf([prose("有文字层的一页", 6, 72, 80), []], pictures={1: scan(words)})
    (tmp_path / "b.pdf").write_bytes(book)

    def reader():
        return ocr.OcrReader(tmp_path / "cache", lambda done, of: told.append((done, of)))

    found = read_pdf(tmp_path / "b.pdf", "auto", reader)
    assert words.replace(" ", "") in found.text.replace(" ", "")
    assert (found.pages, found.ocr_pages, found.losses) == (2, 1, [])
    assert told[-1] == (1, 1)
    monkeypatch.setattr(ocr, "_engine", lambda: pytest.fail("read again"))
    assert read_pdf(tmp_path / "b.pdf", "auto", reader).text == found.text


def test_without_the_ocr_package_one_line_says_the_command(tmp_path):
    def missing():
        raise ModuleNotFoundError("No module named 'rapidocr'", name="rapidocr")

    (tmp_path / "b.pdf").write_bytes(make_pdf([[]], pictures={0: scan("x")}))
    with pytest.raises(ValueError, match="rapidocr is not installed: run `bash run.sh data"):
        read_pdf(tmp_path / "b.pdf", "auto", missing)


def chars(words: str, **changes) -> list[Char]:
    whole = {"mono": False, "bold": False, "math": False, "broken": False, **changes}
    return [Char(c, 0, 1, 0, 10, **whole) for c in words]


@pytest.mark.parametrize(
    ("words", "usable"),
    [
        ("进程是资源分配的单位，线程是处理器调度的单位。" * 20, True),
        ("The warp is the unit of execution on this device. " * 20, True),
        ("Ò»¸ö½ø³ÌÊÇ×ÊÔ´·ÖÅäµÄµ¥Î»" * 8, False),
        ("Wkh zdus lv wkh xqlw ri hahfxwlrq rq wklv ghylfh " * 20, False),
        ("\ue123\ue456" * 30, False),
        ("锟斤拷烫烫屯" * 60, False),
    ],
)
def test_garbage_is_told_from_text(words, usable):
    assert (fault(chars(words)) == "") is usable


def test_characters_that_the_font_does_not_name_are_no_text():
    assert fault(chars("abc" * 20, broken=True))


def test_single_characters_of_a_font_that_is_nowhere_are_read_or_named(tmp_path):
    page = prose("一个单元格里只有一个字的表", 3, 72, 60)
    found = read(tmp_path, [[*page, text("否", 100, 300, font=SONG)]])
    assert "否" in found.text or "1 single characters" in found.losses[0].why


# --- the rules for a whole book, on lines


def test_a_glyph_that_the_file_names_twice_is_one_character(tmp_path):
    page = [text("高斯消元法从上往下消去每一个角上的数，一行一行地做。", 72, 80, font=SONG)]
    names = b"1 beginbfrange<0000><FFFF><0000>endbfrange 3 beginbfchar"
    names += b"<9AD8><2FBC9AD8><89D2><2EC689D2><884C><884C2F8F>endbfchar"
    mapped = b"90 0 obj\n<</Length %d>>stream\n%s\nendstream\nendobj\nxref" % (len(names), names)
    made = make_pdf([page]).replace(b"/UniGB-UCS2-H", b"/UniGB-UCS2-H/ToUnicode 90 0 R")
    (tmp_path / "b.pdf").write_bytes(made.replace(b"xref", mapped, 1))
    found = read_pdf(tmp_path / "b.pdf", ocr="never")
    assert found.text.strip() == "高斯消元法从上往下消去每一个角上的数，一行一行地做。"


def line(words: str, page: int, base: float, **changes) -> Line:
    width = changes.pop("width", 12.0 * len(words))
    left = changes.pop("left", 72.0)
    return Line(words, page, left, left + width, base, **{"size": 12.0, **changes})


def test_lines_of_a_paragraph_are_joined_and_gaps_part_paragraphs():
    full = 480.0
    lines = [
        line("并行计算把问题拆成若干部", 0, 50, width=full),
        line("分，交给多个处理单元。", 0, 66),
        line("The hard-", 0, 92, width=full),
        line("ware executes paral-", 0, 108, width=full),
        line("lel code.", 0, 124),
        line("• 第一项", 0, 150),
        line("• 第二项", 0, 166),
    ]
    found = to_markdown(lines, Headings())[0]
    assert "并行计算把问题拆成若干部分，交给多个处理单元。" in found
    assert "The hardware executes parallel code." in found
    assert "- 第一项" in found and "- 第二项" in found


def test_broken_lines_of_code_are_put_together():
    mono = {"mono": True, "size": 11.0, "char_width": 6.6}
    wide = "void add(const float *a, const float *b, float *c, int n, int"
    lines = [
        line(wide, 0, 70, width=6.6 * len(wide), **mono),
        line("m) {", 0, 83, width=6.6 * 4, **mono),
        line("c[0] = a[0];", 0, 96, left=72 + 4 * 6.6, width=6.6 * 12, **mono),
        line("}", 0, 122, width=6.6, **mono),
    ]
    found = to_markdown(lines, Headings())[0]
    assert f"```\n{wide} m) {{\n    c[0] = a[0];\n\n}}\n```" in found


def test_markdown_signs_of_the_print_are_no_markup():
    found, _ = to_markdown([line("#define 与 a*b*c 以及 <x>，价 $5", 0, 40)], Headings())
    assert "\\<x>" in found and "a\\*b\\*c" in found and "\\$5" in found


def test_without_an_outline_larger_print_is_a_heading():
    lines = [line("第一章 起步", 0, 40, size=20.0), line("1.1 小节", 0, 80, size=15.0)]
    lines += [line("正文很长的一句话，说明一些事情。", 0, 110 + 16 * n) for n in range(8)]
    assert find_headings(lines, []).levels == {0: 1, 1: 2}


def test_a_short_title_whose_number_does_not_stand_apart_in_print_is_found():
    lines = [line(f"{title}", 0, 40 + 200 * n) for n, title in enumerate(("1进程", "2死锁"))]
    lines.insert(1, line("正文很长的一句话，说明一些事情。", 0, 80))
    found = find_headings(lines, [Bookmark(1, "1 进程", 0), Bookmark(1, "2 死锁", 0)])
    assert found.levels == {0: 1, 2: 1} and not found.before


def test_losses_are_counted_and_named_in_one_line():
    losses = [Loss(PAGE, f"p. {n}") for n in (3, 4, 5, 9)]
    losses += [Loss(FIGURE, name) for name in ("甲", "乙", "丙", "丁")]
    said = "4 pages not read (p. 3–5, 9); 4 figures kept as records only (甲, 乙, 丙 …)"
    assert spoken(losses) == said


def test_reasons_that_count_are_summed():
    losses = [Loss(TEXT, f"p. {page}", f"{page} single characters") for page in (2, 3)]
    assert spoken(losses) == "2 pieces of text not read (p. 2, p. 3; 5 single characters)"


@pytest.mark.parametrize("upside_down", [False, True])
def test_ocr_judges_a_page_upright_and_no_line_by_itself(upside_down):
    """RapidOCR's judge of single lines turned good lines of a real scan upside down."""
    import numpy

    from data.pdf.ocr import OcrReader

    class Found:
        boxes = numpy.array([[[0, 0], [90, 0], [90, 10], [0, 10]]])

        def __init__(self, text, score):
            self.txts, self.scores = [text], [score]

    def engine(picture, use_cls=True):
        assert not use_cls
        return Found("进程与线程", 0.99) if picture[0, 0, 0] == 0 else Found("乱读一气", 0.6)

    picture = numpy.full((4, 4, 3), 255, numpy.uint8)
    picture[3 if upside_down else 0, 3 if upside_down else 0] = 0
    reader = OcrReader(None, lambda done, total: None)
    reader._engine = engine
    assert [row[0] for row in reader._read(picture)] == ["进程与线程"]
