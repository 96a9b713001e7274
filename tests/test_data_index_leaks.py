"""`data check-leak INDEX TESTSET`: an index holds the book, and no test set."""

import json
from pathlib import Path
from shutil import copyfile

import pytest

pytest.importorskip("numpy")

from retrieval.build import IndexSettings, build_index  # noqa: E402
from tests.data_commands import SAMPLE, run  # noqa: E402

TESTS = [
    ("白鹭桥的桥面是用什么材料铺成的？", "白鹭桥的桥面用 granite_block 铺成，总共 1,200 块石料。"),
    ("青石塔的灯由哪个程序控制？", "青石塔的灯由 blinkLampAsync 控制，每 8 秒闪烁 2 次。"),
    ("北港的末班船几点离港？", "北港的末班船在 22:30 离港，一天一共开 16 个班次。"),
]
BOOK = """# 城市

## 桥

{text}

## 塔

青石塔高 45 米，塔顶的灯每 8 秒闪 2 次，夜里很远就能看见。
"""


def index_of(folder: Path, text: str) -> Path:
    (folder / "book.md").write_text(BOOK.format(text=text), encoding="utf-8")
    build_index([folder / "book.md"], folder / "index", IndexSettings(20, 300))
    return folder / "index"


@pytest.fixture
def testset(tmp_path: Path) -> Path:
    path = tmp_path / "tests.jsonl"
    rows = [{"question": q, "reference": a} for q, a in TESTS]
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), "utf-8")
    return path


def test_a_book_that_says_what_is_asked_is_no_leak(tmp_path: Path, testset: Path) -> None:
    text = (
        "白鹭桥横跨清水河，全长 120 米，建成已经快两百年。"
        + TESTS[0][1]
        + "每年有三十万人走过它，其中一半是游客。"
    )
    done = run("check-leak", index_of(tmp_path, text), testset)
    assert "0 of 2 passages" in done.stdout and "1 reference answers stand" in done.stdout


@pytest.mark.parametrize(
    "text",
    [
        "\n\n".join(f"问：{q}\n\n答：{a}" for q, a in TESTS),
        "練習：青石塔的燈由哪個程式控制？請寫出理由，並與前面幾章所講的各種塔的燈作一個比較。",
        f"练习：{TESTS[1][0]}请写出理由，并与前面几章所讲的各种塔的灯作一个比较。",
        "\n\n".join(a for _, a in TESTS),
    ],
    ids=["pairs", "in Traditional Chinese", "a question alone", "answers alone"],
)
def test_questions_and_bare_answers_are_leaks(tmp_path: Path, testset: Path, text: str) -> None:
    done = run("check-leak", index_of(tmp_path, text), testset, ok=False)
    assert done.exit_code == 1 and "1 of 2 passages" in done.stdout


def test_the_sample_book_is_told_from_its_test_sets(tmp_path: Path) -> None:
    """Their answers are often the book's own words."""
    build_index([SAMPLE], tmp_path / "index", IndexSettings())
    for name in ("basic", "bonus"):
        run("check-leak", tmp_path / "index", SAMPLE.parent / f"testset_{name}.docx")


def test_of_a_builds_folder_its_train_rows_are_looked_at(tmp_path: Path, testset: Path) -> None:
    copyfile(testset, tmp_path / "train.jsonl")
    done = run("check-leak", tmp_path, testset, ok=False)
    assert done.exit_code == 1 and "test questions are in train.jsonl" in done.stdout


def test_a_folder_without_an_index_is_named(tmp_path: Path, testset: Path) -> None:
    done = run("check-leak", tmp_path, testset, ok=False)
    assert "no passages.jsonl" in done.stderr
    done = run("build", SAMPLE, "--out", tmp_path / "o", "--with-passages", tmp_path, ok=False)
    assert "no passages.jsonl, so no index: first bash run.sh retrieval build" in done.stderr
