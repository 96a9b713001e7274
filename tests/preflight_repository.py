"""A submission in small for the tests of the preflight, and fixtures around it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.manifest import Manifest, write_manifest
from preflight.__main__ import app
from tests.model_dirs import write_model
from tests.shapes import QWEN3_4B

ROOT = Path(__file__).parents[1]
DEMO = Manifest(stage="demo", name="d", demo=True)
SERVICE = """
import json, os, time

assert os.path.exists(os.environ["MODEL_DIR"] + "/config.json"), "no model in MODEL_DIR"
time.sleep(float(os.environ.get("START_S", 0)))
EXTRA = {extra}

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({{"type": kind + ".complete"}})
            if kind == "lifespan.shutdown":
                return
    body = b""
    while scope["method"] == "POST":
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            break
    if scope["path"] == "/predict":
        prompt = json.loads(body)["prompt"]
        if isinstance(prompt, str):
            reply = {{"response": "CUDA " + prompt}}
        else:
            reply = {{"response": ["CUDA " + p for p in prompt] + ["more"] * EXTRA}}
    else:
        reply = {{"status": os.environ["SERVE_MODE"]}}
    data = json.dumps(reply).encode()
    headers = [(b"content-type", b"application/json")]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": data}})
"""


def git(directory, *words):
    names = ["-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", "-C", str(directory), *names, *words], check=True, capture_output=True)


class Repository:
    """A submission in small: the real Dockerfile and downloader, a service of thirty lines."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir()
        for name in ("Dockerfile", ".dockerignore", "requirements.txt", "download_model.py"):
            shutil.copy(ROOT / name, directory / name)
        shutil.copytree(ROOT / "common", directory / "common")
        for name in ("retrieval/__init__.py", "serving/__init__.py", "index/README.md"):
            (directory / name).parent.mkdir()
            (directory / name).write_text("")
        (directory / "serve.py").write_text(SERVICE.format(extra=0))
        git(directory, "init", "-q")
        self.commit()

    def change(self, name, old, new):
        path = self.directory / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        self.commit()

    def commit(self):
        git(self.directory, "add", "-A")
        git(self.directory, "commit", "-q", "-m", "x")


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "repository")


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model")


@pytest.fixture
def testset(tmp_path):
    rows = [{"question": f"问题{n}？", "answer": f"CUDA 问题{n}？"} for n in range(5)]
    path = tmp_path / "testset.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.fixture
def preflight(repository, tmp_path):
    """Runs the command; returns its exit code and its lines by "area: what"."""

    def call(*arguments, env=None):
        out = tmp_path / "preflight.json"
        command = ["--out", str(out), "--repository", str(repository.directory)]
        done = CliRunner().invoke(app, [*command, *map(str, arguments)], env=env)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        call.said = done.stdout + done.stderr
        if done.exit_code == 2:
            return 2, {}
        assert done.exit_code in (0, 1), done.stderr
        told = json.loads(out.read_text())
        assert told["passed"] == (done.exit_code == 0)
        call.warnings = told["warnings"]
        for line in told["lines"]:
            assert line["what"][:20] in done.stdout.replace("\n", " ") or line["why"], line
        return done.exit_code, {f"{line['area']}: {line['what']}": line for line in told["lines"]}

    return call


def failing(lines):
    return {name for name, line in lines.items() if line["state"] == "fail"}


def config(tmp_path, **changes):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**QWEN3_4B, **changes}))
    return path


def warning(lines):
    return {name for name, line in lines.items() if line["state"] == "warn"}


def mark_as_demo(model):
    write_manifest(model, Manifest(stage="quantize", name="m", parents=[DEMO]))


def online(hub):
    """The environment of a preflight that asks this hub, and no package index."""
    index = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}
    return {"MODELSCOPE_ENDPOINT": hub.endpoint, **index}
