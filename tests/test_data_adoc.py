"""Books in AsciiDoc: what takes pandoc's memory, titles in two lines, long books in pieces."""

import pytest

from data.books import read_book
from data.sections import read_sections
from tests.markup_files import write

LONG_ADOC = """= 书
:dev: 设备

[[threads]]
== 线程

线程在{dev}上运行。

[source,text]
----
== 不是标题
----

=== 线程束

三十二个线程一起走，见<<memory>>。

[[memory]]
== 内存

每块有自己的共享内存。

== 流

流里的操作按顺序执行。
"""


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("说明：\n```\nint a;\n\nint b;\n```", "说明：\n\n    int a;\n\n    int b;"),
        ("说明：\n```\n\n```", "说明："),
        ("先看。\n\n[source,bash]\n```\n```\n....\n\n....", "先看。"),
        ("- 项\n+\n----\nint x;\n----", "- 项\n\n      int x;"),
        ("----\nint x;\n----", "    int x;"),
    ],
)
def test_listings_that_take_pandocs_memory_are_read(tmp_path, written, shown):
    write(tmp_path, a_dot_adoc=f"= 书\n\n== 节\n\n{written}\n\n后面的话。\n")
    assert f"## 节\n\n{shown}\n\n后面的话。" in read_book(tmp_path / "a.adoc").text


def test_titles_of_asciidoc_in_two_lines_are_titles(tmp_path):
    body = "线程\n----\n\n线程是最小的单位。\n\nGPU 内存\n~~~~~~~~\n\n内存分很多级。\n"
    write(tmp_path, a_dot_adoc=f"= 书\n\n{body}\n代码：\n\n----\nint x;\n----\n")
    found = read_book(tmp_path / "a.adoc").text
    assert "## 线程\n\n线程是最小的单位。\n\n### GPU 内存\n\n内存分很多级。" in found
    assert "    int x;" in found


def test_only_titles_are_shifted(tmp_path):
    body = "线程\n----\n\n----\n== x\n----\n\n```\n= y\n```\n\n=== 线程束\n\n话。\n"
    write(tmp_path, a_dot_adoc=f"= 书\n\ninclude::b.adoc[leveloffset=+1]\n\n{body}")
    write(tmp_path, b_dot_adoc="= 附\n\n....\n== z\n....\n")
    found = read_book(tmp_path / "a.adoc").text
    assert "    == x\n\n    = y\n\n### 线程束" in found and "## 附\n\n    == z" in found


def test_a_long_adoc_book_read_in_pieces_reads_the_same(tmp_path, monkeypatch):
    from data.markup import reader

    (tmp_path / "b.adoc").write_text(LONG_ADOC, encoding="utf-8")
    whole = read_book(tmp_path / "b.adoc")
    calls = []
    read_tree = reader.read_tree
    monkeypatch.setattr(reader, "PIECE", 40)
    monkeypatch.setattr(reader, "read_tree", lambda *a: calls.append(a) or read_tree(*a))
    assert read_book(tmp_path / "b.adoc") == whole
    assert len(calls) > 2 and not whole.losses


def test_one_slow_section_of_a_long_adoc_book_costs_itself_and_is_named(tmp_path, monkeypatch):
    from data.markup import reader
    from data.markup.pandoc import SlowError

    read_tree = reader.read_tree

    def slow(source, *rest):
        if "共享内存" in source.decode():
            raise SlowError("too slow")
        return read_tree(source, *rest)

    (tmp_path / "b.adoc").write_text(LONG_ADOC, encoding="utf-8")
    monkeypatch.setattr(reader, "PIECE", 40)
    monkeypatch.setattr(reader, "read_tree", slow)
    book = read_book(tmp_path / "b.adoc")
    titles = [s.path[-1] for s in read_sections(book.text) if s.path]
    assert {"线程", "线程束", "流"} <= set(titles) and "每块有自己的共享内存" in book.text
    (loss,) = book.losses
    assert "内存" in loss.place and "too slow" in loss.why
