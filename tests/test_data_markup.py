"""Books in LaTeX, reStructuredText, AsciiDoc and org, as pandoc reads them for us."""

import re
import zipfile
from pathlib import Path

import pytest

from data.books import BookError, find_books, read_book, unread_files
from data.cache import Cache
from data.context import BuildContext
from data.markup.missing import missing
from data.reading import chunk_batches
from data.records import CODE, TABLE
from data.sections import read_sections
from data.settings import BuildSettings
from data.sources.rules import RulesSource


def write(folder, **files):
    """Files by name: "parts__one_dot_tex" is parts/one.tex."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def blocks(book):
    return [block for section in read_sections(book.text) for block in section.blocks]


MAIN = r"""\documentclass{ctexbook}
\usepackage{mykit}
\newcommand{\R}{\mathbb{R}}
\begin{document}
\title{不算正文}
\input{parts/one}
% \input{gone}
\include{missing-part}
\end{document}
\chapter{不该出现}
"""
PART = r"""\chapter{线程}\label[chapter]{ch:a}
使用 \cmd{launch} 与 $x\in\R$，\keyterm{线程束}共 32 个线程，见第~\ref{ch:a}~章\cite{knuth}。% 旁白
\foreignnote{没有定义的命令里的话}和\vspace{1cm}后面的话。\index{不显示的条目}
\begin{warnbox}{盒子的题}
盒子里的话。
\end{warnbox}
\begin{cppcode}
int a[2] = {1, 2}; % 不是注释
\begin{oops}
\end{cppcode}
\begin{lstlisting}[language=Python, caption={求和的程序}]
def add(a,
        b):
    return a + b
\end{lstlisting}
\begin{table}\caption{各级存储}\begin{tabular}{|l|c|}\hline
名 & 延迟 \\ \hline
\multirow{2}{*}{片上} & $|x|$ \\ & 少 \\ \hline\end{tabular}\end{table}
\begin{wrapfigure}{R}{3cm}\includegraphics[width=3cm]{a/b.png}\caption{访存的图}\end{wrapfigure}
\begin{equation}\label{eq:s} s = a + b \end{equation}
\iffalse 关掉的话。\fi
\begin{tikzpicture}\draw (0,0) node {图里的字};\end{tikzpicture}
"""
STYLE = r"""\ProvidesPackage{mykit}
\newcommand{\cmd}[1]{\texttt{\textbackslash #1}}
\NewDocumentCommand{\keyterm}{O{red} m}{\textbf{#2}}
\def\internal@thing#1{\expandafter\csname x#1\endcsname}
\lstnewenvironment{cppcode}{\lstset{language=C++}}{}
\newtcolorbox{warnbox}[1]{title=#1}
"""


@pytest.fixture
def latex(tmp_path):
    (tmp_path / "mykit.sty").write_text(STYLE, "utf-8")
    write(tmp_path, main_dot_tex=MAIN, parts__one_dot_tex=PART)
    return read_book(tmp_path / "main.tex")


def test_a_latex_book_is_read_with_its_parts_and_own_commands(latex):
    (section,) = [s for s in read_sections(latex.text) if s.blocks]
    assert section.path == ("线程",)
    said = "\n".join(block.text for block in section.blocks if block.kind != CODE)
    assert "使用 \\launch 与 $x\\in\\mathbb{R}$，线程束共 32 个线程，见第 “线程” 章。" in said
    assert "没有定义的命令里的话和后面的话。" in said
    assert "盒子的题" in said and "盒子里的话。" in said and "$$s = a + b$$" in said
    for unseen in ("旁白", "不显示", "关掉", "不该出现", "不算正文", "1cm", "eq:s"):
        assert unseen not in latex.text


def test_code_of_a_latex_book_is_kept_as_it_is(latex):
    code = [(b.language, b.text) for b in blocks(latex) if b.kind == CODE]
    assert code == [
        ("c++", "int a[2] = {1, 2}; % 不是注释\n\\begin{oops}"),
        ("python", "def add(a,\n        b):\n    return a + b"),
    ]
    assert "求和的程序" in latex.text


def test_tables_and_figures_of_a_latex_book_keep_captions_and_rows(latex):
    (table,) = [block.text for block in blocks(latex) if block.kind == TABLE]
    assert [line.count("|") for line in table.split("\n")] == [3] * 4
    assert table.count("片上") == 2 and "各级存储" in latex.text
    figures = [f for s in read_sections(latex.text) for f in s.figures]
    assert [(f.image, f.caption) for f in figures] == [("a/b.png", "访存的图")]


@pytest.mark.parametrize(
    "table",
    [
        r"\begin{tabu}{ll} 甲 & 乙 \\ 丙 & 丁 \end{tabu}",
        r"\begin{tabu} to \textwidth {XX} 甲 & 乙 \\ 丙 & 丁 \end{tabu}",
        r"\begin{tabulary}{\textwidth}{LL} 甲 & 乙 \\ 丙 & 丁 \end{tabulary}",
        r"\begin{xltabular}{\linewidth}{lX} 甲 & 乙 \\ 丙 & 丁 \end{xltabular}",
        r"\begin{NiceTabular}{cc} 甲 & 乙 \\ 丙 & 丁 \end{NiceTabular}",
        r"\begin{longtable}{ll}\caption{题}\\ 甲 & 乙 \\ 丙 & 丁 \end{longtable}",
        r"\begin{table*}\small\begin{tabular*}{9cm}{ll}甲 & 乙\\丙 & 丁\end{tabular*}\end{table*}",
        r"\begin{tblr}{colspec={lX}, hlines} 甲 & 乙 \\ 丙 & 丁 \end{tblr}",
    ],
)
def test_tables_of_many_packages_are_tables(tmp_path, table):
    write(tmp_path, a_dot_tex=f"\\section{{章}}\n前面的话。\n\n{table}\n\n后面的话。\n")
    found = [block.text for block in blocks(read_book(tmp_path / "a.tex")) if block.kind == TABLE]
    assert [re.sub(r"[\s|-]", "", text) for text in found] == ["甲乙丙丁"]


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (r"\begin{theorem}[勾股]\label{t} 直角三角形的话。\end{theorem}", "定理"),
        (r"\begin{definition}{内积}{def:a} 定义里的话。\end{definition}", "内积"),
        (r"\begin{tcolorbox}[colback=red!5, title={盒子 $a$ 题}] 盒里的话。\end{tcolorbox}", "题"),
        (r"\begin{frame}{帧的题} 帧里的话。\end{frame}", "帧的题"),
        (r"\begin{proof} 证明里的话。\end{proof}", "证明"),
        (r"\begin{algorithm}\caption{算法题}\begin{algorithmic}[1]\State 做第一步 \If{成立} "
         r"\State 做第二步 \EndIf\end{algorithmic}\end{algorithm}", "做第二步"),
        (r"\begin{figure}\begin{tikzpicture}\draw (0,0);\end{tikzpicture}\caption{画的题}"
         r"\end{figure}", "画的题"),
        (r"\SI{5}{\metre} 与 \ce{H2O} 与 \href{http://a.b}{链接字} 与 \enquote{引文}", "引文"),
        (r"{\kaishu 楷体的话}，\textcolor{red}{红}，\uline{划线}，\noindent{开头的话}", "开头的话"),
        (r"\begin{minipage}{5cm}并排的话\end{minipage}\begin{multicols}{2}分栏的话"
         r"\end{multicols}", "分栏的话"),
        (r"\ifthenelse{\boolean{x}}{一支的话}{另一支的话}", "另一支的话"),
        (r"$a \iff b$ 当且仅当的话", r"\iff"),
    ],
)  # fmt: skip
def test_constructs_of_books_keep_their_words(tmp_path, source, shown):
    write(tmp_path, a_dot_tex=f"\\section{{章}}\n前面的一段话。\n\n{source}\n\n后面的一段话。\n")
    book = read_book(tmp_path / "a.tex")
    assert shown in book.text and "后面的一段话。" in book.text
    assert not [loss for loss in book.losses if loss.kind == "text"]


def test_a_part_that_is_not_there_is_named(latex):
    assert [loss.place for loss in latex.losses] == ["missing-part"]


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


def test_a_broken_paragraph_costs_itself_only(tmp_path):
    text = "\n\n".join(
        [
            r"\section{甲}",
            "前面的一段话。",
            r"坏的一段 \begin{itemize} 没有结束的列表。",
            r"\section{乙}",
            "后面的一段话。",
        ]
    )
    write(tmp_path, a_dot_tex=text)
    book = read_book(tmp_path / "a.tex")
    assert [s.path for s in read_sections(book.text)] == [("甲",), ("乙",)]
    assert all(part in book.text for part in ("前面的一段话。", "坏的一段", "后面的一段话。"))
    assert any("坏的一段" in loss.place for loss in book.losses)


def test_nothing_outside_the_book_is_put_in(tmp_path):
    (tmp_path / "secret.tex").write_text("别处的秘密文字。", "utf-8")
    (tmp_path / "book" / ".git").mkdir(parents=True)
    write(tmp_path, book__a_dot_tex="书里自己的话。\\input{../secret}\n\\input{/etc/hostname}\n")
    book = read_book(tmp_path / "book" / "a.tex")
    assert "秘密" not in book.text and len(book.losses) == 2


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


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (r"见\href{https://a.org/%E7%BA%BF}{文字}，后面。", "见文字，后面。"),
        (r"\textbf{见 \url{http://a/%20b}} 后面。", "见 http://a/%20b 后面。"),
        (r"\path{a/%b} 后面。", "a/%b 后面。"),
        (r"码 \lstinline{a % b} 后面。", "码 a % b 后面。"),
        (r"码 \lstinline[language=C]{a {b} % c} 后面。", "码 a {b} % c 后面。"),
        (r"码 \mintinline{c++}{a % b} 后面。", "码 a % b 后面。"),
        ("前面。% 见 \\url{http://a/%20b}\n后面。", "前面。后面。"),
    ],
)
def test_a_percent_sign_in_a_url_or_inline_code_is_no_comment(tmp_path, written, shown):
    write(tmp_path, a_dot_tex=f"\\section{{甲}}\n{written}\n\n下一段。\n")
    book = read_book(tmp_path / "a.tex")
    assert [block.text for block in blocks(book)] == [shown, "下一段。"]
    assert not book.losses


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


def test_a_cached_latex_book_is_read_again_when_a_part_changes(tmp_path):
    cache = Cache(tmp_path / "cache")
    write(tmp_path, main_dot_tex=MAIN, parts__one_dot_tex="头一回写的话。")
    assert "头一回写的话。" in read_book(tmp_path / "main.tex", cache).text
    write(tmp_path, parts__one_dot_tex="第二回写的话。")
    assert "第二回写的话。" in read_book(tmp_path / "main.tex", cache).text


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

.. mermaid::

   graph TD

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
    assert "next" not in book.text and "注释" not in book.text
    assert [loss.kind for loss in book.losses] == ["figure"]


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


def test_an_org_file_keeps_title_code_and_formula(tmp_path):
    text = "#+TITLE: 笔记\n* 线程\n公式 $a_b$ 与 =code= 。\n#+begin_src c\nint x;\n#+end_src\n"
    write(tmp_path, a_dot_org=text)
    book = read_book(tmp_path / "a.org")
    (section,) = [s for s in read_sections(book.text) if s.blocks]
    assert section.path == ("笔记", "线程")
    assert [b.text for b in section.blocks] == ["公式 $a_b$ 与 code。", "int x;"]


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


def test_signs_that_begin_something_in_markdown_stay_signs(tmp_path):
    write(
        tmp_path,
        a_dot_tex="\\section{章}\n\n\\# 不是标题\n\n1. 不是列表\n\na[i](x) 与 \\&lt; 与 x\\_y\n",
    )
    said = [block.text for block in blocks(read_book(tmp_path / "a.tex"))]
    assert said == ["# 不是标题", "1. 不是列表", "a[i](x) 与 &lt; 与 x_y"]


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
