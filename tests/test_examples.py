"""Worked examples before every question: in the service, in the judge's report, in their file."""
# ruff: noqa: F811  a fixture is an argument, too

import hashlib
from pathlib import Path

import pytest

pytest.importorskip("numpy")

from data.formats import read_told  # noqa: E402
from judging.judge import judge  # noqa: E402
from judging.report import summary  # noqa: E402
from judging.testset import read_testset  # noqa: E402
from retrieval.build import IndexSettings, build_index  # noqa: E402
from retrieval.examples import OWN, examples_of, turns_of  # noqa: E402
from serving.engine.base import ModelError  # noqa: E402
from serving.settings import Settings, load_settings  # noqa: E402
from tests.conftest import running_service  # noqa: E402
from tests.instant_engine import InstantAnswerer, InstantEngine, instant_app, served_app  # noqa: E402
from tests.test_book_context import index, prompts_of  # noqa: E402, F401

ROW = '{"passages": ["甲"], "question": "问？", "answer": "答。"}'
QUESTIONS = ["白鹭桥有多长？", "zzz?", "闪灯的程序叫什么？" + "，" * 1000]
OWN_TEXT = "".join(text for turn in turns_of(examples_of(True)) for text in turn)


def served(index: Path, **settings: object) -> list[str]:
    return prompts_of(Settings(retrieval_dir=index, **settings), QUESTIONS)


def test_examples_stand_before_every_question_and_take_no_room(index: Path) -> None:
    """The same prompts otherwise, the one that leaves little room for passages among them."""
    plain, shown = served(index), served(index, retrieval_examples=True)
    assert "120 米" in plain[0] and "教材片段" not in plain[1]
    for alone, prompt in zip(plain, shown, strict=True):
        before = prompt.index(OWN_TEXT)
        assert prompt == alone[:before] + OWN_TEXT + alone[before:]
        assert before == shown[0].index(OWN_TEXT) > 0  # one prefix: the KV cache holds it once
    assert served(index, retrieval_examples=OWN) == shown


def test_a_question_too_long_loses_its_middle_and_no_example(index: Path) -> None:
    long = "起" + "，" * 9000 + "止？"
    (prompt,) = prompts_of(Settings(retrieval_dir=index, retrieval_examples=True), [long])
    assert OWN_TEXT in prompt and "起" in prompt and prompt.endswith("止？")
    assert len(prompt) == 2048 - 640 + len(OWN_TEXT)


def test_without_an_index_there_are_no_examples(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert prompts_of(Settings(retrieval_examples=True), ["问？"]) == prompts_of(
        Settings(), ["问？"]
    )


def test_control_tokens_in_an_example_are_text(index: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.jsonl").write_text(ROW.replace("甲", "<|im_end|>"), "utf-8")
    settings = Settings(retrieval_dir=index, retrieval_examples=tmp_path / "odd.jsonl")
    assert all("<|im_end|>" in prompt for prompt in prompts_of(settings, QUESTIONS))


def test_the_setting_is_a_switch_or_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    automatic = [(text, "auto") for text in ("", " ", "auto", "AUTO")]
    switches = [("1", True), ("0", False), ("false", False)]
    for text, wanted in (*automatic, *switches, ("A.jsonl", Path("A.jsonl"))):
        monkeypatch.setenv("RETRIEVAL_EXAMPLES", text)
        assert load_settings().retrieval_examples == wanted


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "Expecting property name"),
        ("[1]", "expected an object with passages, question and answer"),
        (ROW.replace('"答。"', '" "'), "answer: expected a text that is not empty"),
        (ROW.replace("question", "query"), "question: expected a text"),
        (ROW.replace('["甲"]', '"甲"'), "passages: expected a list of texts"),
        (ROW.replace('["甲"]', "[]"), "passages: expected a list of texts"),
        (ROW.replace('["甲"]', "[1]"), "passages: expected a list of texts"),
    ],
)
def test_bad_examples_are_named_by_line_and_field(
    index: Path,
    tmp_path: Path,
    line: str,
    told: str,
) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(f"{ROW}\n\n{line}\n", "utf-8")
    with pytest.raises(ModelError, match=f"RETRIEVAL_EXAMPLES=.*line 3: {told}"):
        served(index, retrieval_examples=path)


@pytest.mark.parametrize("text", [None, "", "\n", "甲".encode("gbk")])
def test_a_file_without_examples_stops_the_start(
    index: Path,
    tmp_path: Path,
    text: str | bytes | None,
) -> None:
    path = tmp_path / "mine.jsonl"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelError, match="RETRIEVAL_EXAMPLES"):
        served(index, retrieval_examples=path)


def test_examples_that_fill_the_models_context_stop_the_start(index: Path) -> None:
    class Short(InstantEngine):
        asked = 0

        def start(self) -> None:
            self.asked, self.max_model_len = self.max_model_len, len(OWN_TEXT) + 100

    engine = Short()
    answerer = InstantAnswerer(engine, Settings(retrieval_dir=index, retrieval_examples=True))
    with pytest.raises(ModelError, match=f"they take {len(OWN_TEXT)} of the context of"):
        answerer.start()
    assert engine.asked == 2048 + len(OWN_TEXT)


def test_the_kits_own_examples_are_those_that_were_measured() -> None:
    """Other ones need another measurement (bench/results/prompts_h100.json)."""
    digest = hashlib.sha256(repr(turns_of(examples_of(True))).encode()).hexdigest()
    assert digest == "04ace6da232473c67d745a6589786d2df22d5915008f5d92f60501f67b38bf97"


def test_a_test_question_among_the_examples_is_told(index: Path, tmp_path: Path) -> None:
    examples, testset = tmp_path / "mine.jsonl", tmp_path / "asked.jsonl"
    examples.write_text(ROW, "utf-8")
    testset.write_text('{"question": "问 ?", "reference": "x"}\n', "utf-8")
    assert read_told(examples)[0].question == "问？"  # what `data check-leak` reads
    settings = Settings(retrieval_dir=index, retrieval_examples=examples)
    with served_app(instant_app(settings)) as url:
        judgement = judge(url, [read_testset(testset)])
    (leak,) = judgement.leaks
    assert "asked: 问 ?" in leak
    told = summary(judgement)
    assert leak in told["deviations"] and told["book"].endswith(", 1 worked examples")


@pytest.mark.vllm
@pytest.mark.parametrize("engines", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_real_service_answers_with_index_and_examples(
    index: Path, tiny_model: Path, tmp_path: Path, engines: int
) -> None:
    pytest.importorskip("vllm")
    (tmp_path / "mine.jsonl").write_text(ROW, "utf-8")
    variables = {
        "MODEL_DIR": str(tiny_model),
        "RETRIEVAL_DIR": str(index),
        "RETRIEVAL_EXAMPLES": str(tmp_path / "mine.jsonl"),
        "MAX_MODEL_LEN": "1000",
        "ENGINES_PER_GPU": str(engines),
    }
    with running_service(tmp_path, **variables) as service:
        service.wait_until_ready()
        reply = service.client.post("/predict", json={"prompt": ["白鹭桥有多长？", "", "北港？"]})
        answers = reply.json()["response"]
        assert reply.status_code == 200 and len(answers) == 3 and answers[1] == ""
        info = service.client.get("/info").json()
    assert info["engine"]["max_model_len"] > 1000
    assert info["retrieval"]["examples"] == ["问？"] and info["retrieval"]["method"] == "bm25"


def test_a_test_set_in_the_index_is_told(index: Path, tmp_path: Path) -> None:
    testset = Path(__file__).parents[1] / "data" / "sample" / "testset_basic.docx"
    for books in ([], [testset]):
        build_index([tmp_path / "bridges.md", *books], index, IndexSettings(20, 80))
        with served_app(instant_app(Settings(retrieval_dir=index))) as url:
            leaks = judge(url, [read_testset(testset)]).leaks
        assert leaks == [
            f"the index holds the test set {book.name}, answers and all: build it of the book again"
            for book in books
        ]
