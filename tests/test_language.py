"""What people read is Chinese unless they ask for English."""

import ast
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

import eval_local
from common.cli import make_app
from common.language import either
from common.pairs import spots
from common.row_talks import RowError
from data.__main__ import app as data
from data.filters import FILTERS
from data.labels import CHINESE as LABELS
from data.sources.prompts import load_prompts
from data.sources.rules.registry import RULES
from preflight import submissions
from preflight.__main__ import app as preflight
from tests import docx_files
from train.__main__ import app as train
from train.progress import log_line
from tune.__main__ import main as tune

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "sample"
CHINESE = re.compile("[\u4e00-\u9fff]")
TUNE = make_app()
TUNE.command()(tune)
# Commands that end at once or within a second or two: the end of a build, plans, errors.
COMMANDS = {
    "build": (data, "build {book} --out {tmp}/d --cache {tmp}/c --exclude {testset}"),
    "unused option": (data, "build {book} --out {tmp}/d --cache {tmp}/c --model m"),
    "estimate": (data, "build {book} --out {tmp}/d --cache {tmp}/c --dry-run"),
    "no book": (data, "build {tmp}/no.docx --out {tmp}/d"),
    "no leak": (data, "check-leak {rows} {testset}"),
    "leak": (data, "check-leak {testset} {testset} --show 0"),
    "no answers": (data, "check-leak {tmp}/config.json {testset}"),
    "nothing to show": (data, "show {tmp}"),
    "plan": (train, "plan {tmp}/config.json"),
    "no recipe": (train, "run {tmp}/no.yaml"),
    "bad recipe": (train, "run train/recipes/demo.yaml learning_rat=3 num_train_epochs=0"),
    "no base": (train, "merge train/recipes/demo.yaml model_name_or_path=x demo_base_steps=null"),
    "no export": (train, "upload {tmp} me/book"),
    "nothing listens": (eval_local.app, "--url http://127.0.0.1:9 {testset}"),
    "no test set": (eval_local.app, "{tmp}/no.docx"),
    "bad rows": (data, "check-leak {tmp}/bad.jsonl {testset}"),
    "bad table": (data, "check-leak {tmp}/bad.csv {testset}"),
    "odd rows": (data, "check-leak {tmp}/odd.jsonl {testset}"),
    "odd document": (data, "check-leak {tmp}/odd.docx {testset}"),
    "broken document": (eval_local.app, "{tmp}/broken.docx"),
    "broken book": (data, "build {tmp}/broken.pdf --out {tmp}/d --cache {tmp}/c"),
    "submissions": (submissions.app, "list"),
    "no model directory": (preflight, "--model-dir {tmp}/no"),
    "no dev": (TUNE, "--dev {tmp}/no.jsonl"),
}
ROOMS = ["train", "data", "preflight", "tune", "judging", "retrieval", "eval_local.py"]
# Nothing of ours to translate: frames, figures, names and paths.
NO_SENTENCE = re.compile(
    r"[\W\d_]*|\S+|(qlora|lora-8bit|lora|full|bf16|int8|awq|logits)\b.*|. GET / .*"
)


def users_files(folder: Path) -> None:
    """Files with something wrong in every way that a reader tells of."""
    bad = [
        {"question": "甲？"},
        {"messages": [{"role": "tool"}]},
        {"a": 1},
        {"question": 1, "answer": ""},
    ]
    bad += [{"messages": "x"}, {"question": "甲？", "answer": "乙", "history": [["a"]]}]
    odd = [
        {"question": "甲？", "answer": "乙\0", "context": "材料"},
        {"question": "甲？", "answer": ""},
    ]
    for name, rows in (("bad", bad), ("odd", odd)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, "utf-8")
    (folder / "bad.csv").write_text('question,answer\n甲？,"乙\n\n', "utf-8")
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 broken")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 broken")
    blocks = [
        "问题：甲？",
        "答案：乙。",
        "问题A：丙？",
        "答案A：丁。",
        "问题：戊？",
        "答案：己。",
        "问题：庚？",
    ]
    docx_files.write(folder / "odd.docx", *map(docx_files.p, blocks))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_line_of_a_command_is_chinese(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIT_LANGUAGE", "zh")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(ROOT)
    (tmp_path / "rows.jsonl").write_text('{"question": "甲在哪？", "answer": "在北。"}\n', "utf-8")
    (tmp_path / "config.json").write_text(
        '{"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 1024, '
        '"intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16, '
        '"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936}'
    )
    users_files(tmp_path)
    app, words = COMMANDS[name]
    places = {"tmp": tmp_path, "book": SAMPLE / "book.md", "rows": tmp_path / "rows.jsonl"}
    places["testset"] = SAMPLE / "testset_basic.docx"
    done = CliRunner().invoke(app, words.format(**places).split())
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    lines = [line.strip(" │┃") for line in done.output.splitlines()]
    assert any(CHINESE.search(line) for line in lines), done.output
    english = [x for x in lines if not CHINESE.search(x) and not NO_SENTENCE.fullmatch(x)]
    assert english == []


def files_of(room: str) -> list[Path]:
    return [ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py"))


def place(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{node.lineno}"


def english_only(text: str) -> bool:
    if text in ("bold red", "bold green"):  # a style
        return False
    return not CHINESE.search(text) and bool(re.search(r"[A-Za-z]{2,} [A-Za-z]{2,}", text))


def prints(tree: ast.AST) -> list[ast.Call]:
    """Calls that show a text to people."""
    names = {"print", "_say", "warn", "rule", "_note", "_complain", "_stop", "secho", "echo"}
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (getattr(node.func, "id", None) or getattr(node.func, "attr", "")) in names
    ]


def texts(node: ast.AST) -> list[str]:
    """The literal texts of an argument, but for those that `either` chooses from."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("either", "say"):
        return []
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    return [text for child in ast.iter_child_nodes(node) for text in texts(child)]


def seen(error: ast.Call) -> list[str]:
    """The literal texts of an error that readers of Chinese see: of two the first."""
    arguments = error.args[: 1 if len(error.args) == 2 else None]
    return [text for argument in arguments for text in texts(argument)]


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_printed_goes_through_either(room: str) -> None:
    for path in files_of(room):
        for call in prints(ast.parse(path.read_text("utf-8"))):
            for text in (text for argument in call.args for text in texts(argument)):
                text = text.removeprefix("bash run.sh ").partition(" --")[0]  # a command to copy
                assert not english_only(text), f"{place(path, call)}: {text!r} is English only"


@pytest.mark.parametrize("room", [*ROOMS, "chat", "common"])
def test_help_is_told_in_both_languages(room: str) -> None:
    for path in files_of(room):
        tree = ast.parse(path.read_text("utf-8"))
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            for keyword in (k for k in call.keywords if k.arg == "help"):
                for text in texts(keyword.value):
                    assert not re.search("[A-Za-z]{2,}", text), f"{place(path, call)}: {text!r}"
        for function in (node for node in tree.body if isinstance(node, ast.FunctionDef)):
            dressed = [ast.unparse(each) for each in function.decorator_list]
            if any(each.startswith(("app.command", "app.callback")) for each in dressed):
                assert any("in_chinese" in each for each in dressed), place(path, function)


# Who reads users' files, and so tells what is wrong with them. (common.model_files and what it
# imports ship in the image and are English, as the service's log.)
READERS = [
    *("common/row_*.py", "common/text_*.py", "common/read_pairs.py", "common/word/*.py"),
    *("common/archives.py", "data/books.py", "data/pdf/*.py", "data/limited.py", "data/review.py"),
]


@pytest.mark.parametrize("pattern", READERS)
def test_the_readers_give_their_reasons_in_both_languages(pattern: str) -> None:
    files = sorted(ROOT.glob(pattern))
    assert files
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = getattr(node, "func", None)
            called = getattr(named, "id", None) or getattr(named, "attr", "")
            if not (called.endswith("Error") or called == "Loss"):
                continue
            assert len(node.args) < 2 or called != "ValueError", f"{place(path, node)}: either()"
            for text in seen(node):
                assert not english_only(text), f"{place(path, node)}: {text!r} is English only"


OWN_CODE = {"ValueError", "TypeError", "ReplyError", "SplitLeakError", "IndexFileError"}


@pytest.mark.parametrize("room", ROOMS)
def test_the_errors_of_a_room_are_told_in_both_languages(room: str) -> None:
    """ValueError and its like speak to programmers, ReplyError is counted by its words, and the
    errors of an index are those of the service, which ships."""
    for path in files_of(room):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = getattr(getattr(node, "func", None), "id", "")
            assert called not in OWN_CODE or len(node.args) < 2, f"{place(path, node)}: either()"
            if called.endswith("Error") and called not in OWN_CODE:
                for text in seen(node):
                    assert not english_only(text), f"{place(path, node)}: {text!r} is English only"


@pytest.mark.parametrize("room", ["judging", "train", "tune"])
def test_the_words_of_charts_are_in_both_languages(room: str) -> None:
    setters = {"set_xlabel", "set_ylabel", "set_title"}
    for path in files_of(room):
        source = path.read_text("utf-8")
        if "matplotlib" not in source and "chart_words" not in source:
            continue
        for node in (n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)):
            given = [k.value for k in node.keywords if k.arg in ("label", "xlabel", "ylabel")]
            given += node.args if getattr(node.func, "attr", "") in setters else []
            for text in (text for argument in given for text in texts(argument)):
                plain = CHINESE.search(text) or not re.search("[A-Za-z]{3,}", text)
                assert plain or text == "nDCG@10", f"{place(path, node)}: {text!r}"


def test_all_that_a_report_counts_has_a_chinese_name() -> None:
    kinds = {kind for rule in RULES.values() for kind in rule.kinds} | set(
        [name for name, _ in load_prompts().kinds]
    )
    assert not (kinds | FILTERS.keys()) - LABELS.keys()


def test_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, said in (("zh", "是"), ("en", "yes"), (None, "是")):
        monkeypatch.delenv("KIT_LANGUAGE", raising=False)
        if value:
            monkeypatch.setenv("KIT_LANGUAGE", value)
        assert either("是", "yes") == said
        assert str(pickle.loads(pickle.dumps(RowError("是", "yes")))) == said
        assert str(RowError("x")) == "x"
    monkeypatch.setenv("KIT_LANGUAGE", "fr")
    command = [sys.executable, "-m", "data", "build", "no.md", "--out", "x"]
    done = subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True)
    assert done.returncode and done.stderr.strip() == "KIT_LANGUAGE='fr': zh or en"


def test_places_are_named_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_LANGUAGE", "zh")
    assert spots(["line 3, turn 2", "paragraph 7"]) == "第 3 行第 2 轮、第 7 段"


def test_training_tells_its_progress_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIT_LANGUAGE", "zh")
    step = {"loss": 1.25, "learning_rate": 2e-4, "grad_norm": 1.0, "epoch": 0.5}
    assert log_line(step, 10) == "第 10 步：损失 1.250，学习率 0.0002"
    seen = {"eval_loss": 0.5, "eval_judge": 0.31, "epoch": 2.0, "eval_runtime": 3.0}
    assert log_line(seen, 20) == "第 2 轮之后：验证损失 0.500，验证题得分 0.310"
    assert log_line({"train_runtime": 3.0}, 20) == ""


def test_help_is_shown_whole_on_a_narrow_terminal() -> None:
    told = "测试集：与它近似的问答去掉，不管它们从哪一本书、哪一个模型或哪一个文件里来；可以重复"
    app = make_app()

    @app.command()
    def main(exclude: Annotated[str, typer.Option(help=told)] = "") -> None:
        pass

    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "60"}).output
    assert told in "".join(shown.split())


@pytest.mark.parametrize("room", [*ROOMS, "chat", "common"])
def test_every_room_takes_its_command_line_from_one_place(room: str) -> None:
    for path in files_of(room):
        if path.name != "cli.py" or path.parent.name != "common":
            assert not re.search(r"typer\.(run|Typer)\(", path.read_text("utf-8")), path
