"""The page in a real browser, each tab clicked through; needs chromium."""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from common.service_process import ServiceProcess
from retrieval.passages import Passage, write_passages
from retrieval.search import SPARSE_DIR
from retrieval.sparse import write_sparse_index
from tests.chat_server import chat, load, make_root, needs_chat
from tests.conftest import TINY_PAIRS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    needs_chat,
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium"),
]
LIMIT_MS = 60_000
HOSTILE = '<img src="http://127.0.0.1:1/x.png" onerror="document.title=1">kernel<<<grid>>>'


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    pytest.importorskip("vllm")
    root = make_root(tmp_path_factory.mktemp("page"), tiny_model)
    _write_report(root / "report/20260101-000000")
    _write_build(root / "out/data")
    _write_index(root / "index")
    with chat(root, "--index", str(root / "index")) as service:
        load(service.url, "model/tiny")
        yield service


def _write_report(folder: Path) -> None:
    folder.mkdir(parents=True)
    numbers = {"name": "set", "accuracy": 0.5, "ceiling": 1.0, "echo": 0.1, "speed": 9.0}
    told = {"created": "2026-01-01", "model": "m", "demo": True, "testsets": [numbers]}
    (folder / "summary.json").write_text(json.dumps(told))
    rows = [
        {"testset": "set", "section": "", "question": question, "reference": answer}
        | {"answer": f"{answer}{HOSTILE} GPU", "score": number / 10}
        for number, (question, answer) in enumerate(TINY_PAIRS.items())
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _write_build(folder: Path) -> None:
    folder.mkdir(parents=True)
    rows = [
        {"question": q, "answer": a, "path": ["第一章"], "chunk": "c", "kind": "x"}
        for q, a in TINY_PAIRS.items()
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "chunks.jsonl").write_text(json.dumps({"id": "c", "text": "原文在此"}) + "\n")


def _write_index(folder: Path) -> None:
    folder.mkdir()
    passages = [Passage("1", "book", ("桥",), 0, 9, "白鹭桥长 120 米。")]
    write_passages(folder, passages)
    write_sparse_index((p.indexed_text for p in passages), folder / SPARSE_DIR)


@pytest.fixture
def page(server: ServiceProcess) -> Iterator:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1400, "height": 950})
        tab.set_default_timeout(LIMIT_MS)
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        yield tab
        title = tab.title()
        browser.close()
        outside = [u for u in asked if not u.startswith((server.url, "data:", "blob:"))]
        assert outside == [], "the page fetched something from outside"
        assert title in ("教材问答", "textbook QA"), "a script of a model's words ran"


def opened(page, server: ServiceProcess, tab: str, path: str = "/zh"):
    page.goto(server.url + path)
    page.get_by_role("tab", name=tab, exact=True).click()
    time.sleep(1)  # what the page fetches when it opens
    return page


def in_flight(server: ServiceProcess) -> int:
    told = httpx.get(f"{server.url}/chat/models").json()["models"]
    return sum(each.get("in_flight", 0) for each in told)


def until(what, limit: float = 60) -> None:
    end = time.monotonic() + limit
    while not what():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.2)


def chosen(page, label: str, option: str) -> None:
    page.get_by_label(label).locator("visible=true").first.click()
    page.get_by_role("option", name=option).first.click()
    page.keyboard.press("Escape")


def test_talk(page, server: ServiceProcess) -> None:
    opened(page, server, "对话")
    box = page.locator("#ask textarea")
    box.fill(f"白鹭桥有多长？{HOSTILE}")
    box.press("Enter")
    page.locator("[data-testid=bot]").first.wait_for()
    page.get_by_text("book › 桥").wait_for()  # the source beside the answer
    until(box.is_enabled)
    assert "kernel<<<grid>>>" in page.locator("[data-testid=user]").inner_text()
    until(lambda: "token/s" in _values(page))
    # Stopped in mid-answer: the engine is free again, and the next question is answered.
    box.fill("白鹭")
    box.press("Enter")
    until(lambda: in_flight(server) == 1)
    page.locator("#ask .stop-button").click()
    until(lambda: in_flight(server) == 0, 15)
    until(box.is_enabled)
    page.get_by_role("button", name="导出对话").click()
    page.get_by_text(".json").first.wait_for()


def test_compare_and_vote(page, server: ServiceProcess) -> None:
    opened(page, server, "对比")
    page.locator("#compare-models").get_by_text("out/tuned/adapter").wait_for()
    page.locator("#compare-question textarea").fill("白鹭桥有多长？")
    page.get_by_role("button", name="一起问").click()
    vote = page.get_by_role("button", name="投票")
    until(vote.is_enabled)
    page.get_by_role("radio", name="A", exact=True).click()
    vote.click()
    root = Path(server.log).parent
    until((root / "report/chat/votes.csv").is_file)
    assert "out/tuned/adapter" in (root / "report/chat/votes.csv").read_text("utf-8")


def test_ratings_are_resumed(page, server: ServiceProcess) -> None:
    saved = Path(server.log).parent / "report/chat/ratings.csv"
    for done in (0, 1):
        opened(page, server, "人工评分")
        page.get_by_label("评分人").first.fill("甲")
        chosen(page, "评哪些报告里的回答", "report/20260101")
        page.get_by_role("button", name="开始").click()
        until(lambda: f"已评 {done} / 6" in _values(page))  # noqa: B023
        for mark in page.get_by_role("radio", name="4", exact=True).all():
            mark.click()
        page.get_by_role("button", name="保存，下一个").click()
        until(lambda: f"已评 {done + 1} / 6" in _values(page))  # noqa: B023
    assert saved.read_text("utf-8").count("甲,set") == 2


def test_reports_question_by_question(page, server: ServiceProcess) -> None:
    opened(page, server, "报告")
    chosen(page, "看哪一份", "report/20260101")
    page.get_by_text("青石塔建于哪一年").first.click()
    page.get_by_text("红色：").wait_for()
    assert "GPU" in page.locator("mark.stray").all_inner_texts()[-1]
    assert "<img" in page.locator(".piece").last.inner_text()


def test_data_is_saved_as_a_new_file(page, server: ServiceProcess) -> None:
    opened(page, server, "数据")
    chosen(page, "data build 的输出", "out/data")
    page.get_by_text("原文在此").wait_for()
    page.get_by_role("checkbox").locator("visible=true").last.click()
    page.get_by_role("button", name="另存为新文件").click()
    saved = Path(server.log).parent / "out/reviewed/reviewed-train.jsonl"
    until(saved.is_file)
    assert len(saved.read_text("utf-8").splitlines()) == len(TINY_PAIRS) - 1


def test_status_and_english(page, server: ServiceProcess) -> None:
    opened(page, server, "状态")
    page.get_by_text("已加载").locator("visible=true").first.wait_for()
    page.get_by_text("GiB").locator("visible=true").first.wait_for()
    page.get_by_role("link", name="English").click()
    page.get_by_role("tab", name="compare").wait_for()


def _values(page) -> str:
    return "\n".join(page.locator("textarea, input").evaluate_all("es => es.map(e => e.value)"))
