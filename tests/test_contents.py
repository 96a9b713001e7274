"""Sections called contents or index: lists of entries go, what is said in them stays."""

import pytest

from data.sections import read_sections


@pytest.mark.parametrize(
    ("text", "is_list"),
    [
        ("# 索引\n\n索引是帮助数据库快速找到行的数据结构，InnoDB 用 B+ 树来存放它。\n", False),
        (
            "# 目录\n\n本书按硬件、语言、优化三部分展开，读者可以从任何一部分读起，互不依赖。\n",
            False,
        ),
        ("# 索引\n\n- warp，12\n- 线程块，7\n\nCUDA 9，流 11\n", True),
        (
            "# 目录\n\n第一章 线程 ……… 3\n\n第二章 怎样分配共享内存才不会有冲突、又不浪费\n",
            True,
        ),
    ],
)
def test_a_section_called_index_or_contents_is_one_only_without_prose(text, is_list):
    assert [section.is_apparatus for section in read_sections(text)] == [is_list]


def test_prose_among_the_entries_of_a_contents_section_stays():
    text = (
        "# 目录\n\n- [第一章 线程](#a)\n- [内存](#b)\n\n第二章 共享内存 12\n\n1.2 线程束\n\n"
        "本书讲的是显卡编程。\n\n读者要会一点 C 语言：\n\n- 指针\n- [手册](https://a.cn)第 2 版\n"
    )
    (section,) = read_sections(text)
    kept = ["本书讲的是显卡编程。", "读者要会一点 C 语言：", "指针", "手册第 2 版"]
    assert [block.text for block in section.blocks] == kept
    said = ["Linux 的目录是一种特殊的文件，保存文件名和 inode 号。", "一部分目录只有 root 能进"]
    (section,) = read_sections(
        f"# 目录\n\n{said[0]}\n\n- {said[1]}\n- 每个目录项的大小是 16\n- 手册\n"
    )
    assert [block.text for block in section.blocks][:2] == said and len(section.blocks) == 4
