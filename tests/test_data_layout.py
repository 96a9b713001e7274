"""PDF pages as LibreOffice, Word and browsers make them: columns, titles, cells, listings."""

import pytest

from data.pdf import read_pdf
from tests.pdf_files import MONO, SONG, make_pdf, rule, text


def read(tmp_path, pages) -> str:
    (tmp_path / "b.pdf").write_bytes(make_pdf(pages))
    return read_pdf(tmp_path / "b.pdf", "never").text


def column(words: str, left: float, top: float, count: int, size: float = 8) -> list[str]:
    """Lines of a column, each told from the others by its number."""
    return [text(f"{n:02d}{words}", left, top + n * 13, size, SONG) for n in range(count)]


def test_three_columns_that_share_no_baseline_are_read_one_by_one(tmp_path):
    page = [text("第一章绪论", 60, 50, 17, SONG), text("1.1", 60, 80, 12)]
    page += column("死锁是多个进程互相等待", 60, 100, 20, 10)
    page += column("分页把地址划分为多个页", 210, 82, 21, 10)
    page += column("调度决定谁先得到处理器", 360, 91, 21, 10)
    found = read(tmp_path, [page]).replace("\n", "")
    order = [found.index(w) for w in ("00死锁", "19死锁", "00分页", "20分页", "00调度", "20调度")]
    assert order == sorted(order)


def test_a_paragraph_goes_on_in_the_next_column(tmp_path):
    words = "进程在得到资源之前一直等待别的进程"
    page = column(words, 60, 100, 12, 10) + column(words, 320, 100, 12, 10)
    assert f"11{words} 00{words}" in read(tmp_path, [page])


def test_titles_at_the_same_height_of_each_page_stay(tmp_path):
    titles = ("进程", "线程", "调度", "内存", "分页", "文件")
    pages = []
    for number, title in enumerate(titles, 1):
        top = 46 if number == 1 else 40  # the first page has a height of its own
        page = [text("操作系统讲义", 60, top, 8, SONG), text(f"{number}", 500, top, 8)]
        page += [text(f"{number}", 60, top + 30, 16), text(title, 90, top + 30, 16, SONG)]
        pages.append(page + column(f"{title}的内容各页都不一样", 60, top + 60, 5 + number, 10))
    found = read(tmp_path, pages)
    assert [line.split()[-1] for line in found.split("\n") if line.startswith("#")] == [*titles]
    assert "讲义" not in found


def test_a_notice_of_five_lines_below_each_page_goes(tmp_path):
    notice = (
        "草稿仅供移动端阅读",
        "版权归出版社所有",
        "代码在网上可以下载",
        "微课视频",
        "欢迎指正",
    )
    pages = []
    for number in range(5):
        page = column(f"第{'一二三四五'[number]}页的内容各不一样", 60, 72, 5 + number, 10)
        page += [text(line, 60, 700 + 10 * n, 7, SONG) for n, line in enumerate(notice)]
        pages.append([*page, text(f"{number + 3}", 300, 760, 7)])
    found = read(tmp_path, pages)
    assert found.count("内容各不一样") == 5 + 6 + 7 + 8 + 9
    assert not [line for line in notice if line in found]


def test_heads_that_only_begin_alike_go_with_their_short_chapters(tmp_path):
    chapters = ("中文摘要", "目次与说明", "绪论", "绪论", "绪论", "绪论", "方法", "方法", "方法")
    pages = []
    for number, chapter in enumerate(chapters):
        page = [text(f"某某大学硕士学位论文 {chapter}", 60, 40, 8, SONG)]
        words = f"{'一二三四五六七八九'[number]}说的内容各不一样"
        pages.append(page + column(words, 60, 72, 5 + number, 10))
    found = read(tmp_path, pages)
    assert "学位论文" not in found and found.count("内容各不一样") == sum(range(5, 14))


def test_small_heads_of_an_article_that_say_its_title_or_journal_go(tmp_path):
    first = [
        text("某某大学学报 第 5 卷", 60, 40, 10, SONG),
        text("喷嘴的试验研究", 60, 80, 18, SONG),
    ]
    pages = [first + column("正文的话各不一样", 60, 120, 6, 10)]
    for head in ("某某大学学报", "喷嘴的试验研究", "各页都有的小字"):
        page = [text(head, 260, 40, 7, SONG)]
        pages.append(page + column(f"{head[:2]}之后的内容", 60, 72, 7, 10))
    found = read(tmp_path, pages)
    assert found.count("某某大学学报") == 1 and found.count("喷嘴的试验研究") == 1
    assert "各页都有的小字" in found


def test_scripts_of_browsers_stay_at_their_letters(tmp_path):
    # <sub> is 83 % of the size there, and most readers call it a line of its own.
    page = [text("h", 60, 100, 12), text("0", 67, 102.5, 10), text("(x) = x", 73, 100, 12)]
    page += [text("2", 114, 95, 10), text("+ 1 is large", 124, 100, 12)]
    assert "h_0(x) = x^2 + 1 is large" in read(tmp_path, [page])


@pytest.mark.parametrize(("spacing", "gap"), [(-0.3, 1.2), (1.2, 3.6)])
def test_words_are_parted_by_more_than_their_letters(tmp_path, spacing, gap):
    """Pressed together and set apart: the gap between words counts against that of letters."""
    shown = text("Recurrent|Network|has|memory", 60, 100)
    shown = shown.replace("-200", f"{-(gap - spacing) * 100:.0f}").replace("BT", f"BT {spacing} Tc")
    assert "Recurrent Network has memory" in read(tmp_path, [[shown]])


def test_a_chinese_comment_tears_no_listing_apart(tmp_path):
    page = [text("程序如下", 60, 60, 10, SONG)]
    page += [text("def read(path):", 60, 100, 10, MONO), text("#", 84, 112, 10, MONO)]
    page += [
        text("先打开文件再读", 96, 112, 10, SONG),
        text("return open(path)", 84, 124, 10, MONO),
    ]
    assert "def read(path):\n    # 先打开文件再读\n    return open(path)" in read(tmp_path, [page])


def test_line_numbers_beside_a_listing_go(tmp_path):
    code = ["int main(void) {", "    return 0;", "}"]
    page = [text("程序如下，它只有三行，返回零表示一切都好，没有出现什么错误", 60, 60, 10, SONG)]
    for number, line in enumerate(code):
        page.append(text(str(number + 1), 60, 100 + 12 * number, 10, MONO))
        left = 84 + 6 * (len(line) - len(line.lstrip()))
        page.append(text(line.strip(), left, 100 + 12 * number, 10, MONO))
    assert "```\n" + "\n".join(code) + "\n```" in read(tmp_path, [page])


ROWS = (("Name", "Cost", "算法的说明"), ("FCFS", "O(1)", "先来先服务"), ("SJF", "O(n)", "短作业先"))


def cells(lefts: tuple[float, ...], top: float) -> list[str]:
    shown = []
    for number, row in enumerate(ROWS):
        for left, words in zip(lefts, row, strict=True):
            shown.append(
                text(words, left, top + 16 * number, 10, "F1" if words.isascii() else SONG)
            )
    return shown


TABLE = """| Name | Cost | 算法的说明 |
| --- | --- | --- |
| FCFS | O(1) | 先来先服务 |
| SJF | O(n) | 短作业先 |"""


def test_cells_nearer_than_a_character_are_cells(tmp_path):
    page = [text("算法的比较见下面的表格", 60, 60, 10, SONG), *cells((62, 96, 126), 100)]
    page += [rule(60, top, 300, top) for top in (88, 104, 136)]
    assert TABLE in read(tmp_path, [page])


def test_a_table_without_rules_is_found_by_its_caption(tmp_path):
    page = [text("表1", 60, 76, 10, SONG), text("算法", 90, 76, 10, SONG)]
    page = [text("表1-1算法的比较", 60, 76, 10, SONG), *cells((62, 150, 240), 100)]
    page += [text("以上是三种算法的比较，它们各有各的用处。", 60, 180, 10, SONG)]
    found = read(tmp_path, [page])
    assert TABLE in found and "\n以上是三种算法" in found


def test_bold_lines_of_the_usual_size_are_titles(tmp_path):
    """Word draws the outline of Chinese characters for bold: render mode 2."""
    page = []
    for number, title in enumerate(("死锁", "分页")):
        top = 60 + 80 * number
        page += [f"2 Tr {text(title, 60, top, 10, SONG)} 0 Tr"]
        page += column("这一节的正文说明它是什么以及怎样实现", 60, top + 20, 3, 10)
        page += [text("到此结束。", 60, top + 59, 10, SONG)]
    found = read(tmp_path, [page])
    assert [line for line in found.split("\n") if line.startswith("#")] == ["# 死锁", "# 分页"]


def boxed(top: float, bottom: float) -> list[str]:
    """A frame as LaTeX draws it: a filled box, and its lines a second time."""
    edges = [(60, top, 540, top), (60, bottom, 540, bottom)]
    edges += [(60, top, 60, bottom), (540, top, 540, bottom)]
    filled = f"0.9 g 60 {792 - bottom} 480 {bottom - top} re f 0 g"
    return [filled, *(rule(*edge) for edge in edges)]


def test_listings_in_frames_below_one_another_are_no_table(tmp_path):
    page = [*boxed(90, 140), *boxed(200, 250), *boxed(310, 360)]
    for top in (90, 200, 310):
        page += [text(f"box{top} = 1", 64, top + 15, 9, MONO)]
        page += [text("run()", 82, top + 30, 9, MONO)]
    page += [text("1.2 Arrays", 64, 170, 16)]
    page += [text("【a】数组用下面的办法构造：", 55, 190, 10, SONG)]
    page += [text("下面讨论特殊的数组：", 64, 290, 10, SONG)]
    found = read(tmp_path, [page])
    assert "# 1.2 Arrays" in found
    assert found.count("```") == 6
    assert "|" not in found


def test_a_page_set_wider_than_the_book_keeps_its_paragraphs(tmp_path):
    words = "手册由许多人打磨完善整理成册后又经过实战的检验"
    book = [[text(f"{p}{n}{words}", 60, 80 + n * 15, 10, SONG) for n in range(40)] for p in (1, 2)]
    wide = [text(f"序{n}{words}", 60, 80 + n * 30, 10, SONG) for n in range(10)]
    found = read(tmp_path, [wide, *book])
    assert f"序0{words}序1{words}" in found


def test_double_lines_between_columns_are_no_column(tmp_path):
    page = [rule(60, top, 300, top) for top in (100, 120, 140)]
    page += [rule(x, 100, x, 140) for x in (60, 160, 166, 300)]
    for top, cells in ((114, ("版本", "日期")), (134, ("1.7.1", "2022"))):
        page += [text(cells[0], 64, top, 10, SONG), text(cells[1], 170, top, 10, SONG)]
    assert "| 版本 | 日期 |" in read(tmp_path, [page])


def test_two_columns_above_a_table_and_three_below_it(tmp_path):
    words = "进程在得到资源之前一直等待别的进程先放开"
    page = column(f"甲{words}", 60, 80, 9, 10) + column(f"乙{words}", 320, 80, 9, 10)
    page += [rule(60, top, 300, top) for top in (220, 240, 260)]
    page += [rule(x, 220, x, 260) for x in (60, 160, 300)]
    for top, cells in ((234, ("算法", "依据")), (254, ("时钟", "引用位"))):
        page += [text(cells[0], 64, top, 10, SONG), text(cells[1], 170, top, 10, SONG)]
    for number, left in enumerate((60, 230, 400)):
        page += column(f"{'丙丁戊'[number]}{words[:13]}", left, 300 + number * 4, 9, 10)
    found = read(tmp_path, [page]).replace("\n", "")
    order = ("00甲", "08甲", "00乙", "08乙", "算法", "00丙", "08丙", "00丁", "08丁", "00戊")
    places = [found.index(mark) for mark in order]
    assert places == sorted(places)


def test_entries_of_a_table_of_contents_are_neither_notes_nor_headings(tmp_path):
    page = [text("第一章绪论", 60, 80, 14, SONG), text("5", 500, 80, 14)]
    for number in range(1, 8):
        top = 80 + number * 18
        page += [text(f"1.{number}", 75, top), text("引言" * 4, 110, top, 10, SONG)]
        page += [text("." * 90, 200, top), text(f"{number + 5}", 500, top)]
    body = [text("第一章绪论", 60, 80, 14, SONG)] + column("进程互相等待别的进程", 60, 120, 30, 10)
    found = read(tmp_path, [page, body, body[1:]])
    assert found.count("绪论") == 1
    assert "1.3" not in found
