"""Sources of books beside plain Markdown: HTML in it, notebooks, included files, other kinds."""

import json

import pytest

from data.books import BookError, read_book, unread_files
from data.dialects import plain_markdown
from data.includes import with_includes
from data.sections import read_sections


def blocks(text: str) -> list[tuple[str, str]]:
    return [(b.kind, b.text) for s in read_sections(plain_markdown(text)) for b in s.blocks]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<h2 align='center'>索引</h2>\n", "## 索引"),
        ("10<sup>-3</sup> 米，H<sub>2</sub>O，1<sup>st</sup>。\n", "10^{-3} 米，H_2O，1st。"),
        ("<p align='center'>\n      <img src='a.png' alt='图 1'>\n</p>\n", "\n![图 1](<a.png>)\n"),
        ("<img src={require('./b.png').default} alt=\"图 2\" style={{width: 3}} />\n",
         "![图 2](<./b.png>)"),
        ("<details>\n<summary>答案</summary>\n\n正文。\n</details>\n", "**答案**"),
        ("<Recipes titleText=\"基础示例\">\n\n正文。\n", "**基础示例**"),
        ("依赖 <CodeStep step={3}>列表</CodeStep>。\n", "依赖 列表。"),
        ("## 小节 {/*sec*/}\n", "## 小节\n"),
        ("- 项\n    - `<p>` 与 <u>线</u>\n", "- 项\n    - `<p>` 与 线"),
        ("```html\n<h1>a</h1>\n<table>\n```\n", "```html\n<h1>a</h1>\n<table>\n```"),
    ],
)  # fmt: skip
def test_html_in_markdown_keeps_its_shape(written, shown):
    assert shown in plain_markdown(f"\n{written}")


def test_tables_and_listings_of_html_are_tables_and_listings():
    text = (
        "<table>\n<tr><th>名</th><th>值</th></tr>\n<tr><td rowspan=2>甲</td><td>1</td></tr>\n"
        "<tr><td><code>a|b</code></td></tr>\n</table>\n\n"
        "<pre><code class='language-c'>\nif (a &lt; b) {\n    f();\n}\n</code></pre>\n"
    )
    table = "| 名 | 值 |\n| --- | --- |\n| 甲 | 1 |\n| 甲 | `a\\|b` |"
    assert blocks(text) == [("table", table), ("code", "if (a < b) {\n    f();\n}")]


def test_pictures_and_links_in_cells_leave_their_words():
    row = "| ![结构](data:image/gif;base64,AAAA) | [文档](https://a.cn)<br>一 |"
    text = f"| 图 | 说明 |\n| --- | --- |\n{row}\n"
    (section,) = read_sections(plain_markdown(f"# 章\n\n{text}"))
    assert section.blocks[0].text.endswith("| 结构 | 文档 一 |")
    assert [(f.image, f.caption) for f in section.figures] == [("data:", "结构")]


def test_a_title_of_the_front_matter_is_the_page_s():
    matter = '---\ntitle: "安装步骤"\nsidebar: 2\n---\n\n'
    assert plain_markdown(f"{matter}正文。\n\n## 小节\n").startswith("# 安装步骤\n")
    assert plain_markdown(f"{matter}# 另一个\n\n正文。\n").strip().startswith("# 另一个")


@pytest.mark.parametrize(
    "written",
    [
        "::: code-group\n\n```sh [npm]\nnpm i a\n```\n\n```sh [pnpm]\npnpm i a\n```\n\n:::\n",
        "::: code-tabs\n@tab npm\n```sh\nnpm i a\n```\n@tab pnpm\n```sh\npnpm i a\n```\n:::\n",
        "/// tab | npm\n```sh\nnpm i a\n```\n///\n\n/// tab | pnpm\n```sh\npnpm i a\n```\n///\n",
    ],
)
def test_groups_of_code_are_kept_apart_by_name(written):
    found = {s.path: [b.text for b in s.blocks] for s in read_sections(plain_markdown(written))}
    assert found["npm",] == ["npm i a"]
    assert found["pnpm",] == ["pnpm i a"]


def test_tags_of_hexo_are_listings_and_pictures():
    text = (
        "{% codeblock lang:js 题 %}\nif (a == b) f();\n{% endcodeblock %}\n\n"
        "{% note info %}\n话。\n{% endnote %}\n\n{% asset_img a.png 300 图 1 结构 %}\n"
    )
    assert blocks(text) == [("code", "if (a == b) f();"), ("paragraph", "话。")]
    assert "![图 1 结构](a.png)" in plain_markdown(text)


def test_a_notebook_is_its_text_its_code_and_what_that_printed(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# 数组\n", "\n", "数组是一块内存。"]},
        {
            "cell_type": "code",
            "source": "a = [1]\nprint(a)",
            "outputs": [
                {"output_type": "stream", "text": ["[1]\n"]},
                {"output_type": "display_data", "data": {"image/png": "AA", "text/plain": "<F>"}},
            ],
        },
        {"cell_type": "code", "source": "x", "metadata": {"tags": ["remove-cell"]}},
    ]
    (tmp_path / "b.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}), "utf-8")
    book = read_book(tmp_path / "b.ipynb")
    (section,) = read_sections(book.text)
    assert section.path == ("数组",)
    assert [b.text for b in section.blocks] == ["数组是一块内存。", "a = [1]\nprint(a)", "[1]"]
    assert [(loss.kind, loss.place) for loss in book.losses] == [("figure", "cell 2")]
    (tmp_path / "c.ipynb").write_text('{"a": 1}', "utf-8")
    with pytest.raises(BookError, match="no Jupyter notebook"):
        read_book(tmp_path / "c.ipynb")


@pytest.mark.parametrize("rest", [{"nbformat": 4}, {"nbformat": 4, "metadata": {}}])
def test_an_empty_notebook_is_a_notebook_without_text(tmp_path, rest):
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": [], **rest}), "utf-8")
    with pytest.raises(BookError, match="a.ipynb: no text in it"):
        read_book(tmp_path / "a.ipynb")


def test_included_files_are_read_from_the_book_s_own_folder_only(tmp_path):
    root = tmp_path / "book"
    (root / "src").mkdir(parents=True)
    (root / "book.toml").touch()
    (tmp_path / "secret.rs").write_text("secret", "utf-8")
    code = "// ANCHOR: main\nfn main() {}\n// ANCHOR_END: main\nfn other() {}\n"
    (root / "a.rs").write_text(code, "utf-8")
    (root / "note.md").write_text("片段里的话。\n", "utf-8")
    page = root / "src" / "b.md"
    page.write_text(
        '# 章\n\n```rust\n{{#include ../a.rs:main}}\n```\n\n--8<-- "note.md"\n\n'
        "{* ../a.rs ln[1:2] *}\n\n```rust\n{!../a.rs!}\n```\n"
        "\n```rust\n{{#include ../../secret.rs}}\n```\n",
        "utf-8",
    )
    book = read_book(page)
    found = [b.text for s in read_sections(book.text) for b in s.blocks]
    both = "fn main() {}\nfn other() {}"
    assert found[:4] == ["fn main() {}", "片段里的话。", both, both]
    assert [loss.place for loss in book.losses] == ["../../secret.rs"]


@pytest.mark.parametrize(
    ("mark", "shown"),
    [
        ('--8<-- "s.txt:4"', "d\ne\nf"),
        ('--8<-- "s.txt:2:5"', "b\nc\nd\ne"),
        ('--8<-- "s.txt::2"', "a\nb"),
        ('--8<-- "s.txt:1:2,5"', "a\nb\ne\nf"),
        ('    --8<-- "s.txt:5"', "    e\n    f"),
        (';--8<-- "s.txt"', ';--8<-- "s.txt"'),
        ("{{#include s.txt:4}}", "d"),
        ("{{#include s.txt:5:}}", "e\nf"),
        ("{{#include s.txt::2}}", "a\nb"),
        ("{{#include s.txt:1:2:3}}", "a\nb"),
        ("{{#include s.txt:1:x}}", "{{#include s.txt:1:x}}"),
    ],
)
def test_lines_of_an_included_file_are_those_that_its_book_shows(tmp_path, mark, shown):
    (tmp_path / "s.txt").write_text("a\nb\nc\nd\ne\nf\n", "utf-8")
    assert with_includes(f"前\n\n{mark}\n", tmp_path / "p.md") == f"前\n\n{shown}\n"


def test_an_escaped_mark_is_nothing_that_was_not_read(tmp_path):
    (tmp_path / "p.md").write_text('# 章\n\n正文。\n\n```md\n;--8<-- "s.md"\n```\n', "utf-8")
    assert read_book(tmp_path / "p.md").losses == ()


def test_files_of_other_kinds_are_named_with_what_to_do(tmp_path):
    (tmp_path / "a.md").write_text("# 章\n\n正文。\n", "utf-8")
    (tmp_path / "第 1 章.chm").touch()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "b.chm").touch()
    (losses,) = unread_files([tmp_path]).values()
    assert [loss.place for loss in losses] == ["第 1 章.chm"]
    assert 'ebook-convert "第 1 章.chm" book.epub' in losses[0].why
    with pytest.raises(BookError, match="soffice --headless --convert-to docx a.doc"):
        (tmp_path / "a.doc").write_bytes(b"x")
        read_book(tmp_path / "a.doc")


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("用 `<div>` 和 `<p>` 标签，<b>粗</b>体。", "用 <div> 和 <p> 标签，粗体。"),
        ("写作 \\<table> 与 `\\<p>`。", "写作 <table> 与 \\<p>。"),
        ("参数 `**kwargs`、`**options` 和 `*args`。", "参数 **kwargs、**options 和 *args。"),
        ("```\n\\<p>\n```", "\\<p>"),
        ("## `<p>` 标签\n\n正文。", "正文。"),
    ],
)
def test_tags_that_are_shown_are_words(written, shown):
    (section,) = read_sections(plain_markdown(written))
    assert [b.text for b in section.blocks] == [shown]
    assert section.path in ((), ("<p> 标签",))


def test_tags_that_a_page_shows_are_words(tmp_path):
    body = "<h1>标签</h1><p>用 &lt;p&gt; 和 <code>&lt;div&gt;</code>，a &lt; b。</p>"
    (tmp_path / "b.html").write_text(f"<html><body>{body}</body></html>", "utf-8")
    (section,) = read_sections(read_book(tmp_path / "b.html").text)
    assert section.blocks[0].text == "用 <p> 和 <div>，a < b。"
