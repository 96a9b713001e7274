"""`run.sh` as a person uses it: Ctrl-C leaves nothing running, a port in use is named."""

import contextlib
import os
import pty
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from common.ports import free_port
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="run.sh has made no .venv here"),
]


def run_in_a_terminal(variables: dict[str, str], until: str) -> tuple[int, str]:
    """Start `bash run.sh`, press Ctrl-C once `until` is on the screen; exit code and screen."""
    pid, terminal = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a runner in the background ignores it
        os.chdir(ROOT)
        os.execvpe("bash", ["bash", "run.sh"], {**os.environ, **variables})
    screen, pressed, code = "", False, None
    end = time.monotonic() + 120
    while code is None and time.monotonic() < end:
        with contextlib.suppress(OSError):  # the terminal closes with its last process
            screen += os.read(terminal, 65536).decode(errors="replace")
        if not pressed and until in screen:
            pressed = True
            time.sleep(1)
            os.write(terminal, b"\x03")
        done, status = os.waitpid(pid, os.WNOHANG)
        code = os.waitstatus_to_exitcode(status) if done else None
    assert code is not None, screen
    return code, screen


@pytest.mark.timeout(180)
@pytest.mark.parametrize("moment", ["service: starting", "judge:"])
def test_ctrl_c_leaves_nothing_running(tiny_model: Path, moment: str) -> None:
    port = str(free_port())
    code, screen = run_in_a_terminal({"PORT": port, "MODEL_DIR": str(tiny_model)}, moment)
    assert code == 130, screen
    left = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"]]
    assert not [line for line in left if port in line]


def test_term_ends_it_all_too(tiny_model: Path) -> None:
    port = str(free_port())
    variables = {**os.environ, "PORT": port, "MODEL_DIR": str(tiny_model)}
    with subprocess.Popen(
        ["bash", "run.sh"], cwd=ROOT, env=variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "service: starting" in line:
                break
        time.sleep(1)
        process.terminate()
        assert process.wait(30) == 143
    left = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"]]
    assert not [line for line in left if port in line]


def run_sh(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "run.sh", *words],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_service_that_does_not_start_shows_its_last_words(tiny_model: Path) -> None:
    port = str(free_port())
    done = run_sh(PORT=port, MODEL_DIR=str(tiny_model), MAX_TOKENS="many")
    assert done.returncode == 1
    assert "The service stopped while starting" in done.stderr
    assert "MAX_TOKENS" in done.stderr and "report/server.log" in done.stderr


def test_judging_where_nothing_listens_says_so_at_once() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    began = time.monotonic()
    done = run_sh("judge", url, "data/sample/testset_basic.docx")
    assert time.monotonic() - began < 60  # not the judge's 180 s
    assert done.returncode == 1
    assert f"nothing listens at {url}" in done.stderr


def test_errors_are_one_clear_line() -> None:
    for words in (["no-such-command"], ["judge", "http://127.0.0.1:1"]):
        done = run_sh(*words)
        assert done.returncode == 2
        (line,) = done.stderr.replace("\x1b[31m", "").replace("\x1b[0m", "").splitlines()
        assert not line.endswith("2") and "bash run.sh" in line
    for port in ("http", "0", "70000"):
        done = run_sh("serve", PORT=port)
        assert done.returncode == 2 and f"PORT={port}: a whole number" in done.stderr


def test_what_is_no_test_set_or_no_model_is_told_before_a_service_starts(tmp_path: Path) -> None:
    done = run_sh("data/sample/book.docx", MODEL_DIR="nowhere")
    assert done.returncode == 2 and "book.docx: no question with an answer" in done.stderr
    assert "starting" not in done.stdout
    testset = "data/sample/testset_basic.docx"
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "config.json").touch()
    for files, model, said in (
        ([], tmp_path / "no", "no such directory"),
        ([], tmp_path, f"Is it {tmp_path}/merged?"),
        (["adapter_config.json"], tmp_path, "is a LoRA adapter: first bash run.sh train merge"),
    ):
        for name in files:
            (tmp_path / name).touch()
        done = run_sh(testset, MODEL_DIR=str(model))
        assert done.returncode == 1 and said in done.stderr, done.stderr


def test_a_run_from_another_folder_says_where_paths_begin(tmp_path: Path) -> None:
    for folder, told in ((ROOT, False), (tmp_path, True)):
        done = subprocess.run(
            ["bash", ROOT / "run.sh", "x.docx"], cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 2
        assert (
            f"running in {ROOT}: relative paths of the command begin there" in done.stderr
        ) is told


def test_help_installs_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text((ROOT / "run.sh").read_text(encoding="utf-8"))
    install = (ROOT / "requirements" / "install.sh").read_text(encoding="utf-8")
    for name, text in {
        "requirements/install.sh": install + "\nprepare_environment() { :; }\n",
        "train/setup.sh": 'echo "setup $*" >>asked\n',
        ".venv/bin/python": "#!/bin/sh\n",
        ".venv-train/bin/python": "#!/bin/sh\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    asked = tmp_path / "asked"
    for words, extra in (
        ("train retriever r.yaml", "retrieval"),
        ("judging ability b t", "ability"),
    ):
        for more, wanted in (([], extra), (["--help"], "")):
            asked.write_text("")
            subprocess.run(["bash", "run.sh", *words.split(), *more], cwd=tmp_path, check=True)
            assert asked.read_text().replace("setup", "").strip() == wanted, (words, more)


def test_the_demo_model_is_served_without_whatever_lies_in_index(tmp_path: Path) -> None:
    """Passages confuse it; what one sets oneself stays."""
    script = (ROOT / "run.sh").read_text(encoding="utf-8")
    choose = script[script.index("choose_model() {") :].split("\n}\n")[0] + "\n}\n"
    demo = tmp_path / "model" / "demo"
    demo.mkdir(parents=True)
    for name in ("manifest.json", "config.json", "model.safetensors", "tokenizer.json"):
        (demo / name).write_text("{}")
    asked = f"source {ROOT}/requirements/install.sh; {choose} choose_model >/dev/null; "
    asked += 'echo "${RETRIEVAL_PASSAGES-unset}"'
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RETRIEVAL_", "MODEL_"))}

    def said(**variables: str) -> str:
        command = ["bash", "-euo", "pipefail", "-c", asked]
        done = subprocess.run(
            command, cwd=tmp_path, env={**kept, **variables}, capture_output=True, text=True
        )
        return done.stdout.strip() or done.stderr

    assert said() == "0" and said(MODEL_DIR="model/demo") == "0"
    assert said(RETRIEVAL_PASSAGES="3") == "3" and said(RETRIEVAL_DIR="mine") == "unset"
    assert said(MODEL_DIR=str(demo)) == "unset"  # any other directory is a model of one's own


@pytest.mark.parametrize(
    ("lacks", "said"), [("*.safetensors", "no weights"), ("tokenizer*", "no tokenizer")]
)
def test_half_a_model_is_told_before_anything_starts(
    tiny_model: Path, tmp_path: Path, lacks: str, said: str
) -> None:
    for file in tiny_model.iterdir():
        if not file.match(lacks):
            (tmp_path / file.name).symlink_to(file)
    done = run_sh(PORT=str(free_port()), MODEL_DIR=str(tmp_path))
    assert done.returncode == 1 and f"MODEL_DIR={tmp_path} has {said}" in done.stderr


def test_a_port_in_use_is_named_and_not_moved(tiny_model: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("0.0.0.0", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        done = run_sh(PORT=port, MODEL_DIR=str(tiny_model))
        before = run_sh("serve", PORT=port, MODEL_DIR="nowhere")
    assert done.returncode == 1
    assert f"Port {port} cannot be used" in done.stderr
    assert f"Port {port} cannot be used" in before.stderr, "before a model is made or fetched"
    assert f"pid {os.getpid()}" in done.stderr


@pytest.mark.timeout(300)
def test_a_model_of_ones_own_answers_the_samples_with_their_book_at_hand(tiny_model: Path) -> None:
    variables = {**os.environ, "PORT": str(free_port()), "MODEL_DIR": str(tiny_model)}
    done = subprocess.run(
        ["bash", "run.sh"],
        cwd=ROOT,
        env={**variables, "MAX_TOKENS": "16", "ENGINE": "transformers"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "with the book at hand: book.md, at most 2 passages a question" in done.stdout
