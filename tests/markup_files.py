"""Books of several files, for the tests of what reads them."""

from data.sections import read_sections


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
