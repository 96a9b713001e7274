"""The bench of several engines: its candidates, and another contestant's service as it is."""

import sys
from pathlib import Path

from bench.engines import ask_all, busy_share, named, natural
from common.pairs import Pair

# As such services are: the environment is overwritten, types are looked up by the module's name.
THEIRS = """
import os
from fastapi import FastAPI
from pydantic import BaseModel
os.environ["VLLM_USE_MODELSCOPE"] = "True"
app = FastAPI()
class Asked(BaseModel):
    prompt: "str | list[str]"
@app.get("/")
def health(): return {"status": "batch"}
@app.get("/info")
def info(): return {"backend": os.environ["VLLM_USE_MODELSCOPE"]}
@app.post("/predict")
def predict(asked: Asked): return {"response": ["use CUDA" for _ in asked.prompt]}
"""


def test_another_contestants_service_is_asked_as_ours_is(tmp_path: Path) -> None:
    file = tmp_path / "serve.py"
    file.write_text(THEIRS)
    command = [sys.executable, "-m", "bench.peer", str(file), "--port", "{port}"]
    row = ask_all(command, {}, [Pair("甲？", "use CUDA"), Pair("乙？", "use ROCm")], runs=2)
    assert row["engine"] == "False"  # modelscope stays off, whatever the file says
    assert row["score"] == 0.75 and row["characters"] == 16
    assert len(row["seconds"]) == 2 and row["same_answers_each_time"]


def test_the_services_that_are_asked(tmp_path: Path) -> None:
    peer = tmp_path / "winner" / "serve.py"
    rows = list(natural(Path("m"), [1, 2], {"MAX_TOKENS": "9"}, peer, ["MAX_NEW_TOKENS=32"]))
    assert [name for name, *_ in rows] == [named(1), named(2), "winner/serve.py"]
    assert rows[1][2]["ENGINES_PER_GPU"] == "2" and rows[1][2]["MAX_TOKENS"] == "9"
    # Neither a serve.env nor an index of the checkout: the others have none.
    assert rows[0][2]["RETRIEVAL_PASSAGES"] == "0" and rows[0][2]["SETTINGS_FILE"] == ""
    book = {"RETRIEVAL_DIR": "index", "RETRIEVAL_PASSAGES": "2"}
    assert list(natural(Path("m"), [1], book, None, []))[0][2]["RETRIEVAL_PASSAGES"] == "2"
    assert rows[2][2]["MAX_NEW_TOKENS"] == "32" and rows[2][2]["FORCE_VLLM"] == "1"


def test_without_a_gpu_nothing_is_said_of_it(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with busy_share() as told:
        pass
    assert told == {}
