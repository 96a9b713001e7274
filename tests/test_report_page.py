"""The report's page in a real browser: search and filters; needs chromium."""

import shutil
from pathlib import Path

import pytest

from judging.html_report import render
from tests.test_report import judgement_of, result_of, told

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(not CHROMIUM, reason="no chromium: apt-get install chromium")
def test_questions_are_found_by_words_score_and_kind(tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api")
    pairs = [(f"CUDA warp {n}", f"CUDA warp {n}" if n % 2 else "不知道") for n in range(30)]
    summed, rows = told(judgement_of(result_of(pairs)))
    for number, row in enumerate(rows):
        row["question"] = "为什么？" if number < 10 else "有哪些？"
        row["section"] = "第一章" if number < 5 else "第二章 <b>"
    page_file = tmp_path / "report.html"
    page_file.write_text(render(summed, rows), "utf-8")
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(page_file.as_uri())

        def shown() -> int:
            return page.locator("details.item:not([hidden])").count()

        assert shown() == 30
        page.select_option("[name=score]", "0.5-1.1")
        assert shown() == 15 and "15 / 30" in page.inner_text("#shown")
        page.select_option("[name=kind]", "why")
        assert shown() == 5
        page.select_option("[name=section]", "第二章 <b>")
        assert shown() == 3  # questions 5, 7 and 9
        page.fill("[name=words]", "WARP 7")
        assert shown() == 1 and page.locator("details.item:not([hidden])").is_visible()
        page.fill("[name=words]", "warp 8")
        assert shown() == 0
        for name in ("score", "kind", "section"):
            page.select_option(f"[name={name}]", "")
        page.fill("[name=words]", "")
        assert shown() == 30 and problems == []
        browser.close()
