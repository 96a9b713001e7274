"""Books in reStructuredText, AsciiDoc, org and others, and folders of marked-up books."""

import zipfile
from pathlib import Path

import pytest

from data.books import BookError, find_books, read_book, unread_files
from data.cache import Cache
from data.context import BuildContext
from data.markup.adoc import whole_blocks
from data.markup.missing import missing
from data.reading import chunk_batches
from data.records import CODE
from data.sections import read_sections
from data.settings import BuildSettings
from data.sources.rules import RulesSource
from tests.markup_files import MAIN, PART, blocks, write


def test_a_file_that_puts_in_itself_is_read_once(tmp_path):
    write(
        tmp_path,
        a_dot_tex="\\section{章}\n自己的一段话。\\input{b}",
        b_dot_tex="\\input{a}\n另一段话。",
    )
    assert read_book(tmp_path / "a.tex").text.count("自己的一段话") == 1
    write(tmp_path, c_dot_rst="章节\n====\n\n一段话。\n\n.. include:: c.rst\n")
    assert "一段话。" in read_book(tmp_path / "c.rst").text
    write(tmp_path, d_dot_adoc="= 书名\n\n一段话。\n\ninclude::d.adoc[]\n")
    assert "一段话。" in read_book(tmp_path / "d.adoc").text


def test_a_folder_gives_whole_books_not_their_parts(tmp_path):
    write(
        tmp_path,
        main_dot_tex=MAIN,
        parts__one_dot_tex=PART,
        draw_dot_tex=r"\documentclass{standalone}\begin{document}\tikz{}\end{document}",
        book_dot_adoc="= 书\n\ninclude::ch1.adoc[]\n",
        ch1_dot_adoc="== 章\n\n话。\n",
        page_dot_rst="章\n==\n\n.. include:: shared.rst\n",
        shared_dot_rst="共用的话。\n",
        key_dot_asc="-----BEGIN PGP SIGNATURE-----\n",
        main_dot_pdf="printed",
        fig__b_dot_pdf="a picture",
        other_dot_pdf="another book",
    )
    found = [str(path.relative_to(tmp_path)) for path in find_books([tmp_path])]
    assert found == ["book.adoc", "main.tex", "other.pdf", "page.rst"]


def test_files_of_a_folder_that_are_left_out_are_named_with_the_reason(tmp_path):
    drawn = "\\documentclass{standalone}\\begin{document}\\tikz{}\\end{document}"
    write(
        tmp_path,
        main_dot_tex=MAIN.replace("\\input{", "\\includegraphics{fig/used}\\input{"),
        parts__one_dot_tex=PART,
        draw_dot_tex=drawn,
        fig__used_dot_tex=drawn,
        main_dot_pdf="printed",
        fig__used_dot_pdf="a picture that the book puts in",
        figures__notes_dot_pdf="another book",
        short_dot_tex="没有标题的话。",
        bare_dot_typ="没有标题的话。",
        kit_dot_typ="#let a = 1",
        book_dot_typ='#import "kit.typ": a\n= 章\n\n话。\n',
        key_dot_asc="-----BEGIN PGP SIGNATURE-----\n",
    )
    found = [str(path.relative_to(tmp_path)) for path in find_books([tmp_path])]
    assert found == ["book.typ", "main.tex"]
    (losses,) = unread_files([tmp_path]).values()
    reasons = {loss.place: loss.why for loss in losses}
    assert [*reasons] == [
        *("bare.typ", "draw.tex", "figures/notes.pdf", "main.pdf", "short.tex"),
    ]
    assert "no heading" in reasons["bare.typ"] and "name the file" in reasons["short.tex"]
    assert "main.tex" in reasons["main.pdf"] and "picture" in reasons["figures/notes.pdf"]


def test_a_page_of_sphinx_alone_takes_titles_from_its_own_folder_only(tmp_path, monkeypatch):
    write(
        tmp_path,
        stranger_dot_rst=".. _far:\n\n外面的题\n========\n",
        book__a_dot_rst="章\n==\n\n见 :doc:`../stranger`、:ref:`far`、:doc:`near`"
        "、:doc:`sub/deep`。\n",
        book__sub__deep_dot_rst="深处的题\n========\n",
        book__near_dot_rst="近处的题\n========\n",
        book__closed_dot_rst="关着的题\n========\n",
    )
    read = Path.read_bytes

    def closed(path):
        if path.name == "closed.rst":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", closed)
    book = read_book(tmp_path / "book" / "a.rst")
    assert "近处的题" in book.text and "深处的题" in book.text
    assert "外面的题" not in book.text
    assert [loss.place for loss in book.losses] == ["closed.rst"]


def test_pypandoc_without_pandoc_is_said_with_the_command(tmp_path, monkeypatch):
    def gone():
        raise OSError("No pandoc was found")

    monkeypatch.setattr("pypandoc.get_pandoc_path", gone)
    write(tmp_path, a_dot_rst="章\n==\n\n话。\n", b_dot_md="# 章\n\n进程是程序的一次执行。\n")
    with pytest.raises(BookError, match="pip install --force-reinstall .*pypandoc-binary=="):
        read_book(tmp_path / "a.rst")
    settings = BuildSettings(keep_going=True)
    context = BuildContext(RulesSource(), settings, Cache(tmp_path / "cache"))
    list(chunk_batches(find_books([tmp_path]), context))
    assert context.funnel.skipped == ["a.rst"]


RST = """.. _intro:

线程模型
========

见 :doc:`next`、:ref:`memory`、:math:`x^2` 和**粗体**与``code_a``。

.. hint::

   提示的话。

.. code-block:: c
   :caption: 核函数

   int x; // **不动**

.. literalinclude:: a.py
   :lines: 2-3

.. tabs::

   .. tab:: PyTorch

      甲框架的话。

   .. tab:: Paddle

      乙框架的话。

.. list-table:: 两级缓存
   :header-rows: 1

   * - 名
     - 值
   * - 一级
     - 小

.. function:: launch(n)

   启动核函数。

.. meta::
   :description: 搜索引擎看的一句话

.. mermaid::

   graph TD

.. ditaa::

   +-----+ 一级
   | L1  |---->|
   +-----+ 二级

.. toctree::

   next

>>> 1 + 1
2

.. 这是注释里的话
"""


def test_a_page_of_sphinx_is_read_as_its_reader_sees_it(tmp_path):
    write(
        tmp_path,
        a_dot_rst=RST,
        next_dot_rst="内存模型\n========\n\n.. _memory:\n\n共享内存\n--------\n\n话。\n",
        a_dot_py="one = 1\ntwo = 2\nthree = 3\n",
        conf_dot_py="",
    )
    book = read_book(tmp_path / "a.rst")
    found = [s for s in read_sections(book.text) if s.blocks]
    assert found[0].blocks[0].text == "见 “内存模型”、“共享内存”、$x^2$ 和粗体与code_a。"
    tabs = [(s.path[-1], s.blocks[0].text) for s in found if len(s.path) > 1]
    assert tabs == [("PyTorch", "甲框架的话。"), ("Paddle", "乙框架的话。")]
    code = [b.text for b in blocks(book) if b.kind == CODE]
    assert code == ["int x; // **不动**", "two = 2\nthree = 3", ">>> 1 + 1\n2"]
    assert "launch(n)" in book.text and "| 一级 | 小" in book.text and "核函数" in book.text
    assert "next" not in book.text and "注释" not in book.text and "|---->" not in book.text
    assert [(loss.kind, loss.place) for loss in book.losses] == [
        ("figure", "graph TD"),
        ("figure", "一级 L1 二级"),
    ]


def test_a_title_longer_than_the_line_below_it_is_a_title(tmp_path):
    write(
        tmp_path,
        a_dot_rst="""章
==

读-复制-更新（Read Copy Update，RCU）
================

一段话，后面是转换线。

----

又一段话。
""",
    )
    book = read_book(tmp_path / "a.rst")
    found = [(s.path[-1], len(s.blocks)) for s in read_sections(book.text) if s.blocks]
    assert found == [("读-复制-更新（Read Copy Update，RCU）", 2)]


def test_an_asciidoc_book_is_read_with_its_parts(tmp_path):
    write(
        tmp_path,
        b_dot_adoc="= 书名\n:version: 3.2\n\n"
        "include::c.adoc[leveloffset=+1]\n\ninclude::no.adoc[]\n",
        c_dot_adoc="= 头一章\n\n"
        "用 `git add` 加入 {version} 版。\n\n.流程的图\nimage::f.png[]\n\n"
        "[source,c]\n----\nint x; // <1>\n----\n<1> 一个数。\n\n|===\n|名 |值\n\n|甲 |1\n|===\n",
    )
    book = read_book(tmp_path / "b.adoc")
    sections = [s for s in read_sections(book.text) if s.blocks]
    assert sections[0].path == ("书名", "头一章")
    assert sections[0].blocks[0].text == "用 git add 加入 3.2 版。"
    assert sections[0].blocks[0].terms == ("git add",)
    assert [f.caption for f in sections[0].figures] == ["流程的图"]
    assert [b.text for b in blocks(book) if b.kind == CODE] == ["int x;"]
    assert [loss.place for loss in book.losses] == ["no.adoc"]


def test_a_listing_of_asciidoc_without_an_end_or_with_an_odd_one_is_read(tmp_path):
    # pandoc takes all memory for a listing without an end, and gives up a comment at the end.
    whole = "= 书\n\n== 章\n\n话。\n\n[[here]]\n== 节\n\n----\nint x;\n\nint y;\n"
    fenced = whole.replace("----", "``` c") + "```\n\n"
    write(tmp_path, a_dot_adoc=whole, b_dot_adoc=f"{whole}----\n// 注", c_dot_adoc=fenced)
    for name in ("a.adoc", "b.adoc", "c.adoc"):
        book = read_book(tmp_path / name)
        assert [b.text for b in blocks(book)] == ["话。", "int x;\n\nint y;"]
        assert not book.losses
    assert whole_blocks(["----\na", "b\n----", "c"], "\n\n") == ["----\na\n\nb\n----", "c"]


@pytest.mark.parametrize(
    ("block", "drawn"),
    [
        ("+---+    +---+\n| A |--->| B |\n+---+    +---+", True),
        ("+------+\n| 栈   |\n+------+\n| 堆   |\n+------+\n| 代码 |\n+------+", True),
        ("┌───┐\n│ A │\n└─┬─┘\n  │\n  ▼\n┌───┐\n│ B │\n└───┘", True),
        ("mysql> select 1;\n+----+---+\n| id | n |\n+----+---+\n|  1 | 2 |\n+----+---+", False),
        ("+------+\n| name |\n+------+\n| a -> b |\n| c    |\n+------+", False),
        ("+-----+\n| EXPLAIN |\n+-----+\n| -> Limit: 5 |\n|   -> Scan |\n+-----+", False),
        ("a\n├── b\n│   └── c\n└── d", False),
        ("x = a + b\ny -> z | w", False),
    ],
)
def test_a_drawing_of_characters_is_a_figure_and_a_printed_table_is_text(tmp_path, block, drawn):
    inside = "\n".join(f"    {line}" for line in block.split("\n"))
    write(tmp_path, a_dot_rst=f"章\n==\n\n见下图::\n\n{inside}\n\n话。\n")
    book = read_book(tmp_path / "a.rst")
    assert [loss.kind for loss in book.losses] == ["figure"] * drawn
    assert [b.text for b in blocks(book) if b.kind == CODE] == ([] if drawn else [block])


def test_an_org_file_keeps_title_code_and_formula(tmp_path):
    text = "#+TITLE: 笔记\n* 线程\n公式 $a_b$ 与 =code= 。\n#+begin_src c\nint x;\n#+end_src\n"
    write(tmp_path, a_dot_org=text)
    book = read_book(tmp_path / "a.org")
    (section,) = [s for s in read_sections(book.text) if s.blocks]
    assert section.path == ("笔记", "线程")
    assert [b.text for b in section.blocks] == ["公式 $a_b$ 与 code。", "int x;"]


def test_an_org_file_of_comments_is_named(tmp_path):
    code = "#+begin_src sh\n# 代码里的注释\n#+end_src\n"
    write(tmp_path, a_dot_org=f"* 命令\n话。\n{code}" + "# lsmod 列出模块\n" * 6)
    write(tmp_path, b_dot_org=f"* 命令\n话。\n{code}# lsmod 列出模块\n")
    (loss,) = read_book(tmp_path / "a.org").losses
    assert (loss.place, loss.why) == ("lsmod 列出模块", "6 lines with #, comments to org")
    assert not read_book(tmp_path / "b.org").losses


def test_an_odt_file_is_read(tmp_path):
    pytest.importorskip("pypandoc").convert_text(
        "# 章\n\n一段话。\n", "odt", "markdown", outputfile=str(tmp_path / "a.odt")
    )
    assert zipfile.is_zipfile(tmp_path / "a.odt")
    book = read_book(tmp_path / "a.odt")
    assert [(s.path, s.blocks[0].text) for s in read_sections(book.text)] == [(("章",), "一段话。")]


@pytest.mark.parametrize(
    "name", ["a.tex", "a.rst", "a.odt", "a.rtf", "a.fb2", "a.typ", "a.docbook"]
)
def test_rubbish_is_refused_in_one_line_or_read_as_it_stands(tmp_path, name):
    (tmp_path / name).write_bytes("\x01{{{\\begin{x}乱七八糟的字 *`|".encode())
    try:
        assert "乱七八糟的字" in read_book(tmp_path / name).text
    except BookError as error:
        assert name in str(error) and "\n" not in str(error)


def test_runs_of_a_source_that_the_text_lacks_are_named_once():
    found = missing("进程是程序的执行。线程共享地址空间。线程共享地址空间。", "进程是程序的执行。")
    assert [loss.place for loss in found] == ["线程共享地址空间"]


def test_a_page_of_contents_alone_stops_no_build(tmp_path):
    write(
        tmp_path,
        index_dot_rst="书\n==\n\n.. toctree::\n\n   a\n",
        a_dot_rst="章\n==\n\n" + "进程是程序的一次执行，线程共享它的地址空间。" * 9 + "\n",
        empty_dot_tex="\\begin{document}\\end{document}",
    )
    context = BuildContext(RulesSource(), BuildSettings(), Cache(tmp_path / "cache"))
    (chunks,) = chunk_batches(find_books([tmp_path]), context)
    assert {chunk.book for chunk in chunks} == {"a.rst"}
    assert sorted(context.funnel.skipped) == ["empty.tex", "index.rst"]
