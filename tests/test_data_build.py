"""The whole command on the sample book: what it writes, that it writes the same again, browsing."""

import json
import shutil

from common.manifest import directory_records, read_manifest
from common.read_pairs import read_pairs
from data.cache import Cache
from data.context import BuildContext
from data.making import make_pairs
from data.reading import read_chunks
from data.settings import BuildSettings
from data.sources.rules import RulesSettings, RulesSource
from tests.data_commands import SAMPLE, rows, run


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
