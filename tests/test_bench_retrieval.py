"""The CMRC check's EM and F1 (its own script gave the same on all 3,219 questions); the library."""

import json
from pathlib import Path

import pytest

from bench.cmrc_score import em, f1, segments
from bench.cmrc_train import main as write_cmrc
from bench.library import write_library


def test_chinese_by_characters_and_words_between_them() -> None:
    assert segments("《光荣》和ω-Force 2.5 版") == ["光", "荣", "和", "ωforce", "2.5", "版"]


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        ("光荣和ω-force", 1.0),
        ("光荣", 2 * 2 / (4 + 2)),  # half of the reference's four segments, all of the answer
        ("荣光", 2 * 1 / (4 + 2)),  # the longest run, not the longest common subsequence
        ("由光荣和ω-force合作", 2 * 4 / (4 + 7)),
        ("无关", 0.0),
        ("", 0.0),
    ],
)
def test_f1_counts_the_longest_shared_run(answer: str, wanted: float) -> None:
    assert f1(["光荣和ω-force"], answer) == pytest.approx(wanted)


def test_em_ignores_punctuation_and_case_and_takes_the_best_reference() -> None:
    assert em(["别的", "ω-Force。"], "ωforce") == 1
    assert em(["光荣"], "光荣公司") == 0
    assert f1(["别的", "光荣"], "光荣") == 1


def test_a_made_up_library_has_the_size_and_the_sentences_asked_for(tmp_path: Path) -> None:
    drawn = ["线程块由线程组成。", "共享内存位于片上。", "核函数用 __global__ 声明。"]
    size = write_library(tmp_path, drawn, 20_000)
    texts = [path.read_text("utf-8") for path in sorted(tmp_path.iterdir())]
    assert size >= 20_000 and size == sum(len(text.encode()) for text in texts)
    assert all(sentence in texts[0] for sentence in drawn)


def test_cmrc_becomes_questions_that_know_their_passage(tmp_path: Path) -> None:
    from common.read_pairs import read_pairs
    from retrieval.search import Retriever
    from train.retriever.examples import place_of

    def article(n: int) -> dict:
        answers = [{"text": f"第{n}年", "answer_start": 2}]
        asked = [{"question": f"{n}号桥建于哪年？", "id": f"Q{n}", "answers": answers}]
        text = f"{n}号桥建于第{n}年。" * 3
        return {"id": f"A{n}", "title": f"桥{n}", "paragraphs": [{"context": text, "qas": asked}]}

    source = tmp_path / "cmrc.json"
    told = json.dumps({"data": [article(n) for n in range(40)]}, ensure_ascii=False)
    source.write_text(told, encoding="utf-8")
    write_cmrc(source, tmp_path)
    passages = Retriever.load(tmp_path / "index").passages
    counts = []
    for name in ("train", "dev"):
        pairs = read_pairs(tmp_path / "data" / f"{name}.jsonl").pairs
        counts.append(len(pairs))
        for pair in pairs:
            place = place_of(pair, passages)
            assert place is not None and pair.question.startswith(passages[place].text[:4])
    assert counts == [38, 2] and len(passages) == 40


def test_reranking_is_timed_and_taken_apart(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from bench.rerank_time import main as rerank_time
    from retrieval.build import IndexSettings, build_index
    from tests.test_retrieval import BOOK
    from tests.tiny_bert import write_bert

    (tmp_path / "bridges.md").write_text(BOOK, encoding="utf-8")
    build_index([tmp_path / "bridges.md"], tmp_path / "index", IndexSettings(20, 80))
    rows = [
        {"question": q, "answer": "x"}
        for q in ("白鹭桥、青石塔和北港的渡船", "渡船每天几班？", "zzz")
    ]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    shape = write_bert(tmp_path / "shape", "BertModel", BOOK)
    out = tmp_path / "told.json"
    rerank_time(tmp_path / "asked.jsonl", [tmp_path / "index"], shape, [1, 2], None, out)
    told = json.loads(out.read_text(encoding="utf-8"))
    assert [row["first"] for row in told["rows"]] == [1, 2] and told["questions"] == 3
    one, two = told["rows"]
    assert one["pairs"] == 2 < two["pairs"] and min(two["whole"]) > 0 < one["tokens"]


@pytest.mark.slow
@pytest.mark.vllm
def test_cmrc_is_answered_by_the_services_answerer(tiny_model: Path, tmp_path: Path) -> None:
    """All questions in one call, both forms, with the passage that BM25 finds."""
    pytest.importorskip("vllm")
    from bench.cmrc import main as cmrc

    asked = [
        {"question": f"{n}号桥建于哪年？", "id": f"Q{n}", "answers": [{"text": f"第{n}年"}]}
        for n in range(3)
    ]
    articles = [
        {"paragraphs": [{"context": f"{n}号桥建于第{n}年。" * 3, "qas": [asked[n]]}]}
        for n in range(3)
    ]
    (tmp_path / "dev.json").write_text(json.dumps({"data": articles}), encoding="utf-8")
    out = tmp_path / "told.json"
    cmrc(tmp_path / "dev.json", None, None, 2, None, tiny_model, 60, 1, 8, out)
    (found,) = [v for k, v in json.loads(out.read_text()).items() if k.startswith("answers ")]
    assert found["questions"] == 3 and found["right_passage_there"] == 1
    for form in found["forms"].values():
        assert form["tokens"] > 0 and 0 <= form["em"]["mean"] <= form["f1"]["mean"] <= 1
        assert [row["question"] for row in form["rows"]] == [each["question"] for each in asked]
