"""The page in a real browser, each tab clicked through; needs chromium."""

import csv
import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chat.plain_text import written
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
    _write_build(root / "out/submit/data")  # as runs/submit.sh does
    _write_index(root / "index")
    shutil.copytree(root / "model/tiny", root / "out/second")
    options = ("--index", str(root / "index"), "--upload-mb", "2")
    with chat(root, *options, KIT_LANGUAGE="zh") as service:
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


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """The chat in a folder that holds nothing: no engine is started."""
    with chat(tmp_path_factory.mktemp("nothing"), KIT_LANGUAGE="zh") as service:
        yield service


@pytest.fixture
def page(request: pytest.FixtureRequest) -> Iterator:
    server = request.getfixturevalue("nothing" if "nothing" in request.fixturenames else "server")
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


def loaded(server: ServiceProcess) -> list[str]:
    return httpx.get(f"{server.url}/health").json()["loaded"]


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
    box, users = page.locator("#ask textarea"), page.locator("[data-testid=user]")
    page.get_by_label("翻书").locator("visible=true").check()  # a demo model is asked without
    box.fill(f"白鹭桥有多长？{HOSTILE}")
    box.press("Enter")
    page.locator("[data-testid=bot]").first.wait_for()
    page.get_by_text("book › 桥 · 0%").wait_for()  # the source beside the answer, and its place
    until(box.is_enabled)
    assert "kernel<<<grid>>>" in written(users.inner_text())
    until(lambda: "首字" in _values(page))
    # Stopped in mid-answer: the engine is free again, and the next question is answered.
    box.fill("白鹭")
    box.press("Enter")
    until(lambda: in_flight(server) == 1)
    page.locator("#ask .stop-button").click()
    until(lambda: in_flight(server) == 0, 15)
    until(box.is_enabled)


def test_regenerate_edit_and_export(page, server: ServiceProcess) -> None:
    opened(page, server, "对话")
    box = page.locator("#ask textarea")
    bots, users = page.locator("[data-testid=bot]"), page.locator("[data-testid=user]")

    def answered() -> bool:
        before = bots.all_inner_texts()
        time.sleep(1)
        return in_flight(server) == 0 and before == bots.all_inner_texts() != []

    for number, question in enumerate((f"白鹭桥有多长？{HOSTILE}", "青石塔建于哪一年？"), 1):
        box.fill(question)
        box.press("Enter")
        until(lambda: bots.count() == number and answered())  # noqa: B023
    page.get_by_label("Retry").click()
    until(lambda: in_flight(server) == 1)
    until(answered)
    assert bots.count() == 2  # in the place of the first answer
    # What is edited looks as it was written; the talk goes on from there.
    page.get_by_label("Edit").first.click()
    editing = page.locator("#talk textarea")
    assert written(editing.input_value()) == f"白鹭桥有多长？{HOSTILE}"
    editing.fill("青石塔 <b>&lt;?")
    page.get_by_label("Submit").click()
    page.locator("#ask .stop-button").wait_for()
    until(lambda: users.count() == 1 and "青石塔 <b>&lt;?" in written(users.inner_text()))
    until(lambda: bots.count() == 1 and answered())
    page.locator("#ask .submit-button").wait_for()
    page.get_by_role("button", name="导出对话").click()
    with page.expect_download() as told:
        page.locator("a[download$='.json']").click()
    talk = json.loads(Path(told.value.path()).read_text("utf-8"))
    assert [m["role"] for m in talk["messages"]] == ["user", "assistant"]
    assert talk["model"] == "model/tiny" and talk["messages"][0]["content"] == "青石塔 <b>&lt;?"


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


def test_the_verdict_stands_over_the_questions(page, server: ServiceProcess) -> None:
    root = Path(server.log).parent
    better = root / "report/20260102-000000"
    shutil.copytree(root / "report/20260101-000000", better)
    rows = (better / "answers.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(row) | {"score": 0.9, "testset": "renamed"} for row in rows]
    (better / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    opened(page, server, "报告")
    chosen(page, "看哪一份", "report/20260101")
    until(lambda: "复述问题（" in _values(page) and "演示模型" in _values(page))
    chosen(page, "并排比较", "report/20260102")
    until(lambda: "相比（6 题）：有提升" in _values(page))
    chosen(page, "看哪一份", "report/20260102")
    until(lambda: "看不出差别" in _values(page))  # beside itself
    page.get_by_placeholder("筛选").fill("20260102 set")
    table = page.get_by_label("全部报告").locator("visible=true").first
    until(lambda: "20260101" not in table.inner_text() and "20260102" in table.inner_text())
    shutil.rmtree(better)


def test_an_empty_folder_says_what_to_do(page, nothing: ServiceProcess) -> None:
    opened(page, nothing, "对话")
    page.locator("#ask textarea").fill("什么是桥？")
    page.locator("#ask textarea").press("Enter")
    page.get_by_text("还没有模型：用 MODEL_DIR=").wait_for()
    for tab, what in (("人工评分", "可评"), ("报告", "报告："), ("数据", " data build 的输出")):
        page.get_by_role("tab", name=tab, exact=True).click()
        until(lambda: re.search(f"还没有.*{what}", _values(page)))  # noqa: B023


def test_data_is_saved_as_a_new_file(page, server: ServiceProcess) -> None:
    opened(page, server, "数据")
    chosen(page, "data build 的输出", "out/submit/data")
    page.get_by_text("原文在此").wait_for()
    page.get_by_role("checkbox").locator("visible=true").last.click()
    until(lambda: "不要 1" in _values(page))  # at once: another section would forget it
    page.get_by_role("button", name="另存为新文件").click()
    saved = Path(server.log).parent / "out/reviewed/reviewed-train.jsonl"
    until(saved.is_file)
    assert len(saved.read_text("utf-8").splitlines()) == len(TINY_PAIRS) - 1
    page.get_by_role("button", name="另存为新文件").click()
    page.get_by_text("旧文件从不覆盖").wait_for()


def test_uploads(page, server: ServiceProcess, tmp_path: Path) -> None:
    opened(page, server, "数据")

    def upload(name: str, content: str) -> None:
        (tmp_path / name).write_text(content, "utf-8")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="上传").click()
        chooser.value.set_files(tmp_path / name)

    upload("book.pdf", "%PDF")
    page.get_by_text("book.pdf：应是 .docx、.xlsx 或 .jsonl 文件").wait_for()
    upload("rows.jsonl", 20 * '{"question": "只有问题"}\n')
    page.get_by_text("rows.jsonl，第 1 行").wait_for()
    assert page.get_by_text("第 2 行").count() == 0
    upload("large.jsonl", "x" * (3 << 20))
    page.get_by_text("maximum allowed size of 2").wait_for()  # Gradio's own words
    upload("set.csv", "question,answer\n什么是桥？,过河的路。\n")
    until(lambda: "set.csv: 1 对" in _values(page))
    page.get_by_text("过河的路。").locator("visible=true").first.wait_for()


def test_models_come_and_go(page, server: ServiceProcess) -> None:
    opened(page, server, "状态")
    page.get_by_text("已加载").locator("visible=true").first.wait_for()
    page.get_by_text("GiB").locator("visible=true").first.wait_for()

    def press(name: str, button: str, told: str) -> None:
        chosen(page, "模型或 adapter", name)
        page.get_by_role("button", name=button, exact=True).click()
        until(lambda: f"{name} {told}" in _values(page), 400)

    press("out/tuned/adapter", "加载", "已加载")
    press("out/tuned/adapter", "卸载", "已卸载")
    page.get_by_role("button", name="卸载", exact=True).click()
    page.get_by_text("没有加载；").wait_for()
    press("out/second", "加载", "已加载")
    assert loaded(server) == ["model/tiny", "out/second"]
    page.reload()
    _compare_two(page, server)
    page.get_by_role("tab", name="状态", exact=True).click()
    press("out/second", "卸载", "已卸载")
    assert "进程内存" in _values(page) and "可用内存" in _values(page)
    assert loaded(server) == ["model/tiny"]


def _compare_two(page, server: ServiceProcess) -> None:
    """Both at once and blind: no name is seen before the vote, and the vote has both."""
    page.get_by_role("tab", name="对比", exact=True).click()
    page.locator("#compare-models").get_by_text("out/second").wait_for()
    page.locator("#compare-question textarea").fill("白鹭桥有多长？")
    page.get_by_role("button", name="一起问").click()
    vote = page.get_by_role("button", name="投票")
    until(vote.is_enabled)
    told = page.locator("#answers")
    assert told.get_by_text("A", exact=True).count() and "out/second" not in told.inner_text()
    page.get_by_role("radio", name="A", exact=True).click()
    vote.click()
    until(lambda: "B = " in _values(page))
    with (Path(server.log).parent / "report/chat/votes.csv").open(encoding="utf-8") as stream:
        row = list(csv.DictReader(stream))[-1]
    names = row["models"].split("\n===\n")
    assert sorted(names) == ["model/tiny", "out/second"] and row["winner"] == names[0]


def test_english(page, server: ServiceProcess) -> None:
    page.goto(f"{server.url}/zh")
    page.get_by_role("link", name="English").click()
    for name in ("compare", "rate", "reports", "data", "status"):
        page.get_by_role("tab", name=name, exact=True).click()
    page.get_by_role("button", name="switch to it").wait_for()
    told = page.locator("body").inner_text().replace("中文", "").replace("什么是线程块？", "")
    assert re.findall("[\u4e00-\u9fff]+", told) == []


def _values(page) -> str:
    return "\n".join(page.locator("textarea, input").evaluate_all("es => es.map(e => e.value)"))
