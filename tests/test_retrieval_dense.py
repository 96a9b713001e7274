"""Search by meaning: a real bi-encoder and a real cross-encoder, tiny and untrained."""

from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers")
pytest.importorskip("faiss")

import numpy as np  # noqa: E402

from data.cache import Cache  # noqa: E402
from retrieval import build as build_module  # noqa: E402
from retrieval.build import IndexSettings, build_index  # noqa: E402
from retrieval.dense import DenseIndex, Encoder  # noqa: E402
from retrieval.search import IndexFileError, Retriever  # noqa: E402
from tests.test_retrieval import BOOK  # noqa: E402

QUESTION = "白鹭桥有多长？"


def write_bert(directory: Path, head: str) -> Path:
    """A BERT of two layers over single characters, with random weights."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, PreTrainedTokenizerFast
    from transformers import models as transformers_models

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "query", "passage"]
    words += sorted(set(BOOK + QUESTION) - set(" \n"))
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {
        f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")
    }
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(directory)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        num_labels=1,
    )
    torch.manual_seed(0)
    getattr(transformers_models.bert, head)(config).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("encoder") / "e5-tiny", "BertModel")


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
    reranker = write_bert(tmp_path / "cross", "BertForSequenceClassification")
    retriever = Retriever.load(index, encoder, reranker)
    assert retriever.method == "reranked"
    for method in ("bm25", "dense", "fused", "reranked"):
        (hits,) = retriever.search([QUESTION], 2, method)
        assert len(hits) == (1 if method == "bm25" else 2), method  # one shares a word
    everything = retriever.rank([QUESTION], 100, "reranked")[0]
    assert [score for _, score in everything] == sorted((s for _, s in everything), reverse=True)

    encoded: list[int] = []

    class Counting(Encoder):
        def documents(self, texts):
            encoded.append(len(texts))
            return super().documents(texts)

    monkeypatch.setattr(build_module, "Encoder", Counting)
    book.write_text(BOOK.replace("每天开 16 班", "每天开 17 班"), encoding="utf-8")
    build_index([book], index, IndexSettings(20, 80), cache, encoder)
    assert encoded == [1]


def test_what_the_retriever_has_no_model_for_is_told(book: Path, tmp_path: Path) -> None:
    build_index([book], tmp_path / "index", IndexSettings(20, 80))
    with pytest.raises(ValueError, match="without an encoder"):
        Retriever.load(tmp_path / "index").search([QUESTION], 1, "dense")
    with pytest.raises(IndexFileError, match="damaged"):
        Retriever.load(tmp_path / "index", tmp_path)  # the index has no vectors
