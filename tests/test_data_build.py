"""The whole command: same input same bytes, every format, bad input, browsing."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from pydantic import BaseModel
from typer.testing import CliRunner

from common.manifest import directory_records, read_manifest
from common.pairs import PairsError
from common.read_pairs import read_pairs
from data.__main__ import app
from data.cache import Cache
from data.cli.options import with_options
from data.context import BuildContext
from data.formats import merged_pairs, row_of, write_testset
from data.making import make_pairs
from data.options import option
from data.reading import read_chunks
from data.records import Pair
from data.settings import BuildSettings
from data.sources.rules import RulesSettings, RulesSource

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "sample" / "book.md"


def run(*arguments: object, ok: bool = True) -> Result:
    """The command in this process; an exception that it does not tell as a message fails.

    Of the sample book the strict rules make too little to test a build with.
    """
    if "build" in arguments and not {"--source", "--rules"} & set(arguments):
        arguments += ("--rules", "wide")
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert (done.exit_code == 0) is ok, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The sample book, built once."""
    folder = tmp_path_factory.mktemp("built")
    run("build", SAMPLE, "--out", folder / "out", "--cache", folder / "cache")
    return folder / "out"


def rows(out: Path, name: str) -> list[dict]:
    """The rows of a split as written, each with its question and answer."""
    path = out / f"{name}.jsonl"
    pairs = read_pairs(path, allow_empty=True).pairs
    texts = path.read_text(encoding="utf-8").splitlines()
    return [
        {**json.loads(text), "question": pair.question, "answer": pair.answer}
        for text, pair in zip(texts, pairs, strict=True)
    ]


def said(path: Path) -> list[tuple[str, str]]:
    return [(pair.question, pair.answer) for pair in read_pairs(path).pairs]


def test_a_build_writes_chat_rows_with_their_place(built):
    train, dev, calibration = (rows(built, n) for n in ("train", "dev", "calibration"))
    assert len(train) >= 20 and len(dev) + len(calibration) >= 1
    text = SAMPLE.read_text(encoding="utf-8")
    for row in train + dev + calibration:
        assert [turn["role"] for turn in row["messages"]] == ["user", "assistant"]
        assert {"id", "group", "kind", "source", "book", "path", "span", "chunk"} <= row.keys()
        start, end = row["span"]
        assert row["path"][-1] in text and 0 <= start < end <= len(text)
    assert len({r["id"] for r in train}) == len(train)


def test_wordings_of_a_fact_stay_in_one_split_and_only_train_has_them(built):
    train, dev, calibration = (rows(built, n) for n in ("train", "dev", "calibration"))
    groups = [{r["group"] for r in part} for part in (train, dev, calibration)]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert len(train) > len(groups[0]) * 1.5
    assert len(dev) == len(groups[1]) and len(calibration) == len(groups[2])
    sections = [{tuple(r["path"]) for r in part} for part in (train, dev, calibration)]
    assert not sections[0] & (sections[1] | sections[2])


def test_the_test_set_reads_back_unchanged(built):
    wanted = [(r["question"], r["answer"]) for r in rows(built, "dev")]
    found = read_pairs(built / "testset.docx").pairs
    assert [(q.question, q.answer) for q in found] == wanted
    assert all(q.section for q in found)


def test_the_report_accounts_for_every_pair(built):
    report = json.loads((built / "report.json").read_text(encoding="utf-8"))
    steps = {step["name"]: step for step in report["funnel"]}
    lost = sum(steps["after cleaning"]["lost"].values())
    assert steps["pairs made"]["count"] - lost == steps["after cleaning"]["count"]
    kept = steps["after near-duplicates"]
    assert steps["after cleaning"]["count"] - sum(kept["lost"].values()) == kept["count"]
    assert sum(report["facts"].values()) == steps["after leaks"]["count"]
    covered = report["coverage"]
    assert covered["with_pairs"] + len(covered["without_pairs"]) == covered["sections"]
    assert report["data"]["ascii_terms_in_answers"]["per_100_chars"] > 0
    page = (built / "report.html").read_text(encoding="utf-8")
    assert report["samples"][0]["question"] in page and "No test set was excluded" in page


def test_the_manifest_names_book_settings_and_files(built):
    manifest = read_manifest(built)
    assert manifest.stage == "data" and manifest.inputs[0].path == "book.md"
    assert manifest.outputs == directory_records(built)
    assert manifest.settings["source"] == RulesSource(RulesSettings(rules="wide")).fingerprint


def test_the_same_build_again_changes_no_byte(tmp_path, built):
    again = tmp_path / "out"
    shutil.copytree(built, again)
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in again.iterdir()}
    cache = built.parent / "cache"
    assert "nothing changed" in run("build", SAMPLE, "--out", again, "--cache", cache).stdout
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in again.iterdir()} == before
    fresh = tmp_path / "fresh"
    run("build", SAMPLE, "--out", fresh, "--cache", tmp_path / "empty")
    assert directory_records(fresh) == directory_records(built)


def test_only_changed_chapters_are_made_again(tmp_path, monkeypatch):
    book = tmp_path / "book.md"
    text = SAMPLE.read_text(encoding="utf-8")
    cache, source = Cache(tmp_path / "cache"), RulesSource(RulesSettings(rules="wide"))
    asked: list[str] = []
    make = source.pairs
    monkeypatch.setattr(source, "pairs", lambda c: asked.extend(x.id for x in c) or make(c))

    def go(content: str) -> int:
        book.write_text(content, encoding="utf-8")
        asked.clear()
        chunks = read_chunks(book, BuildContext(source, BuildSettings(), cache))
        assert len(dict(make_pairs(chunks, source, cache))) == len(chunks)
        return len(asked)

    whole = go(text)
    assert whole > 20 and go(text) == 0
    # An insertion moves every later chunk; only the one it is in is new.
    assert 1 <= go(text.replace("串行程序按顺序", "我们从头说起。串行程序按顺序", 1)) <= 2


def test_an_excluded_test_set_leaves_no_near_duplicate(tmp_path, built):
    victim = rows(built, "train")[0]
    testset = tmp_path / "test.jsonl"
    testset.write_text(
        json.dumps({"question": f"请问{victim['question']}", "answer": victim["answer"]}), "utf-8"
    )
    out = tmp_path / "out"
    cache = built.parent / "cache"
    done = run("build", SAMPLE, "--out", out, "--cache", cache, "--exclude", testset)
    assert "test.jsonl: 1 pairs near it removed" in done.stdout
    left = [r["answer"] for name in ("train", "dev", "calibration") for r in rows(out, name)]
    assert victim["answer"] not in left
    leaks = json.loads((out / "report.json").read_text(encoding="utf-8"))["leaks"]
    assert leaks[0]["removed"] == 1 and leaks[0]["survivors"][0]["similarity"] < 0.85
    run("check-leak", out / "train.jsonl", testset)
    run("check-leak", built / "train.jsonl", testset, ok=False)


@pytest.mark.parametrize("shape", ["alpaca", "sharegpt", "query-response"])
def test_other_shapes_hold_the_same_pairs(tmp_path, built, shape):
    out = tmp_path / "out"
    run(
        "build",
        SAMPLE,
        "--out",
        out,
        "--cache",
        built.parent / "cache",
        "--format",
        shape,
        "--system",
    )
    assert said(out / "train.jsonl") == said(built / "train.jsonl")
    row = json.loads((out / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert row["system"] and row["id"]
    info = json.loads((out / "dataset_info.json").read_text(encoding="utf-8"))
    assert info["textbook_dev"]["file_name"] == "dev.jsonl"
    assert set(info["textbook_train"]["columns"].values()) <= row.keys()


def test_existing_pairs_are_merged_in(tmp_path, built):
    extra = tmp_path / "extra.docx"
    mine = [
        Pair(f"第{n}号仓库在哪里？", f"第{n}号仓库在{c}城北门外。", path=("第1章 仓库",))
        for n, c in enumerate("甲乙丙丁", 1)
    ]
    assert not write_testset(extra, mine)
    out = tmp_path / "out"
    run("build", SAMPLE, "--out", out, "--cache", built.parent / "cache", "--merge", extra)
    everything = [r for name in ("train", "dev", "calibration") for r in rows(out, name)]
    found = {r["answer"] for r in everything if r["source"] == "merged:extra.docx"}
    assert found == {pair.answer for pair in mine}
    again = merged_pairs(built / "train.jsonl")  # our own rows keep their place
    assert again[0].book == "book.md" and len(again[0].path) >= 2


def test_merged_pairs_find_their_section_by_its_heading(tmp_path):
    pairs = SAMPLE.with_name("pairs.jsonl")
    command = ["--merge", pairs, "--source", "none", "--dev", "0", "--calibration", "0"]
    run("build", SAMPLE, "--out", tmp_path / "out", "--cache", tmp_path / "cache", *command)
    wanted = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    made = rows(tmp_path / "out", "train")
    sections = {row["answer"]: row["section"] for row in wanted}
    assert len({row["group"] for row in made}) == len(wanted)
    for row in made:
        assert (
            row["book"] == "book.md" and row["path"][-1] == sections[row["messages"][-1]["content"]]
        )
    chunks = (tmp_path / "out" / "chunks.jsonl").read_text(encoding="utf-8").splitlines()
    assert {row["chunk"] for row in made} <= {json.loads(line)["id"] for line in chunks}


def test_other_wordings_of_merged_pairs_are_used(tmp_path):
    path = tmp_path / "pairs.jsonl"
    row = {
        "question": "甲仓在哪里？",
        "answer": "甲仓在北门外。",
        "rephrasings": ["甲仓位于何处？"],
    }
    path.write_text(json.dumps(row), encoding="utf-8")
    assert merged_pairs(path)[0].wordings == ("甲仓位于何处？",)


def test_brackets_in_a_message_are_shown(tmp_path):
    done = run(
        "build", tmp_path / "[red]x.md", "--out", tmp_path / "o", "--cache", tmp_path, ok=False
    )
    assert "[red]x.md: no such file" in done.stderr


def test_an_empty_notebook_in_a_folder_is_skipped_and_listed(tmp_path):
    (tmp_path / "books").mkdir()
    shutil.copy(SAMPLE, tmp_path / "books")
    empty = tmp_path / "books" / "a.ipynb"
    empty.write_text('{"cells": [], "nbformat": 4}', encoding="utf-8")
    arguments = ("--out", tmp_path / "out", "--cache", tmp_path / "cache")
    done = run("build", empty, *arguments, ok=False)
    assert "no text in it" in " ".join(done.stderr.split())
    assert "a.ipynb" in run("build", empty.parent, *arguments, "--dry-run").stderr
    done = run("build", empty.parent, *arguments)
    assert "skipped" in done.stderr and "a.ipynb" in done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["skipped"] == ["a.ipynb"] and report["books"] == ["book.md"]


def test_one_bad_book_stops_the_build_unless_told_otherwise(tmp_path):
    bad = tmp_path / "bad.pdf"
    bad.write_bytes(b"%PDF-1.4 broken")
    arguments = ("build", bad, SAMPLE, "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    done = run(*arguments, ok=False)
    assert "bad.pdf" in done.stderr and not (tmp_path / "out").exists()
    assert "Traceback" not in done.stderr
    done = run(*arguments, "--keep-going")
    assert "skipped" in done.stderr and "bad.pdf" in done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["skipped"] == ["bad.pdf"] and report["books"] == ["book.md"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--skip-rule", "nonsense"], "no cleaning rule nonsense"),
        (["--min-chars", "900", "--max-chars", "300"], "--min-chars"),
        (["--exclude", "missing.docx"], "missing.docx: no such file"),
        (["--source", "teacher"], "--base-url and --model"),
        (["--source", "vllm", "--model", "nowhere"], "--model DIR"),
        (["--tokenizer", "nowhere"], "tokenizer.json"),
    ],
)
def test_wrong_options_are_named_without_a_traceback(tmp_path, options, says):
    done = run(
        "build", SAMPLE, "--out", tmp_path / "o", "--cache", tmp_path / "c", *options, ok=False
    )
    assert says in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "o").exists()


TEACHER = ["--source", "teacher", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--per-chunk", "3"], ["--per-chunk changes nothing with --source rules"]),
        (
            ["--source", "none", "--ray", "local", "--key-env", "K"],
            [
                "--ray changes nothing with --source none, only with vllm",
                "--key-env changes nothing with --source none, only with teacher",
            ],
        ),
        ([*TEACHER, "--workers", "2"], ["--workers changes nothing with --source teacher"]),
        (
            ["--source", "vllm", "--model", "{model}", "--workers", "2", "--max-pairs", "9"],
            ["--workers changes nothing without --ray", "--max-pairs changes nothing"],
        ),
        ([*TEACHER, "--per-chunk", "3", "--max-pairs", "9", "--wordings", "1"], []),
        (["--wordings", "1", "--seed", "3", "--no-demo"], []),
    ],
)
def test_options_that_the_source_does_not_use_are_named(tmp_path, options, says):
    (tmp_path / "config.json").write_text("{}")
    options = [str(tmp_path) if option == "{model}" else option for option in options]
    done = run("build", SAMPLE, "--out", tmp_path / "o", "--cache", tmp_path, *options, "--dry-run")
    assert done.stderr.count("changes nothing") == len(says)
    for text in says:
        assert text in done.stderr


def test_models_that_disagree_on_an_option_are_refused():
    class Other(BaseModel):
        wordings: int = option(3, "每题另加几种问法", "more wordings per question")

    with pytest.raises(ValueError, match="Other.wordings differs"):
        with_options(BuildSettings, Other)


def test_a_test_set_to_compare_with_is_read_before_the_books(tmp_path):
    arguments = ("--cache", tmp_path / "c", "--compare", tmp_path / "no.docx")
    done = run("build", tmp_path / "no.md", "--out", tmp_path / "o", *arguments, ok=False)
    assert "no.docx: no such file" in done.stderr and "no.md" not in done.stderr


def test_a_book_without_a_single_pair_says_where_they_went(tmp_path):
    book = tmp_path / "b.md"
    book.write_text("# 诗\n\n床前明月光，疑是地上霜。\n", encoding="utf-8")
    done = run("build", book, "--out", tmp_path / "o", "--cache", tmp_path / "c", ok=False)
    assert "no pair is left" in done.stderr and "chunks" in done.stderr


def test_a_dry_run_estimates_and_writes_nothing(tmp_path, built, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "")
    done = run(
        *("build", SAMPLE, "--out", tmp_path / "out", "--cache", built.parent / "cache"),
        *(
            "--source",
            "teacher",
            "--base-url",
            "http://127.0.0.1:9/v1",
            "--model",
            "m",
            "--dry-run",
        ),
    )
    assert "calls" in done.stdout and "answer tokens" in done.stdout and "about" in done.stdout
    assert not (tmp_path / "out").exists()
    rules = run("build", SAMPLE, "--out", "x", "--cache", built.parent / "cache", "--dry-run")
    assert "0 new" in rules.stdout


def test_show_puts_pairs_next_to_their_text(built):
    row = next(r for r in rows(built, "train") if r["kind"] == "definition")
    done = run("show", built, "--section", row["path"][-1], "--limit", 0)
    flat = "".join(done.stdout.split())
    assert "".join(row["answer"].split()) in flat and "".join(row["path"][-1].split()) in flat
    assert "no pair under" in run("show", built, "--section", "没有这一节", ok=False).stderr


def test_stats_count_pairs_and_terms(built):
    found = json.loads(run("stats", built / "testset.docx").stdout)
    assert found["pairs"] == len(rows(built, "dev")) and found["answer_chars"]["max"] > 10


# --- formats


@pytest.mark.parametrize(
    "answer",
    [
        "一行。",
        "int main() {\n    return 0;\n}",
        "void f() {\n    a();\n\n    b();\n}",
        "问题：这一行像一个问题",
        "第2章 这一行像标题\n其实不是。",
        "末尾有空行\n\n",
    ],
)
def test_a_test_set_holds_an_answer_exactly_or_says_so(tmp_path, answer):
    pairs = [
        Pair("甲是什么？", "甲是甲。", path=("第1章 起",)),
        Pair("乙是什么？", answer, path=("二",)),
    ]
    lost = write_testset(tmp_path / "t.docx", pairs)
    back = said(tmp_path / "t.docx")
    assert back == [(p.question, p.answer) for p in pairs if p not in lost]
    first = (tmp_path / "t.docx").read_bytes()
    write_testset(tmp_path / "t.docx", pairs)
    assert (tmp_path / "t.docx").read_bytes() == first


def test_rows_of_every_shape_are_read(tmp_path):
    pair = Pair("甲？", "乙。")
    lines = [
        row_of(pair, s, system=True) for s in ("messages", "alpaca", "sharegpt", "query-response")
    ]
    lines.append({"question": "甲？", "answer": "乙。"})
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    assert said(path) == [("甲？", "乙。")] * 5
    path.write_text('{"question": "甲？", "answer": "乙。"}\n{"text": 1}\n', encoding="utf-8")
    with pytest.raises(PairsError, match="line 2"):
        read_pairs(path)
    with pytest.raises(ValueError, match="no format"):
        row_of(pair, "yaml")
