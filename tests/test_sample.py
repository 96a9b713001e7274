"""The sample book, its pairs and its test sets: grounded, leak-free and up to date."""

import re
import zipfile
from pathlib import Path

import pytest
from rapidfuzz import fuzz

from common.read_pairs import read_pairs
from data.sample import make_docx
from judging.scoring import accuracy, judge_tokens

SAMPLE = Path(make_docx.__file__).parent
BOOK = (SAMPLE / "book.md").read_text(encoding="utf-8")
PAIRS = make_docx.read_jsonl(SAMPLE / "pairs.jsonl")
TESTSETS = {name: make_docx.read_jsonl(SAMPLE / f"{name}.jsonl") for name in make_docx.TESTSETS}
PAIR_BY_ID = {pair["id"]: pair for pair in PAIRS}
DOCX = ("book", *make_docx.TESTSETS)


def book_sections() -> dict[str, str]:
    """Heading ("2.3 启动配置") to the section's text, heading included."""
    parts = re.split(r"(?m)^### ", BOOK)[1:]
    return {part.partition("\n")[0]: re.split(r"(?m)^## ", part)[0] for part in parts}


SECTIONS = book_sections()


def words(text: str) -> set[str]:
    """Identifiers, English words and numbers, whole: `cudaMalloc`, `__global__`, `0.083`."""
    return set(
        re.findall(r"[A-Za-z_][A-Za-z0-9_]*|\d+(?:\.\d+)?(?![A-Za-z0-9_])|\d\w*", text, re.ASCII)
    )


def bare(text: str) -> str:
    """Text without punctuation and white space, in lower case."""
    return re.sub(r"[\W_]", "", text.lower())


def wordings(pair: dict) -> list[str]:
    return [pair["question"], *pair["rephrasings"]]


def test_book_has_the_length_of_a_primer():
    # White space and Markdown marks are not characters of the book.
    assert 10_000 <= len(re.sub(r"[\s`*#|]", "", BOOK)) <= 15_000


def test_book_chapters_and_sections_are_numbered_in_order():
    chapters = [int(n) for n in re.findall(r"(?m)^## 第(\d+)章 ", BOOK)]
    assert chapters == list(range(1, len(chapters) + 1))
    numbers = [tuple(map(int, h.split()[0].split("."))) for h in SECTIONS]
    assert numbers == sorted(set(numbers))
    assert {chapter for chapter, _ in numbers} == set(chapters)


def test_ids_are_unique_and_name_their_chapter():
    assert len(PAIR_BY_ID) == len(PAIRS)
    for pair in PAIRS:
        assert pair["id"].partition("-")[0] == f"ch{pair['section'][0]}", pair["id"]


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["id"] for pair in PAIRS])
def test_pair_is_grounded_in_its_section(pair):
    section = SECTIONS[pair["section"]]
    assert words(pair["answer"]) <= words(section)
    for line in pair["answer"].splitlines():
        if line.endswith((";", "{", "}")):
            assert f"\n{line}\n" in section, "code line differs from the book's"
    for wording in wordings(pair):
        assert words(wording) <= words(BOOK)
    assert 3 <= len(pair["rephrasings"]) <= 5


def test_no_wording_belongs_to_two_pairs():
    seen = [bare(wording) for pair in PAIRS for wording in wordings(pair)]
    assert len(set(seen)) == len(seen)


def test_few_answers_are_invisible_to_the_metric_and_some_have_code():
    assert 1 <= sum(not judge_tokens(pair["answer"]) for pair in PAIRS) <= 8
    assert 6 <= sum("\n" in pair["answer"] for pair in PAIRS) <= 10


@pytest.mark.parametrize("name", TESTSETS)
def test_testset_asks_pairs_once_in_wordings_never_trained_on(name):
    rows = TESTSETS[name]
    assert len({row["id"] for row in rows}) == len(rows)
    trained = [bare(wording) for pair in PAIRS for wording in wordings(pair)]
    for row in rows:
        assert row["answer"] == PAIR_BY_ID[row["id"]]["answer"]
        nearest = max(fuzz.ratio(bare(row["question"]), wording) for wording in trained)
        assert nearest < 90, row["question"]


def test_testsets_share_no_question():
    basic, bonus = ({row["id"] for row in rows} for rows in TESTSETS.values())
    assert not basic & bonus


@pytest.mark.parametrize("name", TESTSETS)
def test_testset_ceiling_is_honest(name):
    references = [row["answer"] for row in TESTSETS[name]]
    ceiling = accuracy(references, references)
    print(f"{name}: {len(references)} questions, ceiling {ceiling:.4f}")
    # Below 1, because some references are all Chinese, as in real test sets.
    assert 0.8 <= ceiling < 1


@pytest.mark.parametrize("name", TESTSETS)
def test_docx_testset_reads_back_as_its_source(name):
    read = read_pairs(SAMPLE / f"{name}.docx").pairs
    assert [(q.question, q.answer) for q in read] == [
        (row["question"], row["answer"]) for row in TESTSETS[name]
    ]


def test_docx_files_are_up_to_date_with_their_sources(tmp_path):
    make_docx.main(tmp_path)
    for name in DOCX:
        committed, fresh = (
            zipfile.ZipFile(folder / f"{name}.docx").read("word/document.xml")
            for folder in (SAMPLE, tmp_path)
        )
        assert committed == fresh, f"{name}.docx is stale: python -m data.sample.make_docx"


def test_writing_twice_gives_the_same_bytes(tmp_path):
    make_docx.main(tmp_path)
    first = {name: (tmp_path / f"{name}.docx").read_bytes() for name in DOCX}
    make_docx.main(tmp_path)
    assert first == {name: (tmp_path / f"{name}.docx").read_bytes() for name in DOCX}


def test_book_docx_keeps_headings_and_code_indentation(tmp_path):
    document = make_docx.book_document(BOOK)
    headings = [p.text for p in document.paragraphs if p.style.name == "Heading 3"]
    assert headings == list(SECTIONS)
    code = [p.text for p in document.paragraphs if p.style.name == make_docx.CODE_STYLE]
    fenced = "\n".join(re.findall(r"(?s)```cuda\n(.*?)\n```", BOOK))
    assert "\n".join(code) == fenced
