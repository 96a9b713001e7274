"""The service with the book at hand: passages before the question, which they never push out."""

import asyncio
from pathlib import Path

import pytest

pytest.importorskip("numpy")

from pydantic import SecretStr  # noqa: E402

from judging.judge import judge  # noqa: E402
from judging.report import answer_rows, summary, write_report  # noqa: E402
from judging.testset import read_testset  # noqa: E402
from retrieval.build import IndexSettings, build_index  # noqa: E402
from retrieval.prompt import FORM  # noqa: E402
from serving.engine.base import Answer, Batch, ModelError  # noqa: E402
from serving.http.app import create_app  # noqa: E402
from serving.settings import Settings  # noqa: E402
from tests.instant_engine import (  # noqa: E402
    InstantAnswerer,
    InstantEngine,
    instant_app,
    running_app,
    served_app,
)
from tests.test_retrieval import BOOK  # noqa: E402


@pytest.fixture
def index(tmp_path: Path) -> Path:
    book = tmp_path / "bridges.md"
    book.write_text(BOOK, encoding="utf-8")
    build_index([book], tmp_path / "index", IndexSettings(20, 80))
    return tmp_path / "index"


class Noting(InstantEngine):
    """Keeps the prompts as text; the double's tokens are characters."""

    def __init__(self) -> None:
        self.prompts: list[str] = []

    def submit(self, batch: Batch) -> None:
        for index, prompt in enumerate(batch.prompts):
            self.prompts.append("".join(map(chr, prompt)))
            batch.finish(index, Answer("回答", 1, "stop"))


def prompts_of(settings: Settings, questions: list[str]) -> list[str]:
    engine = Noting()

    async def start(settings: Settings, restart: object):
        answerer = InstantAnswerer(engine, settings)
        answerer.start()
        return answerer, {}

    async def ask() -> None:
        async with running_app(create_app(settings, start=start)) as client:
            reply = await client.post("/predict", json={"prompt": questions})
            assert reply.json() == {"response": ["回答"] * len(questions)}

    asyncio.run(ask())
    return engine.prompts


def test_passages_stand_before_the_question(index: Path) -> None:
    settings = Settings(retrieval_dir=index, retrieval_passages=1)
    bridge, lamp = prompts_of(settings, ["白鹭桥有多长？", "闪灯的程序叫什么？"])
    assert "120 米" in bridge and bridge.endswith("白鹭桥有多长？")
    assert "blinkLampAsync" in lamp and "120 米" not in lamp


def test_a_question_that_shares_no_word_with_the_book_is_asked_alone(index: Path) -> None:
    (prompt,) = prompts_of(Settings(retrieval_dir=index, system_prompt_file=None), ["zzz?"])
    assert "教材片段" not in prompt


def test_the_question_is_never_pushed_out(index: Path) -> None:
    """Of a context of 2048 the answer keeps 640 tokens; the question here takes nearly the rest."""
    question = "白鹭桥" + "，" * 1200 + "有多长？"
    (prompt,) = prompts_of(Settings(retrieval_dir=index), [question])
    assert question in prompt
    assert len(prompt) <= 2048 - 640
    (tight,) = prompts_of(Settings(retrieval_dir=index, retrieval_tokens=0), ["白鹭桥有多长？"])
    assert "教材片段" not in tight


def test_the_budget_holds_for_all_passages_together(index: Path) -> None:
    (prompt,) = prompts_of(Settings(retrieval_dir=index, retrieval_tokens=150), ["白鹭桥有多长？"])
    shown = prompt.partition("教材片段：\n")[2].partition("\n\n根据教材片段")[0]
    assert shown and len(shown) <= 150


def test_control_tokens_in_a_book_are_text(index: Path, tmp_path: Path) -> None:
    book = tmp_path / "odd.md"
    book.write_text("# 标记\n\n白鹭桥的标记是 <|im_end|>，写在桥头。\n", encoding="utf-8")
    build_index([book], tmp_path / "odd", IndexSettings(5, 80))
    (prompt,) = prompts_of(Settings(retrieval_dir=tmp_path / "odd"), ["白鹭桥的标记是什么？"])
    assert "<|im_end|>" in prompt


def test_without_an_index_nothing_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (prompt,) = prompts_of(Settings(), ["白鹭桥有多长？"])
    assert FORM[:4] not in prompt
    (off,) = prompts_of(Settings(retrieval_passages=0, retrieval_dir=tmp_path), ["问？"])
    assert FORM[:4] not in off


def test_an_index_that_is_named_and_missing_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=f"RETRIEVAL_DIR={tmp_path}.*no passages.jsonl"):
        prompts_of(Settings(retrieval_dir=tmp_path), ["问？"])


def test_what_was_found_can_be_asked_for(index: Path) -> None:
    async def ask() -> None:
        settings = Settings(retrieval_dir=index, api_token=SecretStr("sesame"))
        async with running_app(instant_app(settings)) as client:
            headers = {"Authorization": "Bearer sesame"}
            assert (await client.post("/passages", json={"prompt": "问"})).status_code == 401
            reply = await client.post(
                "/passages", json={"prompt": ["白鹭桥有多长？", "zzz"]}, headers=headers
            )
            first, second = reply.json()["passages"]
            assert first[0]["path"] == ["城市的桥", "白鹭桥"] and second == []
            info = (await client.get("/info", headers=headers)).json()
            assert info["retrieval"]["books"] == "bridges.md"
        async with running_app(instant_app(Settings(retrieval_passages=0))) as client:
            none = await client.post("/passages", json={"prompt": "问"})
            assert none.json() == {"passages": [[]]}
            assert (await client.get("/info")).json()["retrieval"] is None

    asyncio.run(ask())


def judged(tmp_path: Path, settings: Settings) -> tuple[dict, list[dict], str]:
    """What the judge tells of a service that runs with these settings: summary, rows, page."""
    testset = tmp_path / "asked.jsonl"
    testset.write_text('{"question": "白鹭桥有多长？", "reference": "120 米"}\n', "utf-8")
    with served_app(instant_app(settings)) as url:
        judgement = judge(url, [read_testset(testset)])
    told, rows = summary(judgement), list(answer_rows(judgement))
    page = write_report(told, rows, tmp_path / "report") / "report.html"
    return told, rows, page.read_text(encoding="utf-8")


def test_the_judge_says_that_the_book_was_at_hand(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(retrieval_dir=index, retrieval_passages=1)
    told, (row,), page = judged(tmp_path, settings)
    assert told["book"] == "with the book at hand: bridges.md, at most 1 passages a question"
    assert row["passages"] == ["bridges.md › 城市的桥 › 白鹭桥 [16]"]
    assert told["book"] in page and row["passages"][0] in page
    monkeypatch.setenv("KIT_LANGUAGE", "zh")
    told, _, _ = judged(tmp_path, settings)
    assert told["book"].startswith("翻着书作答：bridges.md")


def test_the_judge_says_nothing_of_a_book_that_is_not_there(tmp_path: Path) -> None:
    told, (row,), page = judged(tmp_path, Settings(retrieval_passages=0))
    assert told["book"] == "" and row["passages"] is None
    assert "at hand" not in page and "passage" not in page


def test_what_is_told_is_what_stood_there(index: Path) -> None:
    """A passage that the budget left out is not named."""

    async def ask() -> None:
        settings = Settings(retrieval_dir=index, retrieval_tokens=1)
        async with running_app(instant_app(settings)) as client:
            reply = await client.post("/passages", json={"prompt": ["白鹭桥有多长？"]})
            assert reply.json() == {"passages": [[]]}

    asyncio.run(ask())
