"""What a book is about, and questions that name it."""

from pathlib import Path

import pytest

from data.books import read_book
from data.cache import Cache
from data.chunks import cut_chunks
from data.context import BuildContext
from data.making import make_pairs
from data.reading import chunk_batches
from data.sections import read_sections
from data.settings import BuildSettings
from data.sources.rules import RulesSettings, RulesSource
from data.sources.rules.scope import in_scope
from data.topics import Topics

WIDE = RulesSource(RulesSettings(rules="wide"))
PLAIN = (
    "# 闸门\n\n闸门是一种按编号开合的水工装置，装在渠道的两侧，"
    "由值班的人按水位的高低决定什么时候打开。\n"
)


def written(folder: Path, **files: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, text in files.items():
        path = folder / f"{name}.md"
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def topics_of(files: list[Path], file: Path) -> tuple[str, ...]:
    """Of the first section of a file that has text."""
    text = read_book(file).text
    paths = [section.path for section in read_sections(text) if section.blocks]
    return Topics(files).of(file, text, paths)(paths[0], text)


def questions(files: list[Path], cache: Path, **settings: str) -> set[str]:
    source = RulesSource(RulesSettings(**{"rules": "wide", **settings}))
    context = BuildContext(source, BuildSettings(), Cache(cache))
    batches = list(chunk_batches(files, context))
    made = [pairs for chunks in batches for _, pairs in make_pairs(chunks, source, context.cache)]
    return {pair.question for pairs in made for pair in pairs}


@pytest.mark.parametrize(
    ("name", "title", "topic"),
    [
        ("书", "Gatelang 编程指南", "Gatelang"),
        ("gatelang_tutorial", "第1章 入门", "Gatelang"),  # the file's name, as the text writes it
        ("书", "动手学水利工程", "水利工程"),
        ("书", "学习笔记", ""),
    ],
)
def test_the_title_names_the_topic_where_the_text_speaks_of_it(
    tmp_path: Path, name: str, title: str, topic: str
):
    said = f"{topic or '闸门'}讲的是怎样开合闸门。" * 3
    files = written(tmp_path, **{name: f"# {title}\n\n{said}\n"})
    assert topics_of(files, files[0]) == ((topic,) if topic else ())


def test_a_title_that_the_text_never_mentions_is_no_topic(tmp_path: Path):
    files = written(tmp_path, 书="# Gatelang 编程指南\n\n这里只讲怎样开合闸门，别的一概不讲。\n")
    assert topics_of(files, files[0]) == ()


def test_a_chapter_on_something_else_is_of_that(tmp_path: Path):
    """A folder on Gatelang whose one chapter speaks of Pumpctl, which several headings name."""
    about = "Gatelang 会开合闸门。Gatelang 很小。"
    pump = "# Pumpctl 入门\n\n" + "Pumpctl 会抽水。" * 6
    more = "\n\n## Pumpctl 安装\n\n一装就好。\n\n## Pumpctl 升级\n\n也很快。"
    files = written(tmp_path / "gatelang-guide", a=about, b=about, c=about, pump=pump + more)
    assert topics_of(files, files[0]) == ("Gatelang",)
    assert topics_of(files, files[-1])[0] == "Pumpctl"


def test_a_part_of_a_folder_that_never_mentions_the_topic_has_none(tmp_path: Path):
    """Half of the files are on something else: their words are not the topic's."""
    about = "# 第一篇\n\nGatelang 会开合闸门。Gatelang 很小。用 Gatelang 不难。"
    other = "# 第二篇\n\n这里只讲水泵。"
    files = written(tmp_path / "gatelang-guide", a=about, b=other)
    assert topics_of(files, files[0]) == ("Gatelang",)
    assert topics_of(files, files[1]) == ()


def test_a_bare_word_is_asked_about_with_its_topic_and_not_at_all_without(tmp_path: Path):
    told = "# Gatelang\n\nGatelang 管闸门。Gatelang 很小。用 Gatelang 不难。\n\n#" + PLAIN
    named = written(tmp_path / "one", book=told)
    assert questions(named, tmp_path / "c1") == {"请简要介绍 Gatelang 中的闸门。"}
    alone = written(tmp_path / "two", book=PLAIN)
    assert questions(alone, tmp_path / "c2") == set()
    assert questions(alone, tmp_path / "c2", topic="水利工程") == {"请简要介绍水利工程中的闸门。"}


def test_a_topic_that_a_chunk_does_not_mention_passes_the_filters(tmp_path: Path):
    text = "# Gatelang\n\n" + "Gatelang 管闸门，用起来不难。" * 20 + "\n\n#" + PLAIN
    book = written(tmp_path, book=text)
    context = BuildContext(WIDE, BuildSettings(), Cache(tmp_path / "cache"))
    (chunks,) = chunk_batches(book, context)
    kept = [
        pair.question
        for chunk, pairs in WIDE.pairs(chunks)
        for pair in context.filters.keep(pairs, chunk.grounds)
    ]
    assert "请简要介绍 Gatelang 中的闸门。" in kept


def test_a_new_title_makes_new_questions_in_spite_of_the_cache(tmp_path: Path):
    text = PLAIN + "Gatelang 与 Pumpctl 都用它。" + "Gatelang。Pumpctl。" * 3
    first = written(tmp_path / "one", gatelang=text)
    second = written(tmp_path / "two", pumpctl=text)
    assert questions(first, tmp_path / "cache") == {"请简要介绍 Gatelang 中的闸门。"}
    assert questions(second, tmp_path / "cache") == {"请简要介绍 Pumpctl 中的闸门。"}


ANSWERS = {
    "TCP": "TCP（Transmission Control Protocol）是一种传输协议。",
    "Gatedb": "Gatedb 是一款开源的数据库，存放闸门的状态。",
    "torch.cuda.synchronize": "torch.cuda.synchronize 等待所有流。",
}


@pytest.mark.parametrize(
    ("question", "topics", "asked"),
    [
        ("什么是 class？", ("HTML",), "什么是 HTML 中的 class？"),
        ("什么是 class？", (), ""),
        ("请简要介绍节点。", ("Kubernetes",), "请简要介绍 Kubernetes 中的节点。"),
        ("请简要介绍节点。", ("图论算法",), "请简要介绍图论算法中的节点。"),
        ("wait()的作用是什么？", ("Java",), "Java 中 wait()的作用是什么？"),
        ("链接和引用有什么区别？", ("C++",), "C++ 中链接和引用有什么区别？"),
        ("什么是线程束？", ("CUDA",), "什么是线程束？"),  # a term of the field
        ("什么是 CUDA 流？", ("CUDA",), "什么是 CUDA 流？"),  # says it already
        ("什么是卷积神经网络？", (), "什么是卷积神经网络？"),
        ("什么是 TCP？", ("Linux",), "什么是 TCP？"),  # its full name stands beside it
        ("什么是 Gatedb？", ("Linux",), "什么是 Gatedb？"),  # a product
        ("torch.cuda.synchronize的作用是什么？", (), "torch.cuda.synchronize的作用是什么？"),
        ("什么是 ArrayGate？", ("Array",), "什么是 Array 中的 ArrayGate？"),
        ("什么是 Service？", ("Service", "Kubernetes"), "什么是 Kubernetes 中的 Service？"),
        ("什么是 Kubernetes？", ("Service", "Kubernetes"), "什么是 Kubernetes？"),
        ("每个节点包含多少个盘？", ("Ceph",), "Ceph 中每个节点包含多少个盘？"),
    ],
)
def test_questions_name_their_field_where_their_word_does_not(
    question: str, topics: tuple[str, ...], asked: str
):
    answer = next((a for name, a in ANSWERS.items() if name in question), "它在书里解释过。")
    assert in_scope(question, answer, topics) == asked


def test_topics_are_no_part_of_a_chunks_identity(tmp_path: Path):
    from dataclasses import replace

    chunk = next(iter(cut_chunks("b.md", read_sections(PLAIN))))
    about = replace(chunk, topics=("水利工程",))
    assert (chunk.id, chunk.content_key) == (about.id, about.content_key)
