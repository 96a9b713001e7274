"""Formulas, roles, tabs and figures of docx, HTML, epub and Markdown; what is lost is reported."""

import json
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import pytest

from data import needs
from data.books import BookError, read_book
from data.dialects import included, plain_markdown
from data.losses import FORMULA
from data.sections import read_sections
from data.web import prepared

M = "http://schemas.openxmlformats.org/officeDocument/2006/math"


def formula(inside: str):
    from lxml import etree

    return etree.fromstring(f'<m:oMath xmlns:m="{M}">{inside}</m:oMath>')


def run(text: str) -> str:
    return f"<m:r><m:t>{text}</m:t></m:r>"


def test_an_odd_formula_costs_itself_only():
    from data.omml import to_latex

    limit = f"<m:limLow><m:e>{run('∪')}</m:e><m:lim>{run('i')}</m:lim></m:limLow>"
    assert to_latex(formula(limit)) == (r"\underset{i}{∪}", True)
    fence = f"<m:d><m:dPr/><m:e>{run('a')}</m:e><m:e>{run('b')}</m:e></m:d>"
    assert to_latex(formula(fence)) == (r"\left(a | b\right)", True)
    assert to_latex(formula(f"<m:strange><m:e>{run('x')}</m:e></m:strange>")) == ("x", False)


@pytest.mark.parametrize(
    ("inside", "latex"),
    [
        (f"<m:f><m:num>{run('1')}</m:num><m:den>{run('2m')}</m:den></m:f>", r"\frac{1}{2m}"),
        (f"<m:acc><m:e>{run('x')}</m:e></m:acc>", r"\hat{x}"),
        (f"<m:d><m:e>{run('x')}</m:e></m:d>", r"\left(x\right)"),
        (f"<m:nary><m:sub>{run('i')}</m:sub><m:sup/><m:e>{run('x')}</m:e></m:nary>", r"\int_{i}x"),
        (run("\U0001d44e+b"), "a+b"),
        (f"<m:eqArr><m:e>{run('a&amp;=b')}</m:e><m:e>{run('c&amp;=d')}</m:e></m:eqArr>",
         r"\begin{array}{c}a=b\\c=d\end{array}"),
        (f"<m:groupChr><m:e>{run('a')}</m:e></m:groupChr>", r"\underbrace{a}"),
        (f"<m:groupChr><m:groupChrPr><m:chr m:val='→'/><m:pos m:val='top'/></m:groupChrPr>"
         f"<m:e>{run('a')}</m:e></m:groupChr>", r"\overset{→}{a}"),
    ],
)  # fmt: skip
def test_formulas_may_leave_out_what_the_format_lets_be_left_out(inside, latex):
    from data.omml import to_latex

    assert to_latex(formula(inside)) == (latex, True)


@pytest.mark.parametrize(
    "shown",
    [
        '<script type="math/tex">a_1</script>',
        '<span class="katex"><math><annotation encoding="application/x-tex">a_1</annotation></math>'
        '<span class="katex-html">a1</span></span>',
        '<math alttext="a_1"><mi>a</mi></math>',
        '<img class="tex" alt="a_1">',
        '<span data-tex="a_1">a1</span>',
    ],
)
def test_formulas_of_pages_stay_as_latex(shown):
    html, losses = prepared(f"<p>代价记为 {shown}，它很小。</p>")
    assert "代价记为 $a_1$，它很小。" in html and not losses


def test_a_formula_without_source_is_counted():
    html, losses = prepared("<p>记为 <math><maction><mi>x</mi></maction></math> 的量</p>")
    assert "[公式]" in html and [loss.kind for loss in losses] == [FORMULA]


def test_roles_go_and_tabs_are_sections_of_their_own(tmp_path):
    text = """# 卷积
:label:`sec_conv`

卷积如 :numref:`fig_c`所示 :cite:`A.2012`，见 :numref:`sec_conv`。
![卷积的示意](img/c.svg)
:label:`fig_c`

[**步幅是移动的距离**]，记作 \\(s\\)。

:begin_tab:`pytorch`
用 nn.Conv2d。
:end_tab:

```{.python .input}
#@tab pytorch
def f(
    x: int,
) -> int:
    return x
```
"""
    (tmp_path / "b.md").write_text(text, encoding="utf-8")
    sections = list(read_sections(read_book(tmp_path / "b.md").text))
    said = "\n".join(block.text for section in sections for block in section.blocks)
    assert "卷积如图“卷积的示意”所示，见“卷积”一节。" in said
    assert "步幅是移动的距离，记作 $s$。" in said
    assert not [mark for mark in (":label:", ":cite:", "[**", "tab:") if mark in said]
    assert ("卷积", "PyTorch") in [section.path for section in sections]
    assert "# PyTorch\ndef f(\n    x: int,\n) -> int:\n    return x" in said
    figures = [figure for section in sections for figure in section.figures]
    assert [(f.image, f.caption, f.path) for f in figures] == [
        ("img/c.svg", "卷积的示意", ("卷积",))
    ]


def test_latex_in_markdown_keeps_its_backslashes():
    text = "# A\n\n集合 $\\{a_1, b_2\\}$ 与 $a<b, c>d$ 不同。\n\n$$\nx = \\\\ y\n$$\n"
    blocks = next(iter(read_sections(plain_markdown(text)))).blocks
    assert blocks[0].text == "集合 $\\{a_1, b_2\\}$ 与 $a<b, c>d$ 不同。"
    assert blocks[1].text == "$$x = \\\\ y$$"


def test_code_is_left_alone():
    text = "# A\n\n```python\n:label:`x`\nprint('[**a**]')\n```\n"
    assert ":label:`x`\nprint('[**a**]')" in plain_markdown(text)


def test_a_missing_package_is_one_line_with_the_command(tmp_path, monkeypatch):
    (tmp_path / "b.html").write_text("<p>文字</p>", encoding="utf-8")

    def missing(*_):
        raise ModuleNotFoundError("No module named 'markitdown'", name="markitdown")

    monkeypatch.setattr("data.books._convert", missing)
    with pytest.raises(BookError, match="markitdown is not installed: run `bash run.sh data"):
        read_book(tmp_path / "b.html")
    monkeypatch.setattr(needs, "find_spec", lambda name: None if name == "datasketch" else 1)
    with pytest.raises(ValueError, match="^datasketch is not installed: run"):
        needs.require_packages()


def test_the_report_names_what_is_not_in_the_text(tmp_path):
    from typer.testing import CliRunner

    from data.__main__ import app

    body = "线程束是指一起执行的三十二个线程。它的作用是让指令一次发给多个线程。" * 3
    (tmp_path / "b.md").write_text(f"# 线程束\n\n{body}\n\n![图 1.1 线程束](w.png)\n", "utf-8")
    out, cache = str(tmp_path / "out"), str(tmp_path / "cache")
    done = CliRunner().invoke(
        app, ["build", str(tmp_path / "b.md"), "--out", out, "--cache", cache]
    )
    assert "b.md: 1 figures kept as records only (图 1.1 线程束)" in done.output
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report["reading"][0]["lost"] == {"figure": ["图 1.1 线程束"]}
    row = json.loads((tmp_path / "out" / "figures.jsonl").read_text("utf-8"))
    assert (row["number"], row["image"], row["path"]) == ("1.1", "w.png", ["线程束"])


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("(label-a)=\n## 内存\n\n见 {ref}`label-a`。", "## 内存\n\n见“内存”。"),
        ("有 x{sup}`2` 个。", "有 x^2 个。"),
        (":begin_table:\n\n表。\n\n:end_table:", "\n表。\n"),
        ('::: {.callout-note title="注意"}\n话。\n:::', "\n**注意**\n\n话。\n"),
        ("> [!note] 题目\n> 话。", "> **题目**\n> 话。"),
        (
            "## 节 {#sec-b}\n\n![](a.png){#fig-a}\n\n见 @fig-a和 @sec-b [@knuth1984; @lamport86]。",
            "## 节\n\n![](a.png)\n\n见 图和 另一节。",
        ),
        ("```{r fig-b}\nx\n```\n\n见 @fig-b 。", "```r\nx\n```\n\n见 图 。"),
        ("见 @def-user 和 @fig-c。", None),
        ("装 [@vue/cli](https://x.y) 与 [@babel/core]。", None),
        ("公式 $x^k+x^{2k}$、$3~592~6$ 不动。", None),
        ("留 %% 旁注 %% 下。", "留  下。"),
        ("上。\n\n%%旁注%%\n\n下。", "上。\n\n\n\n下。"),
        ("用 %%time 计时，用 %%timeit 重复。", None),
        ("从 50%% 到 80%%，到 90%% 。", None),
        ("| a | b |\n| - | - |\n| 5%% | 6%% |\n| %% | %% |", None),
        ("[小字]{.smallcaps}。", "小字。"),
        ("数组 a[i]{.size} 与 f(x){.y} 不动。", None),
        (
            "[甲](a_(b).html){.x} 和 `b`{.python} 与 [乙][c]{: .y}。",
            "[甲](a_(b).html) 和 `b` 与 [乙][c]。",
        ),
        (
            "```{python}\n#| echo: false\nx = 1  #| 不是选项\n```",
            "```python\nx = 1  #| 不是选项\n```",
        ),
        ("---\ntitle: 书\n...\n\n话。", "# 书\n\n\n话。"),
    ],
)
def test_quarto_obsidian_and_pandoc_are_plain_markdown(written, shown):
    assert plain_markdown(written) == (written if shown is None else shown)


def test_a_page_of_quarto_includes_its_parts(tmp_path):
    (tmp_path / "_part.qmd").write_text("引入的话。\n", "utf-8")
    page = "# 章\n\n{{< include _part.qmd >}}\n\n{{< include _gone.qmd >}}\n"
    (tmp_path / "a.qmd").write_text(page, "utf-8")
    book = read_book(tmp_path / "a.qmd")
    assert "引入的话。" in book.text
    assert [loss.place for loss in book.losses] == ["_gone.qmd"]


@pytest.mark.parametrize(
    ("html", "shown", "lost"),
    [
        ("<mjx-container><mjx-math></mjx-math></mjx-container>", "[公式]", 1),
        ("<code class='language-math'>e^1</code>", "$e^1$", 0),
        ("<img src='/eq.png' alt='\\frac{1}{2}'>", r"$\frac{1}{2}$", 0),
        ("<math><mover><mi>x</mi><mo>^</mo></mover></math>", r"$\hat{x}$", 0),
    ],
)
def test_formulas_of_pages_are_kept_or_named(tmp_path, html, shown, lost):
    (tmp_path / "b.html").write_text(f"<h1>章</h1><p>前面 {html} 后面。</p>", "utf-8")
    book = read_book(tmp_path / "b.html")
    assert f"前面 {shown} 后面。" in book.text
    assert [loss.kind for loss in book.losses] == ["formula"] * lost


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("opencc", ["data", "check-leak", "{rows}", "{rows}"]),
        ("openai", ["data", "agree", "{rows}", "--review", "teacher", "--base-url=x", "--model=m"]),
        ("markdown_it", ["retrieval", "build", "{book}", "--out", "{out}"]),
        ("bm25s", ["retrieval", "build", "{book}", "--out", "{out}"]),
    ],
)  # fmt: skip
def test_every_command_says_in_one_line_which_package_is_missing(tmp_path, package, command):
    (tmp_path / "book.txt").write_text("第一章 线程\n\n线程是执行的最小单位。\n", "utf-8")
    row = {"question": "甲？", "answer": "乙。", "chunk": "乙。", "verdict": "good"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), "utf-8")
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.machinery as machinery\n"
        "find = machinery.PathFinder.find_spec\n"
        "def find_spec(name, path=None, target=None):\n"
        f"    return None if name.split('.')[0] == {package!r} else find(name, path, target)\n"
        "machinery.PathFinder.find_spec = staticmethod(find_spec)\n",
        "utf-8",
    )
    places = {"rows": "rows.jsonl", "book": "book.txt", "out": "index"}
    places = {name: str(tmp_path / path) for name, path in places.items()}
    done = subprocess.run(
        [sys.executable, "-m", *(each.format(**places) for each in command)],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "PYTHONPATH": str(tmp_path), "OPENAI_API_KEY": "x"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"error: {package} is not installed: run the same command as `bash run.sh {command[0]} …`, "
        "which installs it first"
    )


@pytest.mark.parametrize(
    "page",
    [
        "# " + " " * 40_000,  # seen in a real page: a heading that somebody blanked
        "# 闸门" + " \t" * 20_000 + "，",
        "闸门\n" + "\n" * 40_000,
        "闸门" + "." * 40_000,
        "<p>" + "`" * 40_000,
        "闸门" + "` " * 60_000,
        "闸门" + "…" * 40_000,
        "闸门" + "![" * 25_000,
        "闸门" + "(**" * 30_000,
        "闸门{.a" + "](" * 50_000,
        "闸门{.a" + "[x](" * 25_000,
        "闸门" + "<?code-excerpt " * 7_000,
        "闸门" + r"\(" * 40_000,
        r"\[ " * 40_000,
        "闸门" + ":a" * 40_000,
        " \n" * 30_000,
        "http://\n" * 20_000,
        "闸门" + "<!--" * 40_000,
        "<pre>\n" * 15_000,
        "\\begin{equation}\n" * 15_000,
        "<html>" + "<div>字" * 8_000,
    ],
)
def test_a_long_run_of_one_sign_does_not_stop_the_reading(tmp_path, page: str):
    book = tmp_path / ("b.html" if page.startswith("<html>") else "b.md")
    book.write_text(f"{page}\n\n水位由闸门控制。\n", encoding="utf-8")
    # In a process of its own, which can be ended.
    code = f"""
from pathlib import Path
from data.books import read_book
from data.sections import read_sections
for section in read_sections(read_book(Path({str(book)!r})).text):
    for block in section.blocks:
        print(block.text)
"""
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert "水位由闸门控制。" in told.stdout


def test_an_epub_with_a_part_twice_is_read_without_a_warning(tmp_path):
    root = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    root += '<rootfile full-path="a.opf"/></rootfiles></container>'
    opf = '<package xmlns="http://www.idpf.org/2007/opf"><manifest><item id="a" href="a.html"/>'
    opf += '</manifest><spine><itemref idref="a"/></spine></package>'
    book = tmp_path / "a.epub"
    with zipfile.ZipFile(book, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("META-INF/container.xml", root)
        archive.writestr("a.opf", opf)
        archive.writestr("a.html", "<html><body><p>从前的一稿。</p></body></html>")
        archive.writestr("a.html", "<html><body><p>现在的一稿。</p></body></html>")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_book(book).text.strip() == "现在的一稿。"


def test_a_picture_within_the_page_is_named_by_its_section():
    page = "# 传感器\n\n## 读数\n\n一段话。\n\n![](data:image/png;base64,AAAA)\n"
    figures = [figure for section in read_sections(page) for figure in section.figures]
    assert [figure.place for figure in figures] == ["传感器 › 读数"]


def test_a_chapter_that_is_not_written_yet_stays_a_heading_and_a_sentence_does_not():
    text = "# 书\n\n## 第3章：并行编程的基础知识\n\n## 结语：写在最后的几句话\n\n"
    text += "## 共享内存位于片上，延迟低。\n\n## 下一章\n\n话。\n"
    sections = list(read_sections(text))
    said = [(section.path[-1], [block.text for block in section.blocks]) for section in sections]
    assert ("第3章：并行编程的基础知识", []) in said and ("结语：写在最后的几句话", []) in said
    assert ("书", ["共享内存位于片上，延迟低。"]) in said


def test_headings_over_nothing_are_counted_and_named(tmp_path):
    from data.cache import Cache
    from data.context import BuildContext
    from data.reading import read_chunks
    from data.settings import BuildSettings
    from data.sources.rules import RulesSource

    text = "# 书\n\n## 线程\n\n话。\n\n## 共享内存\n\n## 流\n\n### 事件\n\n## 图\n\n![](a.png)\n"
    (tmp_path / "b.md").write_text(text, encoding="utf-8")
    context = BuildContext(RulesSource(), BuildSettings(), Cache(tmp_path / "cache"))
    read_chunks(tmp_path / "b.md", context)
    (line,) = context.funnel.reading_warnings()
    assert "2 headings with nothing under them" in line and "书 › 共享内存, 流 › 事件" in line


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("看 [**编程面试**](https://a.b/c) 这本书。", "看 编程面试 这本书。"),
        ("CUDA（(**Compute Unified**)）是平台。", "CUDA（(Compute Unified)）是平台。"),
        ("图 ![](x.png){width=22% align=right} 在上面。", "图 在上面。"),
        ('见 [手册](a.md){:target="_blank" .ext}，第三章。', "见 手册，第三章。"),
        ("调用 `f`{.cpp} 之后 f(x){a=1} 才是集合。", "调用 f 之后 f(x){a=1} 才是集合。"),
        (
            "写成 `[链接](u){.btn}` 就变按钮，用 `\\index{词}` 建索引。",
            "写成 [链接](u){.btn} 就变按钮，用 \\index{词} 建索引。",
        ),
        (f"这里 *{'长' * 80}* 是斜体。", f"这里 {'长' * 80} 是斜体。"),
        ("<nav>\n<a href='#a'>概述</a>&nbsp;&nbsp;简介\n</nav>", "概述 简介"),
        ("<a id='n6'></a>[^](#m5) 惰性求值推迟计算。", "惰性求值推迟计算。"),
        ("\\index{线程}线程是最小的单位。", "线程是最小的单位。"),
    ],
)
def test_marks_of_site_builders_are_no_words(tmp_path, written, shown):
    (tmp_path / "b.md").write_text(f"# 章\n\n{written}\n", encoding="utf-8")
    (section,) = read_sections(read_book(tmp_path / "b.md").text)
    assert [block.text for block in section.blocks] == [shown]


def test_a_role_that_is_named_takes_no_words_with_it(tmp_path):
    written = "用 `{numref}` 角色来引用带标签的图，写作 `fig`，用 `:doc:` 引用一页，见 `a`。"
    (tmp_path / "b.md").write_text(f"# 章\n\n{written}\n", encoding="utf-8")
    (section,) = read_sections(read_book(tmp_path / "b.md").text)
    assert [block.text for block in section.blocks] == [written.replace("`", "")]


def test_highlights_of_d2l_go_also_behind_a_listing_and_only_there():
    page = ":label:`sec_a`\n\n```c\nx\n```\n\n[**最后转换**]成数组，见 [**书**](a.md)。\n"
    assert "最后转换成数组，见 [**书**](a.md)。" in plain_markdown(page)
    assert "CUDA (**架构**) 是" in plain_markdown("CUDA (**架构**) 是平台。\n")


def test_three_angles_before_words_name_no_file():
    assert included("```text\n<<< who are you?\n```\n<<< @/code/a.ts\n") == ["@/code/a.ts"]
