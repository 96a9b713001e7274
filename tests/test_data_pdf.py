"""The layout rules of the PDF reader, on lines as pdfplumber reports them."""

from data.pdf import Line, _heading_levels, _markdown, _without_running_titles


def line(text: str, page: int, top: float, **changes) -> Line:
    width = changes.pop("width", 12.0 * len(text))
    left = changes.pop("left", 72.0)
    values = {"size": 12.0, "mono": False, "bold": False, "char_width": 6.6, **changes}
    return Line(text, page, left, left + width, top, **values)


def test_running_titles_and_page_numbers_go_and_the_text_stays():
    lines = []
    for page in range(6):
        lines.append(line("并行计算导论", page, 30))
        lines.append(line(f"{'甲乙丙丁戊己'[page]}页的第一句正文，各页不同。", page, 80))
        lines.append(line("正文的第二句。", page, 100 + 40 * page))
        lines.append(line(f"— {page + 11} —", page, 760))
    kept = [item.text for item in _without_running_titles(lines, 6)]
    assert len([text for text in kept if text == "正文的第二句。"]) == 6
    assert not any("导论" in text or "—" in text for text in kept)
    assert len([text for text in kept if "第一句正文" in text]) == 6


def test_headings_come_from_the_outline_even_when_printed_on_two_lines():
    lines = [
        line("1.1 矩阵乘法", 0, 50, bold=True),
        line("矩阵乘法的正文一句。", 0, 80),
        line("1.2 一个很长很长的标题", 0, 120, bold=True),
        line("它的后半截", 0, 136, bold=True),
        line("正文。", 0, 170),
    ]
    outline = [(1, "1.1 矩阵乘法"), (2, "1.2 一个很长很长的标题它的后半截")]
    text = "\n".join(_markdown(lines, outline))
    assert "\n# 1.1 矩阵乘法\n" in text and "\n## 1.2 一个很长很长的标题它的后半截\n" in text


def test_without_an_outline_larger_print_is_a_heading():
    lines = [line("第一章 起步", 0, 40, size=20.0), line("1.1 小节", 0, 80, size=15.0)]
    lines += [line("正文很长的一句话，说明一些事情。", 0, 110 + 16 * n) for n in range(8)]
    assert _heading_levels(lines, []) == {0: 1, 1: 2}


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
    text = "\n".join(_markdown(lines, []))
    assert "并行计算把问题拆成若干部分，交给多个处理单元。" in text
    assert "The hardware executes parallel code." in text
    assert "- 第一项" in text and "- 第二项" in text


def test_code_keeps_its_indentation_and_broken_lines_are_put_together():
    mono = {"mono": True, "size": 11.0}
    wide = "void add(const float *a, const float *b, float *c, int n, int"
    lines = [
        line("代码如下：", 0, 40),
        line(wide, 0, 70, width=6.6 * len(wide), **mono),
        line("m) {", 0, 83, width=6.6 * 4, **mono),
        line("c[0] = a[0];", 0, 96, left=72 + 4 * 6.6, width=6.6 * 12, **mono),
        line("}", 0, 122, width=6.6, **mono),
    ]
    text = "\n".join(_markdown(lines, []))
    assert f"```\n{wide} m) {{\n    c[0] = a[0];\n\n}}\n```" in text


def test_markdown_signs_of_the_print_are_no_markup():
    text = "\n".join(_markdown([line("#define 与 a*b*c 以及 <x>", 0, 40)], []))
    assert "\\<x>" in text and "a\\*b\\*c" in text
