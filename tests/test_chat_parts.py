"""The chat's parts that need no engine: who may come in, ratings, reviews, reports, follow-ups."""

import asyncio
import json
import os
import re
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chat.access import Access
from chat.asking import fitting_turns
from chat.catalogue import catalogue
from chat.command import gpu_share, server_command, server_environment
from chat.errors import LoadError
from chat.figures import Figures
from chat.gateway import _chunks
from chat.memory import Gpu
from chat.pairs_review import ReviewError, open_review, save_review
from chat.plain_text import CODE, CODE_END, shown, written
from chat.ratings import (
    Answer,
    Rating,
    RatingsError,
    agreement,
    in_order,
    read,
    save,
)
from chat.reports import Asked, Report, beside, find_reports, questions_of
from chat.settings import ChatSettings
from chat.verdict import verdict
from common.read_pairs import read_pairs
from tests.chat_server import write_adapter
from tests.model_dirs import write_model


def guarded(**settings: object) -> TestClient:
    app = FastAPI()

    @app.post("/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.get("/")
    async def home() -> str:
        return "in"

    app.add_middleware(Access, settings=ChatSettings(**settings))
    host = str(settings.get("host", "127.0.0.1"))
    return TestClient(app, base_url=f"http://{host}")


def test_another_address_needs_a_token() -> None:
    with pytest.raises(ValidationError, match="CHAT_TOKEN"):
        ChatSettings(host="0.0.0.0")
    assert ChatSettings(host="0.0.0.0", token="s").token == "s"


def test_a_folder_named_as_the_index_has_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no index .no passages.jsonl.: first bash run.sh"):
        ChatSettings(index=tmp_path)
    (tmp_path / "passages.jsonl").touch()
    assert ChatSettings(index=tmp_path).index == tmp_path
    assert ChatSettings(index=Path("index")).index == Path("index"), "may be empty"


def test_other_pages_and_other_names_are_refused() -> None:
    client = guarded()
    assert client.get("/").status_code == 200
    assert "default-src 'self'" in client.get("/").headers["content-security-policy"]
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert client.post("/echo", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.post("/echo", headers={"Origin": "http://127.0.0.1"}).status_code == 200


def test_the_token_is_asked_of_everybody() -> None:
    client = guarded(host="192.0.2.1", token="geheim")
    assert client.get("/").status_code == 401
    assert client.get("/", headers={"Authorization": "Bearer wrong"}).status_code == 401
    assert client.get("/", headers={"Authorization": "Bearer geheim"}).status_code == 200
    page = client.get("/", headers={"Accept": "text/html"})
    assert page.status_code == 401 and "<form" in page.text and "wrong" not in page.text
    assert "wrong token" in client.get("/?token=x", headers={"Accept": "text/html"}).text
    assert client.get("/?token=geheim").status_code == 200  # the cookie is set on the way
    assert client.get("/").status_code == 200


def test_what_is_sent_is_bounded() -> None:
    client = guarded(upload_mb=1)
    assert client.post("/echo", content=b"x" * 1000).json() == 1000
    assert client.post("/echo", content=b"x" * (2 << 20)).status_code == 413
    pieces = (b"x" * (1 << 19) for _ in range(4))  # without a length
    assert client.post("/echo", content=pieces).status_code == 413


def test_models_and_adapters_are_found_and_matched(tmp_path: Path) -> None:
    write_model(tmp_path / "model/base")
    write_model(tmp_path / "out/a/merged")
    write_model(tmp_path / "model/encoder", architectures=["XLMRobertaModel"])
    write_adapter(tmp_path / "out/a/adapter", tmp_path / "model/base", rank=4)
    (tmp_path / "out/broken").mkdir()
    (tmp_path / "out/broken/config.json").write_text("{")
    found = catalogue(tmp_path)
    assert sorted(found.models) == ["model/base", "out/a/merged"]
    (adapter,) = found.adapters.values()
    assert adapter.rank == 4
    assert adapter.fits(found.models["model/base"], tmp_path)
    assert not adapter.fits(found.models["out/a/merged"], tmp_path)
    assert len(found.problems) == 1 and "out/broken" in found.problems[0]


def rated(rater: str, number: int, *marks: int) -> Rating:
    answer = Answer("set", f"question {number}", "reference", f"answer\n{number},", "report|model")
    names = ("helpful", "relevant", "concise", "coherent")
    return Rating(rater, answer, dict(zip(names, marks, strict=True)))


def test_ratings_are_kept_resumed_and_the_latest_counts(tmp_path: Path) -> None:
    save(tmp_path, rated("甲", 1, 5, 4, 3, 2))
    save(tmp_path, rated("甲", 1, 1, 1, 1, 1))
    save(tmp_path, rated("甲", 2, 2, 2, 2, 2))
    first, second = read(tmp_path)
    assert first.marks["helpful"] == 1 and first.answer == rated("甲", 1, 1, 1, 1, 1).answer
    assert second.answer.question == "question 2"
    with pytest.raises(RatingsError, match="helpful: 6"):
        save(tmp_path, rated("甲", 3, 6, 1, 1, 1))
    with pytest.raises(RatingsError, match="name"):
        save(tmp_path, rated(" ", 3, 1, 1, 1, 1))


def test_each_rater_has_an_order_of_their_own_and_equal_answers_come_once() -> None:
    answers = [rated("", n, 1, 1, 1, 1).answer for n in range(30)]
    twice = [*answers, Answer("set", "question 1", "reference", "answer\n1,", "other|model")]
    one, again, other = (in_order(twice, name) for name in ("甲", "甲", "乙"))
    assert one == again and len(one) == 30
    assert [a.id for a in one] != [a.id for a in other]
    assert {a.source for a in one if a.question == "question 1"} == {"report|model;other|model"}


def test_agreement_is_cohens_kappa() -> None:
    same = [rated(rater, n, n % 5 + 1, 3, 1 + n % 2, 5) for rater in "ab" for n in range(10)]
    by_name = {row.criterion: row for row in agreement(same)}
    assert by_name["helpful"].kappa == pytest.approx(1) and by_name["helpful"].same == 1
    assert by_name["relevant"].kappa is None  # no variation: not defined
    against = [rated("a", n, 1 + 4 * (n % 2), 1, 1, 1) for n in range(10)]
    against += [rated("b", n, 5 - 4 * (n % 2), 1, 1, 1) for n in range(10)]
    assert agreement(against)[0].kappa == pytest.approx(-1)
    assert agreement([rated("a", 1, 1, 1, 1, 1)])[0].answers == 0


def test_separators_within_a_chunk_s_text_end_no_line(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d"
    row = {"question": "q", "answer": "a", "id": "i", "chunk": "c"}
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n", "utf-8")
    chunk = json.dumps({"id": "c", "text": text}, ensure_ascii=False)
    (tmp_path / "chunks.jsonl").write_text(f"{chunk}\n\n", "utf-8")
    assert [row.text for row in open_review(tmp_path).rows] == [text]


def test_a_review_is_saved_beside_and_reads_back(tmp_path: Path) -> None:
    build = tmp_path / "out/data"
    build.mkdir(parents=True)
    rows = [
        {"question": f"q{n}", "answer": f"a{n}", "id": f"i{n}", "kind": "x", "path": ["1"]}
        | {"chunk": "c", "rephrasings": [f"r{n}"]}
        for n in range(3)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (build / "train.jsonl").write_text(text)
    (build / "chunks.jsonl").write_text(json.dumps({"id": "c", "text": "the text"}) + "\n")
    review = open_review(build)
    assert [row.text for row in review.rows] == ["the text"] * 3
    review.rows[0] = review.rows[0].changed(True, "q0", "better")
    review.rows[1] = review.rows[1].changed(False, "q1", "a1")
    with pytest.raises(ReviewError, match="reject it"):
        review.rows[2].changed(True, "", "x")
    (path,) = save_review(review, "mine", tmp_path / "out/reviewed")
    kept = read_pairs(path).pairs
    assert [(p.question, p.answer) for p in kept] == [("q0", "better"), ("q2", "a2")]
    assert kept[0].rephrasings == ("r0",) and kept[1].extra["kind"] == "x"
    with pytest.raises(ReviewError, match="never overwritten"):
        save_review(review, "mine", tmp_path / "out/reviewed")
    with pytest.raises(ReviewError, match="no name"):
        save_review(review, "../up", tmp_path)
    assert (build / "train.jsonl").read_text() == text


class Ticking:
    """An engine's answer of 100 pieces, one a millisecond; a read gets what has come since."""

    content_type = "text/event-stream"

    def __init__(self) -> None:
        self.content, self._began, self._read = self, time.monotonic(), 0

    async def readany(self) -> bytes:
        while True:
            come = min(100, int(1000 * (time.monotonic() - self._began)))
            if come > self._read or come == 100:
                told, self._read = b"x" * (come - self._read), come
                return told
            await asyncio.sleep(0.0005)

    def close(self) -> None:
        pass


def test_pieces_of_many_streams_are_joined_and_none_of_one_waits() -> None:
    async def pieces(streams: int) -> list[bytes]:
        engine = SimpleNamespace(in_flight=streams)
        return [piece async for piece in _chunks(Ticking(), engine, ExitStack())]

    one, fifty = (asyncio.run(pieces(streams)) for streams in (1, 50))
    assert len(b"".join(one)) == len(b"".join(fifty)) == 100
    assert len(fifty) <= 10 < len(one)


@given(st.text(st.sampled_from('`c <&>/pre="\n甲')), st.booleans())
def test_a_text_comes_back_from_the_browser_as_it_was_written(text: str, code: bool) -> None:
    told = shown(text, code)
    assert written(told) == text
    assert re.findall("<[^\u2060].*?>", told, re.DOTALL) == [CODE, CODE_END] * told.count(CODE)


def test_code_between_fences_is_set_as_code() -> None:
    text = "see\n```c\nf<<<1>>>();\n```\nand\n```\nx = 1"  # the second is still being written
    first, second = shown(text, code=True).split("and\n")
    assert first.startswith(f"see\n{CODE}```c") and first.endswith(f"```\n{CODE_END}")
    assert second == f"{CODE}```\nx = 1{CODE_END}"
    assert CODE not in shown(text)


def test_reports_and_comparisons_are_read_alike(tmp_path: Path) -> None:
    folder = tmp_path / "report/20260101-000000"
    folder.mkdir(parents=True)
    numbers = {"name": "set", "accuracy": 0.5, "ceiling": 1.0, "echo": 0.1, "speed": 9.0}
    numbers["stderr"] = 0.1
    told = {"created": "2026-01-01", "model": "m", "demo": False, "testsets": [numbers]}
    (folder / "summary.json").write_text(json.dumps(told))
    row = {"testset": "set", "section": "", "question": "q", "reference": "r", "answer": None}
    (folder / "answers.jsonl").write_text(json.dumps(row | {"score": 0.5}) + "\n")
    folder = tmp_path / "out/x/compare"
    folder.mkdir(parents=True)
    asked = {"testset": "set", "question": "q", "reference": "r"}
    asked |= {"answers": {"a": "1", "b": "2"}, "scores": {"a": 0, "b": 1}}
    results = [{"model": name, "testset": "set", "score": 1} for name in "ab"]
    results[0] |= {"low": 0.25, "high": 0.75}
    comparison = {"models": ["a", "b"], "results": results, "questions": [asked]}
    (folder / "comparison.json").write_text(json.dumps(comparison))
    (tmp_path / "report/broken").mkdir()
    (tmp_path / "report/broken/summary.json").write_text("{}")
    reports, problems = find_reports(tmp_path)
    assert [report.models for report in reports] == [["a", "b"], ["m"]]
    assert [[row["margin"] for row in report.numbers] for report in reports] == [
        [0.25, None],
        [pytest.approx(0.196)],
    ]
    assert len(problems) == 1 and "broken" in problems[0]
    assert [questions_of(report)[0].answers for report in reports] == [
        {"a": "1", "b": "2"},
        {"m": ""},
    ]


def _report(folder: str, name: str, scores: list[float], **more: Any) -> tuple[Report, list[Asked]]:
    report = Report(folder, "", [name], [], False, Path(folder), **more)
    asked = [
        Asked("t", "", f"什么是 cuda{n}？", f"kernel {n}", {name: "x"}, {name: score})
        for n, score in enumerate(scores)
    ]
    return report, asked


def test_the_chosen_reports_are_told_in_words() -> None:
    said = {"zh": "准确率高。提交前检查：", "en": "high. Next:", "command": "bash run.sh preflight"}
    base, asked = _report("report/a", "base", [0.1] * 8, conclusion=said)
    zh, en = verdict([base], asked)
    assert zh == "准确率高。提交前检查：bash run.sh preflight" and en.endswith(
        "bash run.sh preflight"
    )
    tuned, better = _report("report/b", "tuned", [0.5] * 8, failures=["too slow"])
    zh, en = verdict([base, tuned], beside(asked, better, "report/b"))
    assert "低于比赛要求的 0.35" in zh and "高于比赛要求的 0.35" in zh
    assert "相比（8 题）：有提升，+0.400" in zh and "too slow" in zh
    assert "judging compare report/a report/b" in en and "better, +0.400" in en
    # Alike, too few, none in common, no reference.
    assert "看不出差别" in verdict([base, base], beside(asked, asked, "report/a"))[0]
    few = [each for each in asked if each.question < "什么是 cuda5"]
    assert "看不出差别" in verdict([base, tuned], beside(few, better, "report/b"))[0]
    _, others = _report("report/b", "tuned", [0.5])
    others = [replace(each, reference="another") for each in others]
    assert "没有共同的题" in verdict([base, tuned], beside(asked, others, "report/b"))[0]
    blank = [replace(each, reference=" ") for each in asked]
    assert "算不出分" in verdict([base], blank)[0]


def test_a_comparisons_models_are_told_in_words_and_twice_asked_counts_once() -> None:
    report, asked = _report("out/x/compare", "a", [0.2] * 6)
    asked = [replace(each, scores={"a": 0.2, "b": 0.9}) for each in asked]
    zh, _ = verdict([replace(report, models=["a", "b"])], asked * 2)
    assert "b 与 a 相比（6 题）：有提升" in zh and "判失败" not in zh


def test_the_oldest_turns_go_when_the_context_is_short() -> None:
    history = [(str(n) * 10, "x" * 10) for n in range(5)]
    assert fitting_turns(history, len, 1000, ["q"]) == history
    assert fitting_turns(history, len, 100, ["q"]) == history[-2:]
    assert fitting_turns(history, len, 5, ["q"]) == []


@pytest.mark.usefixtures("bm25s_installed")
def test_a_follow_up_is_searched_for_with_the_question_before_it(tmp_path: Path) -> None:
    from chat.book import Book, searched
    from retrieval.passages import Passage, write_passages
    from retrieval.search import SPARSE_DIR
    from retrieval.sparse import write_sparse_index

    texts = ["malloc 分配内存，返回指针。", "printf 写出文字，返回个数。", "青石塔建于 1837 年。"]
    passages = [
        Passage(str(i), "book", ("章",), i * 100, i * 100 + 50, text)
        for i, text in enumerate(texts)
    ]
    write_passages(tmp_path, passages)
    write_sparse_index((p.indexed_text for p in passages), tmp_path / SPARSE_DIR)
    book = Book(tmp_path, 1, 500)
    follow_up = "它返回什么？"
    for number, name in enumerate(("malloc", "printf")):
        (found,) = book.passages(follow_up, [("青石塔？", "1837"), (f"{name} 是什么？", "函数。")])
        assert found == passages[number]
    told = [("malloc 是什么？", "函数。"), (follow_up, "指针。")]
    assert book.passages("那失败时呢？", told) == [passages[0]]  # back over another follow-up
    assert book.passages("青石塔建于哪一年？", told) == [passages[2]]  # a subject of its own
    assert searched("printf 是什么？", told) == "printf 是什么？"
    own = "青石塔建于哪一年，它有什么用？"  # whose "it" is its own tower
    assert book.passages(own, [("malloc 返回的指针分配内存吗？", "是。")]) == [passages[2]]
    asked, shown = book.asked(follow_up, [found], len)
    assert "printf" in asked and asked.endswith(follow_up) and shown == [found]
    assert book.place(passages[1]).startswith("book › 章 · 40%")
    assert book.place(replace(passages[1], page=7)) == "book › 章 · p. 7"


def test_an_engine_takes_a_share_of_a_gpu_and_leaves_room_for_a_second(tmp_path: Path) -> None:
    write_model(tmp_path / "model/base")
    model = catalogue(tmp_path).models["model/base"]
    card = Gpu("H100", used=1 << 30, total=80 << 30, percent=0)
    command = server_command(model, ChatSettings(max_loras=2), rank=20, cards=[card])
    share = float(command[command.index("--gpu-memory-utilization") + 1])
    assert 0 < share < 0.45
    assert command[command.index("--max-lora-rank") + 1] == "32"
    assert command[command.index("--served-model-name") + 1] == "model/base"
    full = Gpu("H100", used=79 << 30, total=80 << 30, percent=0)
    with pytest.raises(LoadError, match="1.0 GiB are free.*unload another model first"):
        gpu_share(model, 2048, [full])


def test_an_engine_on_a_processor_has_no_worker_to_wait_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OMP_NUM_THREADS", "VLLM_ENABLE_V1_MULTIPROCESSING"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VLLM_API_KEY", "of somebody else")
    told = server_environment("secret", [])
    assert told["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0" and told["VLLM_API_KEY"] == "secret"
    assert 1 <= int(told["OMP_NUM_THREADS"]) <= max(1, len(os.sched_getaffinity(0)) - 1)
    card = Gpu("H100", used=0, total=80 << 30, percent=0)
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in server_environment("secret", [card])
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")
    assert server_environment("secret", [])["VLLM_ENABLE_V1_MULTIPROCESSING"] == "1"


def test_figures_are_read_while_new_ones_come() -> None:
    told, stop = Figures(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            told._record("model", {"vllm:num_requests_running": 1.0})

    writer = threading.Thread(target=write)
    writer.start()
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            assert told.latest().get("model") is None or told.latest()["model"].running == 1
    finally:
        stop.set()
        writer.join()
