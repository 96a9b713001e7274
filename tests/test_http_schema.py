"""The request model against whatever a client may send."""

import asyncio
import gzip
import json

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.http.schema import BadRequestError, parse_predict
from serving.settings import Settings
from tests.instant_engine import instant_app, running_app

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
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


def one(body: bytes) -> str:
    prompt = parse_predict(body).prompt
    assert isinstance(prompt, str)
    return prompt


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        (rb'{"prompt": "\ud83d warp?"}', " warp?"),
        (rb'{"prompt": "warp\udfff"}', "warp"),
        (rb'{"prompt": "\ud83d\ude00"}', "😀"),
        (b'{"prompt": "\xed\xa0\xbd\xed\xb8\x80"}', "😀"),  # each half as UTF-8 of its own
        (rb'{"prompt": "wa\u0000rp"}', "warp"),
        (b'{"prompt": "wa\0rp"}', "warp"),
        (b'{"prompt": "two\nlines\t"}', "two\nlines\t"),
        ('{"prompt": "什么是线程块'.encode()[:-1] + b'?"}', "什么是线程\ufffd?"),
        ('{"prompt": "\ufeff什么"}'.encode("utf-16"), "\ufeff什么"),
    ],
)
def test_a_broken_character_costs_nothing_but_itself(body: bytes, prompt: str) -> None:
    assert one(body) == prompt


@given(st.lists(st.text(alphabet=st.characters(), max_size=20), max_size=8))
def test_any_text_becomes_text_and_the_others_are_untouched(prompts: list[str]) -> None:
    read = parse_predict(json.dumps({"prompt": prompts}).encode()).prompt
    assert len(read) == len(prompts)
    for given_text, text in zip(prompts, read, strict=True):
        text.encode()  # raises for a surrogate
        if "\0" not in given_text and not any("\ud800" <= c <= "\udfff" for c in given_text):
            assert text == given_text


def test_another_encoding_is_refused() -> None:
    with pytest.raises(BadRequestError, match="not UTF-8 .* send it as UTF-8"):
        parse_predict('{"prompt": "什么是线程块？请用一句话回答。"}'.encode("gbk"))


def test_a_prompt_given_twice_is_refused() -> None:
    with pytest.raises(BadRequestError, match="prompt: given twice") as refused:
        parse_predict(b'{"prompt": ["a"], "prompt": ["b", "c"]}')
    assert refused.value.status == 422
    assert one(b'{"n": 1, "prompt": "a", "n": 2}') == "a"


def test_a_packed_body_is_refused_by_its_encoding() -> None:
    async def post() -> httpx.Response:
        async with running_app(instant_app(Settings())) as client:
            packed = gzip.compress(b'{"prompt": "a"}')
            headers = {"Content-Encoding": "gzip"}
            return await client.post("/predict", content=packed, headers=headers)

    reply = asyncio.run(post())
    assert reply.status_code == 415
    assert reply.json() == {"error": "body: Content-Encoding gzip; send it uncompressed"}
