"""The index of a book: what is found, that it repeats itself, and what is said of bad input."""

import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

pytest.importorskip("numpy")

from data.cache import Cache  # noqa: E402
from retrieval.__main__ import app  # noqa: E402
from retrieval.build import IndexSettings, book_passages, build_index  # noqa: E402
from retrieval.evaluate import (  # noqa: E402
    by_evidence,
    by_overlap,
    evaluate_methods,
    read_evaluation_set,
    reason,
)
from retrieval.fusion import reciprocal_rank_fusion  # noqa: E402
from retrieval.passages import Passage, read_passages  # noqa: E402
from retrieval.prompt import fitting, with_passages  # noqa: E402
from retrieval.search import IndexFileError, Retriever  # noqa: E402
from retrieval.sparse import SparseIndex, write_sparse_index  # noqa: E402
from retrieval.terms import index_terms  # noqa: E402

ROOT = Path(__file__).parents[1]
BOOK = """# 城市的桥

## 白鹭桥

白鹭桥横跨清水河，全长 120 米，由石匠陈默在 1837 年主持修建，桥面用 granite_block 铺成。

它的桥墩共有 5 座，每座高 9 米。

## 青石塔

青石塔高 45 米，塔顶的灯每 8 秒闪 2 次，控制它的程序叫 blinkLampAsync。

```c
void blinkLampAsync(int seconds) {
    schedule(seconds);
}
```

## 北港

北港的渡船每天开 16 班，末班船在 22:30 离港。
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "bridges.md"
    path.write_text(BOOK, encoding="utf-8")
    return path


@pytest.fixture
def index(book: Path, tmp_path: Path) -> Path:
    build_index([book], tmp_path / "index", IndexSettings(20, 80))
    return tmp_path / "index"


def place(name: str, number: int, path: tuple[str, ...] = ("章", "节")) -> Passage:
    return Passage(f"{number}", "book.md", path, number * 100, number * 100 + 90, name)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("白鹭桥有多长？", "120"),
        ("blink lamp 的程序叫什么", "blinkLampAsync"),  # a part of an identifier
        ("末班船什么时候离港？", "22:30"),
    ],
)
def test_a_question_finds_its_passage(index: Path, question: str, words: str) -> None:
    (hits,) = Retriever.load(index).search([question], 1)
    assert words in hits[0].passage.text


def test_code_and_sentences_stay_whole(index: Path) -> None:
    texts = [passage.text for passage in Retriever.load(index).passages]
    assert any(
        "```c\nvoid blinkLampAsync(int seconds) {\n    schedule(seconds);\n}\n```" in t
        for t in texts
    )
    assert all(text.rstrip()[-1] in "。`" for text in texts)


def test_the_same_book_gives_the_same_bytes(book: Path, tmp_path: Path) -> None:
    def bytes_of(out: Path) -> dict[str, bytes]:
        build_index([book], out, IndexSettings(20, 80), Cache(tmp_path / "cache"))
        return {
            p.relative_to(out).as_posix(): p.read_bytes()
            for p in out.rglob("*")
            if p.is_file() and p.name != "manifest.json"
        }

    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    _, changed = build_index([book], tmp_path / "a", IndexSettings(20, 80))
    assert not changed
    book.write_text(BOOK.replace("120", "130"), encoding="utf-8")
    _, changed = build_index([book], tmp_path / "a", IndexSettings(20, 80))
    assert changed
    (hits,) = Retriever.load(tmp_path / "a").search(["白鹭桥有多长？"], 1)
    assert "130" in hits[0].passage.text


def test_passages_of_a_pdf_know_their_page_and_old_indexes_load(tmp_path: Path) -> None:
    pytest.importorskip("pypdfium2")
    from tests.pdf_files import SONG, make_pdf, text

    pages = [
        [text(title, 72, 80, 20, SONG)]
        + [text(f"{title}的第{i}句话说得很清楚。", 72, 120 + 40 * i, 12, SONG) for i in range(15)]
        for title in ("青石塔", "白河桥", "云溪水库")
    ]
    marks = [(title, page, 60) for page, title in enumerate(("青石塔", "白河桥", "云溪水库"))]
    book = tmp_path / "b.pdf"
    book.write_bytes(make_pdf(pages, marks))
    first, second = tmp_path / "i", tmp_path / "j"
    for out in (first, second):
        build_index([book], out, IndexSettings(100, 400), None)
    assert (first / "passages.jsonl").read_bytes() == (second / "passages.jsonl").read_bytes()
    found = Retriever.load(first)
    for title, page in (("青石塔", 1), ("白河桥", 2), ("云溪水库", 3)):
        ((hit, *_),) = found.search([f"{title}的第3句话"], 1)
        assert hit.passage.page == page and hit.passage.place.endswith(f" · p. {page}")
    # Made before passages had pages, or of a book without any.
    lines = (first / "passages.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    old = [json.dumps({k: v for k, v in row.items() if k != "page"}) + "\n" for row in rows]
    (second / "passages.jsonl").write_text("".join(old), "utf-8")
    assert {passage.page for passage in read_passages(second)} == {None}


def test_what_stands_under_a_picture_is_found_and_what_a_program_wrote_is_not(
    tmp_path: Path,
) -> None:
    pictures = (
        "![图 2-1 渡船的航线](a.png)",
        "![在这里插入图片描述](b.png)",
        "![白鹭桥的正面照片](c.png)\n\n图 2-2 白鹭桥的正面照片",
        *["![桥的一张照片](d.png)"] * 2,
        *["![图 2-3 灯塔的开关](e.png)"] * 2,
    )
    (tmp_path / "b.md").write_text(BOOK + "\n\n" + "\n\n".join(pictures), encoding="utf-8")
    build_index([tmp_path / "b.md"], tmp_path / "index", IndexSettings(20, 200))
    found = Retriever.load(tmp_path / "index")
    text = "\n".join(passage.text for passage in found.passages)
    assert text.count("渡船的航线") == text.count("白鹭桥的正面照片") == 1
    assert text.count("灯塔的开关") == 1, "a numbered caption that stands twice is kept once"
    assert "插入图片" not in text and "一张照片" not in text
    ((hit, *_),) = found.search(["渡船的航线是怎样的？"], 1)
    assert hit.passage.heading.endswith("北港")
    assert "末班船" in hit.passage.text, "beside the words of its section"


def test_a_question_without_a_shared_word_finds_nothing(index: Path) -> None:
    assert Retriever.load(index).search(["zzz", "？？？", ""]) == [[], [], []]


def test_a_damaged_or_missing_index_is_named(index: Path, tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match="no passages.jsonl"):
        Retriever.load(tmp_path / "nowhere")
    lines = (index / "passages.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (index / "passages.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(IndexFileError, match="files of two builds"):
        Retriever.load(index)
    (index / "passages.jsonl").write_text('{"id": 1}\n', encoding="utf-8")
    with pytest.raises(IndexFileError, match="line 1"):
        Retriever.load(index)


def test_a_failed_build_leaves_the_old_index(index: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.md"
    empty.write_text("# 目录\n", encoding="utf-8")
    before = (index / "passages.jsonl").read_bytes()
    with pytest.raises(ValueError, match="nothing to search|no passage"):
        build_index([empty], index, IndexSettings())
    assert (index / "passages.jsonl").read_bytes() == before
    assert not list(tmp_path.glob(".index.*"))


def test_a_bad_book_stops_the_index_unless_told_otherwise(tmp_path: Path) -> None:
    books = tmp_path / "books"
    books.mkdir()
    (books / "good.md").write_text("# 线程\n\n线程块是一组线程，最多 1024 个。\n", "utf-8")
    (books / "bad.pdf").write_bytes(b"%PDF-1.4 broken")
    (books / "later.md").write_bytes(b"")
    asked = ["build", str(books), "--out", str(tmp_path / "index"), "--cache", str(tmp_path / "c")]
    done = CliRunner().invoke(app, asked)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.exit_code == 1 and "bad.pdf" in said and "--keep-going" in said
    done = CliRunner().invoke(app, [*asked, "--keep-going"])
    said = " ".join((done.stdout + done.stderr).split())
    assert done.exit_code == 0, said
    assert "bad.pdf" in said and "later.md" in said and "the file is empty" in said
    assert [p.book for p in Retriever.load(tmp_path / "index").passages] == ["good.md"]


@given(st.text())
def test_any_text_has_terms_and_they_are_lower_case(text: str) -> None:
    assert all(term and term == term.lower() for term in index_terms(text))


def test_a_passage_high_in_both_lists_beats_one_high_in_one() -> None:
    fused = reciprocal_rank_fusion([[1, 2, 3], [4, 2, 5]])
    assert fused[0][0] == 2
    assert {passage for passage, _ in fused} == {1, 2, 3, 4, 5}


def test_passages_stand_before_the_question_best_last() -> None:
    asked = with_passages("{question} 是什么？", [place("甲 {x}", 0), place("乙", 1)])
    assert asked.index("乙") < asked.index("甲 {x}") < asked.index("{question} 是什么？")
    assert with_passages("问", []) == "问"


def test_the_budget_leaves_out_what_does_not_fit() -> None:
    passages = [place("甲" * 40, 0), place("乙" * 400, 1), place("丙" * 40, 2)]
    assert [p.text[0] for p in fitting(passages, len, 120)] == ["甲", "丙"]


def test_recall_and_reasons(index: Path) -> None:
    retriever = Retriever.load(index)
    from data.text import normalise

    texts = [normalise(passage.text) for passage in retriever.passages]
    terms = [set(index_terms(passage.text)) for passage in retriever.passages]
    asked = [
        by_evidence("白鹭桥有多长？", "白鹭桥横跨清水河，全长 120 米", texts),
        by_overlap("渡船几班？", "北港的渡船每天开 16 班。", terms),
        by_evidence("火星上有什么？", "火星上有一座红色的山，从来没有人去过那里", texts),
        by_overlap("木星上有什么？", "木星上有一场几百年的风暴。", terms),
    ]
    (outcome,) = evaluate_methods(retriever, asked)
    assert outcome.values[0].mean == pytest.approx(2 / 4)
    mars, jupiter = outcome.missed
    assert mars == "missed at 3: 火星上有什么？ — no passage of the index holds its evidence"
    assert "no evidence is named" in jupiter
    whys = [reason(item, place) for item, place in zip(asked, outcome.places, strict=True)]
    assert whys == [None, None, "not in the index", "unknown"]


TEXT = st.text("线程块内存 kernelA01", max_size=20)


@settings(deadline=None)  # the first import of bm25s takes its time
@given(st.lists(TEXT, min_size=1), TEXT)
def test_scores_are_those_of_bm25s(texts: list[str], question: str) -> None:
    if not any(index_terms(text) for text in texts):
        return
    with tempfile.TemporaryDirectory() as folder:
        write_sparse_index(texts, Path(folder))
        import bm25s  # only now: by itself it would load numba, beside which vLLM does not start

        ours = SparseIndex.load(Path(folder)).scores(question)
        theirs = bm25s.BM25.load(folder, show_progress=False)
        asked = [term for term in index_terms(question) if term in theirs.vocab_dict]
        wanted = theirs.get_scores(asked) if asked else [0.0] * len(texts)
    assert ours == pytest.approx(wanted, abs=1e-5)


def test_a_whole_test_set_is_searched_in_a_blink(tmp_path: Path) -> None:
    """The judge's 358 questions in a book of a million characters: under 0.3 s of one core."""
    draw = random.Random(0)
    letters = [chr(0x4E00 + int(draw.paretovariate(0.6)) % 3000) for _ in range(1_000_000)]
    texts = ["".join(letters[i : i + 700]) for i in range(0, len(letters), 700)]
    write_sparse_index(texts, tmp_path)
    index = SparseIndex.load(tmp_path)
    questions = ["".join(draw.sample(letters, 30)) for _ in range(358)]
    began = time.process_time()
    found = index.search(questions, 3)
    assert time.process_time() - began < 0.3
    assert all(len(row) == 3 for row in found)


@pytest.mark.parametrize("book_is", ["traditional", "simplified"])
def test_a_book_is_found_by_questions_in_the_other_characters(book_is: str, tmp_path: Path) -> None:
    pytest.importorskip("opencc")
    from common.simplified import traditional

    written, asked = (traditional, str) if book_is == "traditional" else (str, traditional)
    book = tmp_path / "bridges.md"
    book.write_text(written(BOOK), encoding="utf-8")
    build_index([book], tmp_path / "index", IndexSettings(20, 80))
    retriever = Retriever.load(tmp_path / "index")
    questions = ["白鹭桥有多长？", "渡船每天开几班？"]
    assert asked(questions[0]) != written(questions[0])
    found = retriever.rank([asked(question) for question in questions], 3)
    alike = retriever.rank([written(question) for question in questions], 3)
    assert found == alike and all(found)
    assert written("白鹭桥") in retriever.search([asked(questions[0])], 1)[0][0].passage.text


def test_an_index_of_before_is_searched_as_it_was(index: Path) -> None:
    (index / "bm25/characters.json").unlink()
    assert Retriever.load(index).rank(["白鹭桥有多长？"], 3)[0][0][1] > 0


def test_evidence_is_found_in_a_book_of_the_other_characters(tmp_path: Path) -> None:
    pytest.importorskip("opencc")
    from common.simplified import traditional

    rows = [{"question": "问？", "reference": "答", "evidence": "白鹭桥横跨清水河，全长 120 米"}]
    rows.append({"question": "渡船几班？", "reference": "北港的渡船每天开 16 班。"})
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "bridges.md").write_text(BOOK, encoding="utf-8")
    plain = book_passages(tmp_path / "bridges.md", None, IndexSettings(20, 80))
    other = [replace(passage, text=traditional(passage.text)) for passage in plain]
    assert other != plain
    found, wanted = (read_evaluation_set(tmp_path / "asked.jsonl", each) for each in (other, plain))
    assert found == wanted and all(item.right for item in found)


def test_the_command_line(book: Path, tmp_path: Path) -> None:
    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "retrieval", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    out = tmp_path / "cli"
    built = run("build", str(book), "--out", str(out), "--cache", str(tmp_path / "cache"))
    assert built.returncode == 0, built.stderr
    assert "passages" in built.stdout
    testset, cache = ROOT / "data" / "sample" / "testset_basic.docx", str(tmp_path / "cache")
    told = run("build", str(book), str(testset), "--out", str(tmp_path / "i"), "--cache", cache)
    assert "testset_basic.docx: holds 48 labelled answers" in told.stderr
    assert "labelled" not in built.stderr
    found = run("search", str(out), "白鹭桥有多长？", "--count", "1")
    assert "120 米" in found.stdout and "白鹭桥" in found.stdout
    assert run("search", str(tmp_path), "问").returncode == 1
    test = tmp_path / "test.jsonl"
    row = {
        "question": "白鹭桥有多长？",
        "reference": "白鹭桥全长 120 米。",
        "evidence": "全长 120 米",
    }
    test.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    told = run("evaluate", str(out), str(test))
    assert told.returncode == 0, told.stderr
    assert "recall@1" in told.stdout and "bm25" in told.stdout


@settings(max_examples=60, deadline=None)  # a folder for each example
@given(
    st.lists(st.text("甲乙丙丁ab ", min_size=1, max_size=12), min_size=1, max_size=40),
    st.text("甲乙丙丁ab ", max_size=8),
    st.sampled_from([1, 3, 10]),
)
def test_the_best_are_those_that_sorting_everything_gives(
    texts: list[str], question: str, count: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            write_sparse_index(texts, Path(folder))
        except ValueError:
            return  # no word in any
        index = SparseIndex.load(Path(folder))
    scores = index.scores(question)
    everything = sorted(range(len(texts)), key=lambda place: (-scores[place], place))
    wanted = [place for place in everything[:count] if scores[place] > 0]
    with patch("retrieval.sparse.BLOCK", 2):
        (found,) = index.search([question], count)
    assert [place for place, _ in found] == wanted
