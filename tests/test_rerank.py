"""A reranker's scores are those of CrossEncoder.predict, each text tokenized only once."""

import json
from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers")

import numpy as np  # noqa: E402
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from retrieval import rerank  # noqa: E402
from retrieval.pair_tokens import by_tokens, longest_first  # noqa: E402
from retrieval.rerank import Reranker  # noqa: E402
from tests.tiny_bert import write_bert  # noqa: E402

TEXT = "白鹭桥有多长？全长 480 米，北港渡船每天开 16 班。"
PAIRS = [
    ("白鹭桥有多长？", TEXT),
    ("白鹭桥有多长？", TEXT * 60),  # too long: the passage is cut
    (TEXT * 40, TEXT * 40),  # both are
    (TEXT * 40, "渡船"),  # the question is
    ("", TEXT),
    ("渡船", ""),
    *[("渡船每天几班？", TEXT[:size]) for size in range(3, 30)],
]


@pytest.fixture(scope="module", params=["with kinds", "without"])
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder that takes token_type_ids, as BERT does, or none, as XLM-R."""
    made = write_bert(tmp_path_factory.mktemp("cross"), "BertForSequenceClassification", TEXT)
    if request.param == "with kinds":
        told = json.loads((made / "tokenizer_config.json").read_text())
        told["model_input_names"] = ["input_ids", "token_type_ids", "attention_mask"]
        (made / "tokenizer_config.json").write_text(json.dumps(told))
    return made


@pytest.fixture(scope="module")
def reranker(tiny: Path) -> Reranker:
    return Reranker(tiny, device="cpu")


def test_scores_are_those_of_predict_in_batches_of_any_size(
    reranker: Reranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = reranker._predicted(PAIRS)
    near = np.std(plain) / 1000  # of random weights scores differ by little
    for budget in (1, 700, 100_000):
        monkeypatch.setattr(rerank, "TOKENS", budget)
        assert np.allclose(reranker.scores(PAIRS), plain, rtol=0, atol=near), budget
    assert reranker.scores([]) == []


def test_each_text_is_tokenized_once(reranker: Reranker, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, read = reranker._model.tokenizer, []
    plain = type(tokenizer).__call__

    def counting(self, texts, *rest, **options):
        read.extend(texts)
        return plain(self, texts, *rest, **options)

    monkeypatch.setattr(type(tokenizer), "__call__", counting)
    reranker.scores([(f"第 {n} 座桥？", TEXT[:size]) for n in range(4) for size in (5, 9, 14)])
    assert len(read) == len(set(read)) == 4 + 3


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=700), st.text(max_size=700))
def test_joined_ids_are_the_tokenizers_own(reranker: Reranker, first: str, second: str) -> None:
    whole = reranker._model.preprocess([(first, second)])
    ids, kinds = reranker._tokens.ids([(first, second)])[0]
    assert ids == whole["input_ids"][0].tolist()
    assert kinds == (whole["token_type_ids"][0].tolist() if "token_type_ids" in whole else [])


@given(*[st.lists(st.integers(), max_size=40)] * 2, st.integers(0, 60))
def test_two_texts_are_cut_to_the_room(first: list[int], second: list[int], room: int) -> None:
    one, two = longest_first(first, second, room)
    assert first[: len(one)] == one and second[: len(two)] == two
    if len(first) + len(second) >= room:
        assert len(one) + len(two) == room


@given(st.lists(st.integers(1, 512)), st.integers(1, 2000))
def test_batches_hold_every_pair_once_within_the_budget(sizes: list[int], budget: int) -> None:
    batches = list(by_tokens(sizes, budget))
    assert sorted(place for batch in batches for place in batch) == list(range(len(sizes)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(sizes[place] for place in batch) <= budget


def test_a_model_that_joins_pairs_its_own_way_is_asked_itself(tiny: Path) -> None:
    from sentence_transformers import CrossEncoder

    prompt = {"prompts": {"桥": "白鹭桥："}, "default_prompt_name": "桥"}
    model = CrossEncoder(str(tiny), device="cpu", **prompt)
    model.save_pretrained(str(tiny.parent / "prompted"))
    prompted = Reranker(tiny.parent / "prompted", device="cpu")
    assert prompted.scores(PAIRS[:3]) == [float(score) for score in prompted._predicted(PAIRS[:3])]
    assert prompted.scores(PAIRS[:3]) != Reranker(tiny, device="cpu").scores(PAIRS[:3])


def test_a_classifier_of_several_labels_is_no_reranker(tiny: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    three = AutoModelForSequenceClassification.from_pretrained(
        tiny, num_labels=3, ignore_mismatched_sizes=True
    )
    three.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="scores a pair 3 times"):
        Reranker(tmp_path)
