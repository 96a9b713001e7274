"""runs/submit.sh: its steps with a run.sh that only notes its commands, and once for real."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from common.manifest import read_manifest
from tests.conftest import ROOT, free_port

STEPS = ["indexed", "pairs", "tuned", "capped", "judged", "exported", "preflighted"]
SAMPLE_SETS = "data/sample/testset_basic.docx data/sample/testset_bonus.docx"
# Notes what it was asked and for which model; fails where FAIL names the command.
STUB = """
echo "${MODEL_DIR:-}${MODEL_ID:-}|$*" >>asked
[[ -z "${FAIL:-}" || "$*" != $FAIL* ]] || exit "${CODE:-1}"
"""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A repository with the script, the sample, the recipes and a run.sh that notes."""
    for name in ("runs", "data/sample", "train/recipes"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "run.sh").write_text(STUB)
    (tmp_path / "models" / "mine").mkdir(parents=True)
    (tmp_path / "models" / "mine" / "config.json").write_text("{}")
    return tmp_path


def submit(room: Path, *options: str, **variables: str) -> tuple[int, str, list[str]]:
    """Exit code, what was said, and the commands that reached run.sh."""
    (room / "asked").write_text("")
    kept = {k: v for k, v in os.environ.items() if k not in ("MODEL_ID", "MODEL_DIR")}
    done = subprocess.run(
        ["bash", "runs/submit.sh", *options],
        cwd=room,
        env={**kept, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr, (room / "asked").read_text().splitlines()


def test_a_model_answers_the_train_questions_anew(room):
    (room / "书.docx").write_text("a book")
    (room / "teacher").mkdir()
    named = {"MODEL_DIR": "models/mine", "BOOK": "书.docx", "COMPOSE": "teacher"}
    code, said, _ = submit(room, **named)
    assert code == 2 and "teacher/config.json" in said
    (room / "teacher/config.json").write_text("{}")
    asked = submit(room, **named)[2]
    assert asked[1].startswith("|data build 书.docx --out out/submit/asked --with-passages")
    assert asked[2] == (
        "|data compose out/submit/asked --out out/submit/data --model teacher "
        "--index out/submit/index"
    )
    assert asked[1].endswith("--source vllm --model teacher --to-compose")
    assert "dataset_dir=out/submit/data" in asked[3] and "calibration_file" not in asked[3]
    code, said, asked = submit(room, **named, INDEX="no")
    assert code == 2 and "INDEX=yes" in said and not asked


def test_where_a_book_leaves_no_calibration_rows_train_rows_serve(room):
    data, done = room / "out/submit/data", room / "out/submit/done"
    data.mkdir(parents=True), done.mkdir()
    (data / "calibration.jsonl").write_text("")
    named = {"MODEL_DIR": "models/mine", "BOOK": "data/sample", "TESTSET": SAMPLE_SETS.split()[0]}
    asked = submit(room, **named)[2]
    trained = [command for command in asked if "|train" in command]
    assert len(trained) == 4 and all("calibration_file=null" in command for command in trained)
    done_before = submit(room, **named)
    assert "输入变了" not in done_before[1]


def test_on_a_gpu_the_base_asks_and_answers_before_it_is_trained(room):
    (room / "书.docx").write_text("a book")
    (room / "nvidia-smi").write_text("#!/bin/sh\necho GPU 0: some\n")
    (room / "nvidia-smi").chmod(0o755)
    gpu = {"PATH": f"{room}:{os.environ['PATH']}", "MODEL_ID": "Qwen/mine", "BOOK": "书.docx"}
    said = submit(room, "--dry-run", **gpu)[1]
    wanted = (
        "download_model.py Qwen/mine --out model/Qwen--mine",
        "--source vllm --model model/Qwen--mine --to-compose",
        "data compose out/submit/asked --out out/submit/data --model model/Qwen--mine",
        "model_name_or_path=model/Qwen--mine",
    )
    places = [said.index(words) for words in wanted]
    assert places == sorted(places)
    # Another model of the same name is another run, and goes elsewhere.
    said = submit(room, "--dry-run", **{**gpu, "MODEL_ID": "me/mine"})[1]
    assert "--model model/me--mine --to-compose" in said
    said = submit(room, "--dry-run", **gpu, COMPOSE="no")[1]
    assert "compose" not in said and "model_name_or_path=Qwen/mine" in said


def test_a_dry_run_without_a_gpu_says_how_to_see_a_gpus_commands(room):
    (room / "书.docx").write_text("a book")
    (room / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (room / "nvidia-smi").chmod(0o755)
    laptop = {"PATH": f"{room}:{os.environ['PATH']}", "MODEL_ID": "Qwen/mine", "BOOK": "书.docx"}
    said = submit(room, "--dry-run", **laptop)[1]
    assert "COMPOSE=Qwen/mine" in said and "--rules all" in said
    told = submit(room, "--dry-run", **laptop, COMPOSE="Qwen/mine")[1]
    assert "data compose" in told and "没有 GPU" not in told
    (room / "nvidia-smi").write_text("#!/bin/sh\necho GPU 0: some\n")
    assert submit(room, "--dry-run", **laptop)[1] == told


def test_the_model_that_answers_may_lie_in_a_folder_with_a_blank(room):
    (room / "书.docx").write_text("a book")
    (room / "my teacher").mkdir()
    (room / "my teacher/config.json").write_text("{}")
    stub = 'for word; do echo "<$word>" >>words; done\n' + STUB
    (room / "run.sh").write_text(stub)
    named = {"MODEL_DIR": "models/mine", "BOOK": "书.docx", "COMPOSE": "my teacher"}
    code, said, _ = submit(room, **named)
    assert code == 0, said
    assert (room / "words").read_text().count("<my teacher>") == 2  # it asks, and it answers


def test_the_sample_goes_through_all_steps_and_says_what_is_next(room):
    code, said, asked = submit(room)
    assert code == 0, said
    assert [line.split(" train/recipes")[0] for line in asked] == [
        "|data build data/sample/book.md --out out/submit/data --source none --merge "
        "data/sample/pairs.jsonl --wordings 1 --dev 0 --calibration 0 --demo",
        "|train lora",
        "|train merge",
        f"out/submit/model/merged|{SAMPLE_SETS}",
        "|train quantize",
        "|train check",
        f"|preflight --model-dir out/submit/model/awq-gemm {SAMPLE_SETS}",
    ]
    assert "demo.yaml model_name_or_path=out/submit/base dataset_dir=out/submit/data" in asked[1]
    assert [said.index(f"[{i}/7] {name}") for i, name in enumerate(STEPS, 1)]
    ends = (
        "train upload out/submit/model/awq-gemm",
        "ARG MODEL_REVISION=",
        'git commit -am "Model"',
        f"{SAMPLE_SETS}      # 再查一次",
        "submissions add",
        "git push",
    )
    places = [said.index(words) for words in ends]
    assert places == sorted(places)
    assert "不要提交" in said[: places[0]]


def test_a_failed_step_is_named_and_is_where_it_goes_on(room):
    code, said, asked = submit(room, FAIL="train quantize", CODE="3")
    assert code == 3 and "train quantize" in asked[-1]
    assert "停在第 6 步" in said and "Stopped at step 6 (exit code 3)" in said
    code, said, asked = submit(room)
    assert code == 0 and said.count("skipped") == 5
    assert [line.split()[:2] for line in asked[:2]] == [["|train", "quantize"], ["|train", "check"]]
    assert submit(room)[2] == []


def test_an_export_that_lost_score_gives_way_to_the_merged_model(room):
    code, said, asked = submit(room, FAIL="train check", CODE="6")
    assert code == 0 and asked[-1].startswith("|preflight --model-dir out/submit/model/merged ")
    assert "awq-gemm lost too much score" in said
    assert said.count("out/submit/model/merged") >= 2 and "upload out/submit/model/merged" in said
    assert submit(room)[2] == [] and "upload out/submit/model/merged" in submit(room)[1]
    (room / "out/submit/done/exported").unlink()
    shown = submit(room, "--dry-run")[1]
    assert "preflight --model-dir" in shown
    kept = [(room / "out/submit" / name).is_file() for name in ("export", "done/preflighted")]
    assert all(kept), "a dry run changes nothing"
    asked = submit(room)[2]
    assert asked[-1].startswith("|preflight --model-dir out/submit/model/awq-gemm ")


def test_merged_can_be_asked_for_and_is_checked(room):
    asked = submit(room, FORMAT="merged")[2]
    assert not [line for line in asked if "train quantize" in line]
    assert "export_formats=[]" in asked[-2] and "train check" in asked[-2]
    assert asked[-1].startswith("|preflight --model-dir out/submit/model/merged ")


def test_what_preflight_finds_is_told_and_looked_at_again(room):
    code, said, asked = submit(room, FAIL="preflight")
    assert code == 1 and "preflight names what would fail" in said and "git push" in said
    code, said, asked = submit(room)
    assert code == 0 and len(asked) == 1 and "preflight" in asked[0]
    code, said, _ = submit(room, FAIL="preflight", CODE="2", OUT="other")
    assert code == 2 and "Stopped at step 7" in said


def test_other_inputs_begin_anew_and_a_step_done_again_redoes_what_follows(room):
    submit(room)
    (room / "out/submit/model").mkdir()  # a checkpoint in it must not be resumed by another run
    for name in ("sample/book.md", "sample/pairs.jsonl", "sample/testset_basic.docx"):
        with (room / "data" / name).open("a") as file:
            file.write("\n")
        assert len(submit(room, OUT=f"out/{name[-4:]}")[2]) == 7
    code, said, asked = submit(room)
    (aside,) = (room / "out").glob("submit.*")
    assert len(asked) == 7 and aside.name in said
    assert (aside / "model").is_dir() and not (room / "out/submit/model").exists()
    (room / "out/submit/done/judged").unlink()
    asked = submit(room)[2]
    assert len(asked) == 4 and asked[0].startswith("out/submit/model/merged|")


def test_a_real_book_keeps_test_questions_out_and_names_its_model(room):
    for name in ("我的 书.docx", "题 一.docx", "题二.docx"):
        (room / name).write_text(name)
    variables = {"BOOK": "我的 书.docx", "TESTSET": "题 一.docx:题二.docx", "OUT": "out/mine"}
    code, said, asked = submit(room, MODEL_ID="Qwen/Qwen3-4B", **variables)
    assert code == 0, said
    assert asked[0] == "|retrieval build 我的 书.docx --out out/mine/index"
    assert asked[1] == (
        "|data build 我的 书.docx --out out/mine/data --with-passages out/mine/index --dev 0.2 "
        "--exclude 题 一.docx --exclude 题二.docx --rules all"
    )
    assert "train/recipes/qwen3-4b-lora.yaml" in asked[2] and "dev_file" not in asked[2]
    assert "model_name_or_path=Qwen/Qwen3-4B" in asked[2] and asked[2].endswith("--resume")
    assert "retrieval_dir=out/mine/index" in asked[2], "judged with the book at hand"
    assert asked[3].endswith("--by-verdict"), "the tuned model only where it helped"
    assert asked[4] == (
        "out/mine/model/merged|tune --dev out/mine/data/dev.jsonl --only-length --out out/mine/tune"
        " --testset 题 一.docx --testset 题二.docx"
    )
    assert asked[5] == "out/mine/model/merged|题 一.docx 题二.docx"
    assert "cp -r out/mine/index/. index/" in said
    assert "不要提交" not in said
    fresh = {**variables, "OUT": "out/fresh", "MODEL_ID": "Qwen/Qwen3-4B"}
    shown = submit(room, "--dry-run", **fresh)[1]
    assert shown.count("--exclude '题 一.docx' --exclude 题二.docx") == 1, "to be pasted"
    assert shown.count("awq-gemm '题 一.docx' 题二.docx") == 2
    sample = submit(room, **{**variables, "TESTSET": "data/sample/testset_basic.docx"})[2]
    assert "--exclude data/sample/testset_basic.docx" in " ".join(sample)
    asked = submit(room, BOOK="我的 书.docx", OUT="out/toy", SOURCE="--source vllm --model m")[2]
    assert asked[0].endswith("--source vllm --model m")
    assert "train_file=train.jsonl" in asked[1] and "dev_file=null" in asked[1]
    asked = submit(
        room, MODEL_DIR="models/mine", BOOK="我的 书.docx", RECIPE="train/recipes/demo.yaml"
    )[2]
    assert "--exclude" not in asked[1]
    assert "demo.yaml" in asked[2] and "model_name_or_path=models/mine" in asked[2]
    assert asked[5] == "out/submit/model/merged|out/submit/data/testset.docx"
    plain = {"INDEX": "no", "TUNED": "always", "OUT": "out/plain"}
    asked = submit(room, MODEL_DIR="models/mine", BOOK="我的 书.docx", **plain)[2]
    assert "--with-passages" not in asked[0] and "retrieval_dir=null" in asked[1]
    assert "--by-verdict" not in asked[2]


def test_with_an_index_every_step_that_serves_has_the_book(room):
    (room / "run.sh").write_text(
        'echo "${RETRIEVAL_DIR:-none} ${RETRIEVAL_PASSAGES:-default}" >>asked\n'
    )
    (room / "书.md").write_text("书")
    found = submit(room, MODEL_DIR="models/mine", BOOK="书.md", OUT="out/mine")[2]
    assert set(found) == {"out/mine/index default"}
    assert set(submit(room)[2]) == {"none 0"}, "the toy was not taught to read passages"


def test_wrong_usage_starts_nothing(room):
    assert submit(room, TESTSET="nowhere.docx")[::2] == (2, [])
    code, said, asked = submit(room, "--help")
    assert code == 2 and "BOOK" in said and asked == []


def test_dry_run_shows_every_command_and_runs_none(room):
    code, said, asked = submit(room, "--dry-run")
    assert code == 0 and asked == [] and said.count("$ ") == 7
    assert not (room / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(
    not all((ROOT / name).is_dir() for name in (".venv", ".venv-train")),
    reason="run.sh and train/setup.sh have made no environments here",
)
def test_the_sample_book_becomes_a_checked_export(tmp_path):
    done = subprocess.run(
        ["bash", "runs/submit.sh"],
        cwd=ROOT,
        env={**os.environ, "OUT": str(tmp_path / "out"), "PORT": str(free_port())},
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    assert "0 would fail; " in said and "a demo model" in said
    export = read_manifest(tmp_path / "out" / "model" / "awq-gemm")
    assert export.demo and export.scores["dev_judge"] > 0.4


def test_what_is_given_wrong_is_told_before_the_first_step(room):
    (room / "书.docx").write_text("a book")
    for variables, word, told in (
        ({"BOOK": "书.docx", "MODEL_DIR": "models/yours"}, "", "models/yours/config.json"),
        ({"BOOK": "本.docx"}, "", "no such file: 本.docx"),
        ({}, "书.docx", "unknown: 书.docx; BOOK=…"),
    ):
        code, said, asked = submit(room, *filter(None, [word]), **variables)
        assert code == 2 and told in said and not asked
    assert "unknown" not in submit(room, "--help")[1]
