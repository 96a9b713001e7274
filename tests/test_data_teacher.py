import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.cache import Cache
from data.chunks import cut_chunks
from data.making import make_pairs
from data.sections import read_sections
from data.sources import SourceError
from data.sources.teacher import TeacherSettings, TeacherSource
from tests.data_teacher_server import (
    CUT_OFF,
    HANG_UP,
    NOT_JSON,
    REFUSE,
    STALL,
    TeacherServer,
    good_reply,
)

ROOT = Path(__file__).parents[1]
SECTIONS = 8


def book_text(sections: int = SECTIONS) -> str:
    """A book whose every section defines one thing of its own."""
    parts = ["# 总论"]
    for n in range(sections):
        body = f"主题{n}是第 {n} 号存储方式的名称，它把 {n + 100} 个数据块放在一起。"
        filler = f"编号 {n} 的说明文字只为凑足长度，并不重要，请忽略内容。" * 8
        parts.append(f"## 小节{n}\n\n{body}\n\n{filler}")
    return "\n\n".join(parts)


@pytest.fixture
def chunks():
    return list(cut_chunks("book.md", read_sections(book_text())))


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("TEACHER_KEY", "any")


def source(url: str, **changes) -> TeacherSource:
    settings = {"concurrency": 2, "timeout": 1.0, "retries": 2, "key_env": "TEACHER_KEY"}
    return TeacherSource(TeacherSettings(base_url=url, model="teacher", **settings | changes))


def ask(teacher: TeacherSource, chunks, cache: Cache) -> dict:
    return dict(make_pairs(chunks, teacher, cache))


def test_asks_once_per_chunk_with_a_schema_and_keeps_wordings(tmp_path, chunks):
    with TeacherServer(lambda n, body: good_reply(body)) as server:
        made = ask(source(server.url), chunks, Cache(tmp_path))
    assert len(made) == len(chunks) == len(server.requests)
    pair = next(iter(made.values()))[0]
    assert pair.question.startswith("什么是主题") and pair.wordings == (
        f"请解释{pair.question[3:-1]}。",
    )
    wanted = server.requests[0]["response_format"]
    assert wanted["type"] == "json_schema" and wanted["json_schema"]["strict"]


@pytest.mark.parametrize("fault", [429, 500, HANG_UP, STALL, NOT_JSON, "{broken", '{"pairs": 3}'])
def test_a_passing_fault_costs_nothing_but_time(tmp_path, chunks, fault):
    def script(n, body):
        return fault if n in (0, 3) else good_reply(body)

    with TeacherServer(script, stall=1.5) as server:
        teacher = source(server.url)
        made = ask(teacher, chunks, Cache(tmp_path))
    assert len(made) == len(chunks) and not teacher.notes


@pytest.mark.parametrize(
    ("fault", "word"), [(REFUSE, "refused"), (CUT_OFF, "cut off"), ("{", "broken JSON")]
)
def test_a_chunk_that_always_fails_is_named_and_the_rest_is_kept(tmp_path, chunks, fault, word):
    def script(n, body):
        return fault if "主题5是" in body["messages"][-1]["content"] else good_reply(body)

    cache = Cache(tmp_path)
    with TeacherServer(script) as server:
        teacher = source(server.url)
        made = ask(teacher, chunks, cache)
    assert len(made) == len(chunks) - 1
    assert word in teacher.notes[0] and "1 chunks" in teacher.notes[0]
    with TeacherServer(lambda n, body: good_reply(body)) as server:
        assert len(ask(source(server.url), chunks, cache)) == len(chunks)
    assert len(server.requests) == 1  # only the refused chunk was asked again


def test_dying_half_way_keeps_what_was_made_and_resumes(tmp_path, chunks):
    cache = Cache(tmp_path)
    with TeacherServer(lambda n, body: good_reply(body) if n < 3 else HANG_UP) as server:
        teacher = source(server.url, concurrency=1, retries=0)
        with pytest.raises(SourceError, match="stopped answering.*run the same command again"):
            ask(teacher, chunks, cache)
    with TeacherServer(lambda n, body: good_reply(body)) as server:
        made = ask(source(server.url), chunks, cache)
    assert len(made) == len(chunks) and len(server.requests) == len(chunks) - 3


def test_a_killed_run_pays_for_nothing_twice(tmp_path):
    """SIGKILL in the middle of a build; the second build asks only for what is missing."""
    book = tmp_path / "book.md"
    book.write_text(book_text(), encoding="utf-8")
    answered: list[str] = []

    def script(n, body):
        if n == 4:
            process.kill()
            process.wait()
            return HANG_UP
        answered.append(body["messages"][-1]["content"])
        return good_reply(body)

    with TeacherServer(script) as server:
        command = [
            *(sys.executable, "-m", "data", "build", str(book), "--out", str(tmp_path / "out")),
            *("--source", "teacher", "--base-url", server.url, "--model", "t"),
            *("--key-env", "TEACHER_KEY", "--concurrency", "1", "--cache", str(tmp_path / "c")),
        ]
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        process.wait(60)
    assert len(answered) == 4
    command[command.index(server.url)] = "{url}"
    with TeacherServer(lambda n, body: good_reply(body)) as server:
        command = [server.url if part == "{url}" else part for part in command]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        asked = [body["messages"][-1]["content"] for body in server.requests]
    assert not set(asked) & set(answered)
    rows = (tmp_path / "out" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert rows and json.loads(rows[0])["source"] == "teacher"


def build_command(book: Path, url: str, *more: str) -> list[str]:
    folder = book.parent
    return [
        *(sys.executable, "-m", "data", "build", str(book), "--out", str(folder / "out")),
        *("--source", "teacher", "--base-url", url, "--model", "t", "--key-env", "TEACHER_KEY"),
        *("--cache", str(folder / "cache"), *more),
    ]


@pytest.mark.parametrize("moment", [0, 3, SECTIONS - 1])
def test_ctrl_c_loses_no_reply_and_ends_with_130(tmp_path, moment):
    """A real SIGINT with two calls under way: both are waited for, kept, and not made again."""
    book = tmp_path / "book.md"
    book.write_text(book_text(), encoding="utf-8")

    def script(n, body):
        if n == moment:
            process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        return good_reply(body)

    with TeacherServer(script) as server:
        process = subprocess.Popen(
            build_command(book, server.url, "--concurrency", "2"),
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
            # Python leaves an ignored SIGINT ignored, as runners in the background pass it on.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        said = process.communicate(timeout=60)[1]
        first = [body["messages"][-1]["content"] for body in server.requests]
    assert process.returncode == 130, said
    assert "interrupted" in said and "Traceback" not in said
    assert len(first) <= moment + 3 and not (tmp_path / "out").exists()
    with TeacherServer(lambda n, body: good_reply(body)) as server:
        subprocess.run(build_command(book, server.url), cwd=ROOT, check=True, capture_output=True)
        second = [body["messages"][-1]["content"] for body in server.requests]
    assert len(first) + len(second) == SECTIONS == len({*first, *second})


def files_of(directory: Path) -> dict[str, bytes]:
    """What a build left, without the time and the seconds that its manifest notes."""
    found = {p.name: p.read_bytes() for p in directory.iterdir() if p.name != "manifest.json"}
    manifest = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    found["manifest.json"] = repr({**manifest, "created": "", "seconds": 0}).encode()
    return found


def build_killed_at(folder: Path, seconds: float) -> dict[str, bytes]:
    """A build that SIGKILL ends after so many seconds, then one that is left alone; its files."""
    book = folder / "book.md"
    book.write_text(book_text(), encoding="utf-8")
    sent = 0
    with TeacherServer(lambda n, body: time.sleep(0.1) or good_reply(body)) as server:
        command = build_command(book, server.url, "--concurrency", "2")
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        sent = len(server.requests)
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        # At most the two calls under way when it died are made again.
        assert len(server.requests) <= SECTIONS + 2, (sent, len(server.requests))
    assert sorted(p.name for p in folder.iterdir()) == ["book.md", "cache", "out"]
    return files_of(folder / "out")


@pytest.mark.slow
def test_killed_at_any_moment_the_next_run_makes_the_same_files(tmp_path):
    """Five moments; KILLS=20 for more, SEED for others."""
    dice = random.Random(int(os.environ.get("SEED", "0")))
    began = time.monotonic()
    (tmp_path / "whole").mkdir()
    whole = build_killed_at(tmp_path / "whole", 600)
    longest = time.monotonic() - began  # of two builds: some kills come too late, which is a case
    for number in range(int(os.environ.get("KILLS", "5"))):
        folder = tmp_path / str(number)
        folder.mkdir()
        seconds = dice.uniform(0.1, 0.6 * longest)
        assert build_killed_at(folder, seconds) == whole, f"killed after {seconds:.2f} s"


def test_budgets_stop_asking_and_the_next_run_goes_on(tmp_path, chunks):
    cache = Cache(tmp_path)
    with TeacherServer(lambda n, body: good_reply(body)) as server:
        teacher = source(server.url, concurrency=1, max_pairs=3)
        assert len(ask(teacher, chunks, cache)) == 3
        assert "budget" in teacher.notes[0] and len(server.requests) == 3
        teacher = source(server.url, concurrency=1, max_tokens=300)  # 150 a call
        assert len(ask(teacher, chunks, cache)) == 5 and len(server.requests) == 5


def test_never_more_calls_at_once_than_asked_for(tmp_path, chunks):
    import threading
    import time

    lock, now, most = threading.Lock(), [0], [0]

    def script(n, body):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        return good_reply(body)

    with TeacherServer(script) as server:
        ask(source(server.url, concurrency=3), chunks, Cache(tmp_path))
    assert most[0] == 3


def test_a_wrong_key_or_model_stops_at_once(tmp_path, chunks):
    with TeacherServer(lambda n, body: 401) as server, pytest.raises(SourceError, match="refuses"):
        ask(source(server.url, concurrency=1), chunks, Cache(tmp_path))
    assert len(server.requests) == 1


def test_missing_settings_are_named(monkeypatch, chunks, tmp_path):
    with pytest.raises(ValueError, match="--base-url and --model"):
        TeacherSettings()
    monkeypatch.setenv("TEACHER_KEY", "")
    with pytest.raises(SourceError, match="TEACHER_KEY"):
        ask(source("http://127.0.0.1:9/v1"), chunks, Cache(tmp_path))
