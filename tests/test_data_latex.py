"""Books in LaTeX, with their parts and commands, as pandoc reads them for us."""

import re

import pytest

from data.books import read_book
from data.cache import Cache
from data.records import CODE, TABLE
from data.sections import read_sections
from tests.markup_files import MAIN, PART, blocks, write

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
        r"\begin{tabular}{c>{\raggedright\arraybackslash}p{3cm}} 甲 & 乙 \\ 丙 & 丁 \end{tabular}",
        r"\begin{tabular}{@{}S[table-format=1.2]L{2cm}@{}} 甲 & 乙 \\ 丙 & 丁 \end{tabular}",
        r"\begin{tabularx}{9cm}{|*{2}{Y|}} 甲 & 乙 \\ \cmidrule(lr){1-2} 丙 & 丁 \end{tabularx}",
        r"\begin{tabular}{ll} \multirow{1}*{甲} & 乙 \\ 丙 & 丁 \end{tabular}",
        r"\begin{longtable}{lY} 甲 & 乙 \\ \endfirsthead 续表 & \\ 甲 & 乙 \\ \endhead 转下页 & \\"
        r"\endfoot \endlastfoot 丙 & 丁 \end{longtable}",
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
        (r"\begin{algorithm}\KwIn{输入的数}\While{条件还成立的时候}{\eIf{头一个条件成立}{做这一步\;}"
         r"{做另外一步\;}}\end{algorithm}", "条件还成立的时候"),
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


@pytest.mark.parametrize("given", ["", "[zh]", "{}"])
def test_an_abstract_is_a_section_of_the_book(tmp_path, given):
    source = f"""\\documentclass{{ctexart}}\\begin{{document}}
\\begin{{abstract}}{given}
线程块怎样编号，本文说明。
\\end{{abstract}}
\\begin{{abstract}}[en]
How blocks are numbered.
\\end{{abstract}}
\\section{{线程块}}
线程块是一组线程。
\\end{{document}}"""
    write(tmp_path, a_dot_tex=source)
    book = read_book(tmp_path / "a.tex")
    said = {s.path: s.blocks[0].text for s in read_sections(book.text)}
    assert said == {
        ("摘要",): "线程块怎样编号，本文说明。",
        ("Abstract",): "How blocks are numbered.",
        ("线程块",): "线程块是一组线程。",
    }
    assert not book.losses


def test_each_picture_beside_another_keeps_its_caption(tmp_path):
    half = r"\begin{minipage}[t]{0.5\textwidth}\includegraphics{%s.png}\caption{%s}\end{minipage}%%"
    two = half % ("a", "第一幅图") + "\n" + half % ("b", "第二幅图")
    both = r"\begin{figure}\includegraphics{c.png}\bicaption{内热源}{Heat source}\end{figure}"
    pictures = f"\\begin{{figure}}{two}\n\\end{{figure}}\n{both}"
    source = f"\\section{{章}}\n前面的话。\n{pictures}\n后面的话。\n"
    write(tmp_path, a_dot_tex=source)
    found = read_sections(read_book(tmp_path / "a.tex").text)
    assert [(f.image, f.caption) for section in found for f in section.figures] == [
        ("a.png", "第一幅图"),
        ("b.png", "第二幅图"),
        ("c.png", "内热源 Heat source"),
    ]


def test_a_part_that_is_not_there_is_named(latex):
    assert [loss.place for loss in latex.losses] == ["missing-part"]


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


def test_a_cached_latex_book_is_read_again_when_a_part_changes(tmp_path):
    cache = Cache(tmp_path / "cache")
    write(tmp_path, main_dot_tex=MAIN, parts__one_dot_tex="头一回写的话。")
    assert "头一回写的话。" in read_book(tmp_path / "main.tex", cache).text
    write(tmp_path, parts__one_dot_tex="第二回写的话。")
    assert "第二回写的话。" in read_book(tmp_path / "main.tex", cache).text


def test_signs_that_begin_something_in_markdown_stay_signs(tmp_path):
    write(
        tmp_path,
        a_dot_tex="\\section{章}\n\n\\# 不是标题\n\n1. 不是列表\n\na[i](x) 与 \\&lt; 与 x\\_y\n",
    )
    said = [block.text for block in blocks(read_book(tmp_path / "a.tex"))]
    assert said == ["# 不是标题", "1. 不是列表", "a[i](x) 与 &lt; 与 x_y"]
