"""The request model against whatever a client may send, and the cleaning of answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.answerer import clean
from serving.http.schema import BadRequestError, parse_predict

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(TEXT | st.lists(TEXT))
def test_questions_arrive_unchanged(prompt: str | list[str]) -> None:
    assert parse_predict(json.dumps({"prompt": prompt}).encode()).prompt == prompt


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_other_body_is_refused_with_a_status_and_a_reason(body: bytes) -> None:
    try:
        prompt = parse_predict(body).prompt
    except BadRequestError as error:
        assert error.status in (400, 422)
        assert str(error).startswith(("body", "prompt"))
    else:
        assert isinstance(prompt, str) or all(isinstance(item, str) for item in prompt)


def test_deep_nesting_is_bad_json_not_a_crash() -> None:
    with pytest.raises(BadRequestError, match="body"):
        parse_predict(b'{"prompt": ' + b"[" * 100_000)


@pytest.mark.parametrize(
    "body",
    [b'{"prompt": ' + b"7" * 5_000_000 + b"}", b"-" + b"9" * 5_000_000, b'{"prompt": 1e999}'],
)
def test_a_number_of_millions_of_digits_costs_nothing(body: bytes) -> None:
    with pytest.raises(BadRequestError, match="JSON number"):
        parse_predict(body)


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        ("<think>\n\n</think>\n\n答案是 32。", "答案是 32。"),
        ("<think>先想一想</think>warp 有 32 个线程。<|im_end|>", "warp 有 32 个线程。"),
        ("  \n两行\n    缩进  ", "两行\n    缩进"),
        ("<think>只剩思考，没有写完", "只剩思考，没有写完"),
        ("<think>全在这里</think>", "全在这里"),
        ("a < b 且 c > d", "a < b 且 c > d"),
        ("kernel<<<grid, block>>>(x);", "kernel<<<grid, block>>>(x);"),
        ("", ""),
    ],
)
def test_clean_keeps_the_answer_and_only_the_answer(raw: str, answer: str) -> None:
    assert clean(raw) == answer


@given(st.text())
def test_cleaning_never_empties_an_answer_that_has_words(text: str) -> None:
    assert clean(f"<think>{text}</think>字") == "字" or "<think>" in text or "</think>" in text
    assert clean(clean(text)) == clean(text) or "<" in text
    if any(c.isalnum() for c in text) and "<" not in text:
        assert clean(text)
