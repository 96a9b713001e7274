"""Search by meaning: a real bi-encoder and a real cross-encoder, tiny and untrained."""

import json
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers")
pytest.importorskip("faiss")

import numpy as np  # noqa: E402

from data.cache import Cache  # noqa: E402
from retrieval import build as build_module  # noqa: E402
from retrieval.build import IndexSettings, build_index, vectors_of  # noqa: E402
from retrieval.compare import compare  # noqa: E402
from retrieval.dense import DenseIndex, Encoder, model_name  # noqa: E402
from retrieval.model_directory import model_directory  # noqa: E402
from retrieval.rerank import Reranker  # noqa: E402
from retrieval.search import IndexFileError, Retriever  # noqa: E402
from serving.book_context import BookContext  # noqa: E402
from serving.settings import Settings  # noqa: E402
from tests.hub_standin import HubStandin  # noqa: E402
from tests.test_retrieval import BOOK  # noqa: E402
from tests.tiny_bert import write_bert  # noqa: E402

QUESTION = "白鹭桥有多长？"


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("encoder") / "e5-tiny", "BertModel", BOOK + QUESTION)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "bridges.md").write_text(BOOK, encoding="utf-8")
    return tmp_path / "bridges.md"


def test_vectors_have_length_one_and_a_passage_is_nearest_to_itself(encoder: Path) -> None:
    model = Encoder(encoder)
    vectors = model.documents(["白鹭桥", "青石塔高", "北港渡船"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    found = DenseIndex.build(vectors).search(vectors, 3)
    for place, row in enumerate(found):  # random weights tell them apart by little
        assert dict(row)[place] == pytest.approx(1) and row[0][1] == pytest.approx(1)
    assert not np.allclose(model.queries(["白鹭桥"]), model.documents(["白鹭桥"])), "e5's prompts"


def test_all_methods_search_and_a_changed_chapter_is_encoded_alone(
    book: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index, cache = tmp_path / "index", Cache(tmp_path / "cache")
    build_index([book], index, IndexSettings(20, 80), cache, encoder)
    reranker = write_bert(tmp_path / "cross", "BertForSequenceClassification", BOOK + QUESTION)
    retriever = Retriever.load(index, encoder, reranker)
    assert retriever.method == "reranked"
    for method in ("bm25", "dense", "fused", "reranked"):
        (hits,) = retriever.search([QUESTION], 2, method)
        assert len(hits) == (1 if method == "bm25" else 2), method  # one shares a word
    everything = retriever.rank([QUESTION], 100, "reranked")[0]
    assert [score for _, score in everything] == sorted((s for _, s in everything), reverse=True)

    encoded: list[int] = []

    class Counting(Encoder):
        def documents(self, texts, *rest):
            encoded.append(len(texts))
            return super().documents(texts, *rest)

    monkeypatch.setattr(build_module, "Encoder", Counting)
    book.write_text(BOOK.replace("每天开 16 班", "每天开 17 班"), encoding="utf-8")
    build_index([book], index, IndexSettings(20, 80), cache, encoder)
    assert encoded == [1]


def test_a_vector_is_the_same_to_the_last_bit_whatever_was_encoded_beside_it(
    encoder: Path, tmp_path: Path
) -> None:
    texts = [BOOK[3 * n : 10 * n + 20] for n in range(20)]
    cache = Cache(tmp_path)
    vectors_of(encoder, texts[:4], cache)
    assert (vectors_of(encoder, texts, cache) == vectors_of(encoder, texts, None)).all()


def test_a_reranker_reads_the_first_only_and_leaves_out_the_rest(
    book: Path, tmp_path: Path
) -> None:
    build_index([book], tmp_path / "index", IndexSettings(20, 80))
    cross = write_bert(tmp_path / "cross", "BertForSequenceClassification", BOOK + QUESTION)
    question = "白鹭桥、青石塔和北港的渡船"
    retriever = Retriever.load(tmp_path / "index", reranker=cross, rerank_first=2)
    (found,) = retriever.rank([question], 10)
    (matched,) = retriever.rank([question], 10, "bm25")
    assert len(matched) > 2 and {p for p, _ in found} == {p for p, _ in matched[:2]}


def test_the_service_reranks_as_many_as_its_settings_say(book: Path, tmp_path: Path) -> None:
    build_index([book], tmp_path / "index", IndexSettings(20, 80))
    cross = write_bert(tmp_path / "cross", "BertForSequenceClassification", BOOK + QUESTION)
    given = {"retrieval_dir": tmp_path / "index", "retrieval_passages": 20}
    question = "白鹭桥、青石塔和北港的渡船"

    def shown(**more: object) -> list[int]:
        context = BookContext(Settings(**given, **more))
        (hits,) = context.chosen([question], [10_000], len)
        return [hit.place for hit in hits]

    matched = shown()
    assert len(matched) > 2
    assert sorted(shown(retrieval_reranker=cross, retrieval_rerank_first=2)) == sorted(matched[:2])
    assert sorted(shown(retrieval_reranker=cross)) == sorted(matched)


def test_a_reranker_that_takes_too_long_costs_its_order_and_no_answer(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    build_index([book], tmp_path / "index", IndexSettings(20, 80))
    cross = write_bert(tmp_path / "cross", "BertForSequenceClassification", BOOK + QUESTION)
    given = {"retrieval_dir": tmp_path / "index", "retrieval_passages": 20}
    plain, slow = (
        BookContext(Settings(**given, **more)) for more in ({}, {"retrieval_reranker": cross})
    )
    asked = ([QUESTION + "青石塔呢，北港的渡船呢？"] * 3, [10_000] * 3, len)
    assert slow.chosen(*asked) != plain.chosen(*asked)
    until: list[float] = []

    whole = Reranker.scores

    def late(self, pairs, limit):
        until.append(limit)
        return whole(self, pairs, time.monotonic())

    monkeypatch.setattr(Reranker, "scores", late)
    now = time.monotonic()
    assert slow.chosen(*asked, now + 1000) == plain.chosen(*asked)
    assert now < until[0] < now + 500, "the answers need the rest of the time"
    assert "3 questions: no time to rerank them" in caplog.text


def test_what_the_retriever_has_no_model_for_is_told(
    book: Path, encoder: Path, tmp_path: Path
) -> None:
    build_index([book], tmp_path / "index", IndexSettings(20, 80))
    with pytest.raises(ValueError, match="no cross-encoder"):  # its order would be random
        Retriever.load(tmp_path / "index", reranker=encoder)
    with pytest.raises(ValueError, match="without an encoder"):
        Retriever.load(tmp_path / "index").search([QUESTION], 1, "dense")
    with pytest.raises(IndexFileError, match="damaged"):
        Retriever.load(tmp_path / "index", tmp_path)  # the index has no vectors


def test_a_modelscope_id_is_downloaded_once_and_keeps_its_name(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "cache"))
    # An SDK that another test imported keeps the address that was set then.
    for name in [name for name in sys.modules if name.startswith("modelscope")]:
        monkeypatch.delitem(sys.modules, name)
    assert model_directory(encoder) == encoder
    with HubStandin(tmp_path / "hub") as hub:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.endpoint)
        hub.publish("someone/e5-small", encoder)
        found = model_directory(Path("someone/e5-small"))
        assert model_name(found) == "e5-small"
        vector = Encoder(found).queries(["白鹭桥"])
        assert np.allclose(vector, Encoder(encoder).queries(["白鹭桥"])), "other prompts"
        with pytest.raises(OSError, match="someone/none: not downloaded"):
            model_directory(Path("someone/none"))
    with pytest.raises(ValueError, match="no such directory"):
        model_directory(tmp_path / "none")


def test_one_table_compares_sizes_and_models(book: Path, encoder: Path, tmp_path: Path) -> None:
    testset = tmp_path / "asked.jsonl"
    rows = [{"question": QUESTION, "answer": "120 米", "evidence": "白鹭桥长 120 米"}]
    testset.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    cross = write_bert(tmp_path / "cross", "BertForSequenceClassification", BOOK + QUESTION)
    found = list(compare([book], testset, [60, 120], [encoder], [cross]))
    methods = ["bm25", "reranked", "dense", "fused", "reranked"]
    assert [row.method for row in found] == methods * 2
    assert found[0].passages > found[5].passages
    assert found[3].memory > found[2].memory > found[0].memory
    assert found[4].memory > found[3].memory and "cross" in found[4].models
    for row in found:
        missed = row.outcome.places[0] is None or row.outcome.places[0] > 3
        assert sum(row.reasons.values()) == missed
