"""What is wrong in a build is told in a sentence: books, options, test sets, pairs."""

import json
import shutil

import pytest
from pydantic import BaseModel

from data.cli.options import with_options
from data.options import option
from data.output import more_pairs
from data.settings import BuildSettings
from tests.data_commands import SAMPLE, run

TESTSET = SAMPLE.with_name("testset_basic.docx")


def test_a_name_that_is_not_there_is_never_skipped(tmp_path):
    """As a book of `—exclude TESTSET` the test set would be read."""
    line = ["build", SAMPLE, "—exclude", TESTSET, "--out", tmp_path / "o", "--keep-going"]
    done = run(*line, ok=False)
    assert "—exclude: no such file; an option begins with --" in done.stderr
    assert "keep-going" not in done.stderr


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


def test_a_file_where_the_folder_should_be_is_named(tmp_path):
    (tmp_path / "mine.docx").write_text("kept")
    out = tmp_path / "mine.docx"
    done = run("build", SAMPLE, "--out", out, "--cache", tmp_path / "cache", ok=False)
    assert "a file; give a folder" in " ".join(done.stderr.split()) and out.read_text() == "kept"


@pytest.mark.parametrize("content", ["", "![](a.png)\n"])
def test_an_empty_page_in_a_folder_is_named_with_its_folder(tmp_path, content):
    folder = tmp_path / "books" / "part"
    folder.mkdir(parents=True)
    shutil.copy(SAMPLE, folder)
    (folder / "later.md").write_text(content, "utf-8")
    done = run("build", folder.parent, "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["skipped"] == ["later.md"]
    assert any(f"{folder / 'later.md'}: " in told for told in report["warnings"])
    assert "later.md" in done.stderr


def test_one_bad_book_stops_the_build_unless_told_otherwise(tmp_path):
    bad = tmp_path / "bad.pdf"
    bad.write_bytes(b"%PDF-1.4 broken")
    arguments = ("build", bad, SAMPLE, "--out", tmp_path / "out", "--cache", tmp_path / "cache")
    done = run(*arguments, ok=False)
    assert "bad.pdf" in done.stderr and not (tmp_path / "out").exists()
    assert "other 1: --keep-going" in " ".join(done.stderr.split())
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
        (["--source", "vllm"], "--source vllm: needs --model DIR"),
        (["--source", "vllm", "--model", "nowhere"], "--source vllm: --model nowhere: no model"),
        (["--review", "fluency"], "--review fluency: needs --model DIR"),
        (["--review", "teacher", "--model", "m"], "--review teacher: needs --base-url"),
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


def test_a_test_set_is_no_book(tmp_path):
    folder = tmp_path / "books"
    folder.mkdir()
    shutil.copyfile(SAMPLE, folder / "book.md")
    shutil.copyfile(TESTSET, folder / "renamed.docx")
    out = ["--out", tmp_path / "o", "--cache", tmp_path / "c"]
    for named in ("--exclude", "--like", "--compare"):
        done = run("build", folder, *out, named, TESTSET, ok=False)
        assert "renamed.docx is a test set and no book" in " ".join(done.stderr.split())
    # Where it is not named as one, it is told by how it is written.
    done = run("build", folder, *out)
    assert "renamed.docx: holds 48 labelled answers" in " ".join(done.stderr.split())
    assert "book.md: holds" not in done.stderr


@pytest.mark.parametrize(
    ("options", "hidden", "says"),
    [
        (["--rules", "strict"], 896, []),
        (["--rules", "strict"], 1536, []),
        (["--rules", "wide"], 896, ["here are other pairs,"]),
        (["--rules", "strict", "--merge", SAMPLE.with_name("pairs.jsonl")], 896, ["other pairs,"]),
        (["--rules", "strict"], 2560, ["here are another model,"]),
        ([], 2560, ["here are other pairs and another model,"]),
    ],
)
def test_a_threshold_used_beyond_what_it_was_measured_on_is_told(tmp_path, options, hidden, says):
    config = {"model_type": "qwen2", "hidden_size": hidden}
    (tmp_path / "config.json").write_text(json.dumps(config))
    options += ["--review", "fluency", "--model", tmp_path, "--dry-run"]
    done = run("build", SAMPLE, "--out", tmp_path / "o", "--cache", tmp_path / "c", *options)
    assert done.stderr.count("threshold") == len(says), done.stderr
    assert all(text in done.stderr for text in says)


def test_models_that_disagree_on_an_option_are_refused():
    class Other(BaseModel):
        wordings: int = option(3, "每题另加几种问法", "more wordings per question")

    with pytest.raises(ValueError, match="Other.wordings differs"):
        with_options(BuildSettings, Other)


def test_a_test_set_to_compare_with_is_read_before_the_books(tmp_path):
    arguments = ("--cache", tmp_path / "c", "--compare", tmp_path / "no.docx")
    (tmp_path / "empty.md").touch()
    done = run("build", tmp_path / "empty.md", "--out", tmp_path / "o", *arguments, ok=False)
    assert "no.docx: no such file" in done.stderr and "empty.md" not in done.stderr


def test_a_book_without_a_single_pair_says_where_they_went(tmp_path):
    book = tmp_path / "b.md"
    book.write_text("# 诗\n\n床前明月光，疑是地上霜。\n", encoding="utf-8")
    done = run("build", book, "--out", tmp_path / "o", "--cache", tmp_path / "c", ok=False)
    assert "no pair is left" in done.stderr and "chunks" in done.stderr
    assert "--rules all" in done.stderr and "--source vllm" in done.stderr


@pytest.mark.parametrize(
    ("source", "told", "untold"),
    [
        ("rules/26/strict", "--rules wide", "--rules all"),
        ("rules/26/wide", "--rules all", "--per-chunk"),
        ("rules/26/all", "--source vllm", "--rules"),
        ("none", "--source vllm", "--rules"),
        ("vllm/retold/x", "--per-chunk", "--rules"),
        ("teacher/x", "--per-chunk", "--source"),
    ],
)
def test_advice_for_more_pairs_fits_what_asked(source, told, untold):
    assert told in more_pairs(source) and untold not in more_pairs(source)
