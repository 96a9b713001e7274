"""Web pages, e-books and the Markdown of site builders: what readers see, and only that."""

import pytest

from data.books import read_book
from data.dialects import plain_markdown
from data.sections import read_sections


def page(tmp_path, body: str) -> str:
    (tmp_path / "b.html").write_text(f"<html><body><h1>第一章</h1>{body}</body></html>", "utf-8")
    return read_book(tmp_path / "b.html").text


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("<p><ruby>死锁<rt>sǐ suǒ</rt></ruby>是等待。</p>", "死锁是等待。"),
        ("<p>说明<sup><a href='#fn1'>[1]</a></sup>在此。</p>", "说明在此。"),
        ("<h2>节<a class='headerlink' href='#s'>¶</a></h2><p>正文</p>", "## 节\n"),
        (
            "<p>O(n<sup>2</sup>) 与 H<sub>2</sub>O 与 10<sup>-3</sup></p>",
            "O(n^2) 与 H_2O 与 10^{-3}",
        ),
        ("<form><p>整页在表单里。</p><input></form>", "整页在表单里。"),
        (r"<p>记作 \(a_1\)，即 \[x = y\] 。</p>", "记作 $a_1$，即 $$x = y$$"),
        ("<p>图 <img src='https://www.zhihu.com/equation?tex=a%5E2'></p>", "$a^2$"),
        ("<aside role='doc-footnote'><p>脚注里的说明也是书的内容。</p></aside>", "> 脚注里的说明"),
        (
            "<m:math xmlns:m='http://www.w3.org/1998/Math/MathML'><m:mfrac><m:mi>a</m:mi>"
            "<m:mi>b</m:mi></m:mfrac></m:math>",
            r"$\frac{a}{b}$",
        ),
    ],
)
def test_a_page_says_what_its_reader_sees(tmp_path, body, shown):
    assert shown in page(tmp_path, body)


def test_a_listing_with_numbers_beside_it_is_code(tmp_path):
    code = "def f(\n    a,\n):\n    return a"
    body = (
        "<table class='highlighttable'><tr><td class='linenos'><pre>1\n2\n3\n4</pre></td>"
        f"<td class='code'><pre>{code}</pre></td></tr></table>"
    )
    assert f"```\n{code}\n```" in page(tmp_path, body)


def test_cells_over_several_rows_and_columns_keep_the_others_in_place(tmp_path):
    body = (
        "<table><tr><td>名</td><td>值</td><td>注</td></tr><tr><td rowspan=2>甲</td><td>1|2</td>"
        "<td>一</td></tr><tr><td>3</td><td>二</td></tr><tr><td colspan=2>乙</td><td>三</td></tr>"
        "</table>"
    )
    table = (
        "| 名 | 值 | 注 |\n| --- | --- | --- |\n| 甲 | 1\\|2 | 一 |\n| 甲 | 3 | 二 |\n"
        "| 乙 |  | 三 |"
    )
    assert table in page(tmp_path, body)


@pytest.mark.parametrize("tag", ["td", "th"])
def test_a_row_across_the_table_is_its_title_above_the_header(tmp_path, tag):
    body = (
        f"<table><thead><tr><{tag} colspan=2>表 1 延迟</{tag}></tr></thead><tr><td>存储</td>"
        "<td>周期</td></tr><tr><td>L1</td><td>30</td></tr></table>"
    )
    shown = "表 1 延迟\n\n| 存储 | 周期 |\n| --- | --- |\n| L1 | 30 |"
    assert shown in page(tmp_path, body)


def test_word_tables_have_a_header_and_scripts_their_height(tmp_path):
    import docx

    document = docx.Document()
    document.add_heading("章", 1)
    paragraph = document.add_paragraph("排序要 O(n")
    paragraph.add_run("2").font.superscript = True
    paragraph.add_run(") 步。")
    table = document.add_table(rows=3, cols=2)
    for row, words in zip(table.rows, (("名", "值"), ("甲", "1"), ("乙", "2")), strict=True):
        for cell, word in zip(row.cells, words, strict=True):
            cell.text = word
    document.save(tmp_path / "b.docx")
    found = read_book(tmp_path / "b.docx").text
    assert "O(n²) 步" in found
    assert "| 名 | 值 |\n| --- | --- |\n| 甲 | 1 |" in found


CODE = "```python\nx = 1\n```\n"
INDENTED = "\n\n    甲的做法。\n\n    ```python\n    x = 1\n    ```\n\n"
TABS = {
    "mkdocs": f'=== "PyTorch"{INDENTED}=== "JAX"\n\n    乙。\n',
    "gitbook": (
        f'{{% tabs %}}\n{{% tab title="PyTorch" %}}\n甲的做法。\n\n{CODE}{{% endtab %}}\n'
        '{% tab title="JAX" %}\n乙。\n{% endtab %}\n{% endtabs %}\n'
    ),
    "hugo": (
        f'{{{{< tabpane >}}}}\n{{{{< tab header="PyTorch" >}}}}\n甲的做法。\n\n{CODE}'
        '{{< /tab >}}\n{{< tab "JAX" >}}\n乙。\n{{< /tab >}}\n{{< /tabpane >}}\n'
    ),
    "docusaurus": (
        "import Tabs from '@theme/Tabs';\n\n<Tabs>\n"
        f'<TabItem value="a" label="PyTorch">\n\n甲的做法。\n\n{CODE}\n</TabItem>\n'
        '<TabItem value="b" label="JAX">\n\n乙。\n\n</TabItem>\n</Tabs>\n'
    ),
    "myst": (
        "````{tab-set}\n```{tab-item} PyTorch\n甲的做法。\n\n    x = 1\n```\n"
        "```{tab-item} JAX\n乙。\n```\n````\n"
    ),
}


@pytest.mark.parametrize("builder", TABS)
def test_tabs_of_site_builders_are_kept_apart_by_name(builder):
    text = plain_markdown(f"# 训练\n\n{TABS[builder]}\n结束。\n")
    found = {section.path: section for section in read_sections(text)}
    first = [block.text for block in found["训练", "PyTorch"].blocks]
    assert first == ["甲的做法。", "x = 1"]
    assert [block.text for block in found["训练", "JAX"].blocks] == ["乙。"]
    assert not [mark for mark in ("===", "{%", "{{", "Tab", "import") if mark in text]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ('!!! note "提示"\n\n    框里的话。\n', "\n**提示**\n\n\n\n框里的话。"),
        ("::: tip 提示\n框里的话。\n:::\n", "**提示**\n\n框里的话。"),
        ("> [!NOTE]\n> 框里的话。\n", "\n> 框里的话。"),
        ("正文[^1]在此。\n\n[^1]: 脚注里的话。\n", "正文在此。\n\n> 脚注里的话。"),
        ('{{< table title="参数说明" >}}\n', "\n参数说明\n"),
        ('{{< figure src="a.png" caption="图 1 示意" >}}\n', "![图 1 示意](a.png)"),
        ("# 章 {#intro .unnumbered}\n", "# 章\n"),
        ("==重点==与 `a == b` 与 a == b == c。\n", "重点与 `a == b` 与 a == b == c。"),
        (
            "```{list-table} 比较\n:header-rows: 1\n\n* - 名\n  - 值\n* - 甲\n  - 1\n```\n",
            "\n比较\n\n| 名 | 值 |\n| --- | --- |\n| 甲 | 1 |",
        ),
        ("```{figure} a.png\n:name: f\n\n图的\n说明\n```\n", "![图的 说明](a.png)"),
        ("\\begin{align}\nx = 1\n\\end{align}\n", "$$\n\\begin{align}\nx = 1\n\\end{align}\n$$"),
        ("```python\n=== x\n[^1] == a ==\n```\n", "=== x\n[^1] == a =="),
    ],
)
def test_boxes_notes_and_directives_become_plain_markdown(written, shown):
    assert shown in plain_markdown(f"\n{written}")


def test_a_formula_with_a_label_is_not_lost():
    blocks = next(iter(read_sections("# 章\n\n$$\na = b\n$$ (eq-1)\n"))).blocks
    assert [block.text for block in blocks] == ["$$a = b$$"]


def test_words_of_a_drawing_are_named_as_lost(tmp_path):
    body = "<p>正文。</p><svg><title>图标</title></svg><svg><g><text>线程块</text></g></svg>"
    (tmp_path / "b.html").write_text(f"<html><body>{body}</body></html>", "utf-8")
    book = read_book(tmp_path / "b.html")
    assert "图标" not in book.text
    assert [(loss.kind, loss.place) for loss in book.losses] == [("text", "线程块")]


def test_files_that_a_page_includes_are_named_as_lost(tmp_path):
    (tmp_path / "b.md").write_text(
        '# 章\n\n正文。\n\n--8<-- "docs/other.md"\n\n{{#include ../code/a.rs:2}}\n\n'
        "```{literalinclude} b.py\n:lines: 1-3\n```\n",
        "utf-8",
    )
    found = [(loss.kind, loss.place) for loss in read_book(tmp_path / "b.md").losses]
    assert found == [("text", "docs/other.md"), ("text", "../code/a.rs:2"), ("text", "b.py")]


def test_escaped_brackets_of_a_call_are_no_formula():
    text = r"用main\(\)启动，\(x_1\)也是。main\(\)返回。" + "\n\n" + r"\[ a \\[2pt] b \]"
    assert plain_markdown(text) == (
        r"用main\(\)启动，$x_1$也是。main\(\)返回。" + "\n\n" + r"$$ a \\[2pt] b $$"
    )


def test_a_table_below_its_caption_stays_a_table(tmp_path):
    rows = "<tr><th>甲</th><th>乙</th></tr><tr><td>1</td><td>2</td></tr>"
    page = f"<h1>章</h1><p>一段话。</p><table><caption>表 1 大小</caption>{rows}</table>"
    (tmp_path / "b.html").write_text(page, encoding="utf-8")
    text = read_book(tmp_path / "b.html").text
    assert "表 1 大小\n\n| 甲 | 乙 |\n| --- | --- |\n| 1 | 2 |" in text
