"""The bench of several engines: its candidates, and another contestant's service as it is."""

import asyncio
import os
import sys
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.busy import busy_share, samples
from bench.candidates import Candidates
from bench.device_rates import seconds_of
from bench.engines import to_record
from bench.equal_tokens import every, floor_of, measure, named, rates_of, raw_memory
from bench.measured_engine import MeasuredAnswerer
from bench.natural_ends import ask_all, ends_in_a_loop, natural
from bench.workload import load_workload, shared
from common.pairs import Pair
from retrieval.build import IndexSettings, build_index
from serving.engine.base import Batch
from serving.settings import Settings
from tests.instant_engine import InstantAnswerer, InstantEngine
from tests.test_retrieval import BOOK

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
    pairs = [Pair("甲？", "use CUDA"), Pair("乙？", "use ROCm")]
    row, answers = ask_all(command, {}, pairs, 2, ["use CUDA", "use ROCm"])
    assert answers == ["use CUDA"] * 2 and row["same_as_the_first_candidates"] == 1
    assert row["engine"] == "False"  # modelscope stays off, whatever the file says
    assert row["score"] == 0.75 and row["characters"] == 16
    assert len(row["seconds"]) == 2 and row["same_answers_each_time"]


def test_the_services_that_are_asked(tmp_path: Path) -> None:
    peer = tmp_path / "winner" / "serve.py"
    both = every([1, 2], [])
    rows = list(natural(Path("m"), both, {"MAX_TOKENS": "9"}, peer, ["MAX_NEW_TOKENS=32"]))
    names = ["this service, 1 engine", "this service, 2 engines", "winner/serve.py"]
    assert [name for name, *_ in rows] == names
    assert rows[1][2]["ENGINES_PER_GPU"] == "2" and rows[1][2]["MAX_TOKENS"] == "9"
    # Neither a serve.env nor an index of the checkout: the others have none.
    assert rows[0][2]["RETRIEVAL_PASSAGES"] == "0" and rows[0][2]["SETTINGS_FILE"] == ""
    book = {"RETRIEVAL_DIR": "index", "RETRIEVAL_PASSAGES": "2"}
    assert list(natural(Path("m"), both, book, None, []))[0][2]["RETRIEVAL_PASSAGES"] == "2"
    assert rows[2][2]["MAX_NEW_TOKENS"] == "32" and rows[2][2]["FORCE_VLLM"] == "1"


def test_each_number_of_engines_with_each_value_of_what_varies() -> None:
    names = [named(settings) for settings in every([1, 2], ["DRAFT_TOKENS=0,4"])]
    assert names == [
        "this service, 1 engine, DRAFT_TOKENS=0",
        "this service, 1 engine, DRAFT_TOKENS=4",
        "this service, 2 engines, DRAFT_TOKENS=0",
        "this service, 2 engines, DRAFT_TOKENS=4",
    ]


def test_without_a_gpu_nothing_is_said_of_it(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert busy_share(lambda: None) == {}


def test_the_busy_share_is_that_of_the_calls_alone(monkeypatch, tmp_path: Path) -> None:
    """A stand-in for nvidia-smi: 10 % before the calls and in the second that reaches back."""
    (tmp_path / "nvidia-smi").write_text(
        f"#!{sys.executable}\n"
        "import time, datetime, os\n"
        "begin = datetime.datetime.now()\n"
        "while True:\n"
        "    now = datetime.datetime.now()\n"
        "    busy = 80 if (now - begin).total_seconds() > 0.9 else 10\n"
        "    print(now.strftime('%Y/%m/%d %H:%M:%S.%f')[:-3] + f', {busy}', flush=True)\n"
        "    time.sleep(0.05)\n"
    )
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    told = busy_share(lambda: time.sleep(0.1), seconds=2.0)
    assert told["busy_percent"] == 80.0 and told["busy_samples"] >= 5


def test_a_line_that_was_cut_is_no_sample() -> None:
    lines = ["2026/11/26 15:00:00.500, 40", "2026/11/26 15:00:01.500, 60", "2026/11/26 15:0", ""]
    begin, end = datetime(2026, 11, 26, 15, 0, 1), datetime(2026, 11, 26, 15, 0, 2)
    assert samples(lines, begin, end) == [60]


def test_an_answer_that_ends_in_a_loop() -> None:
    turn = "使用共享内存减少对全局内存的访问，合并访问，避免线程束分化，再提高占用率。\n"
    assert ends_in_a_loop("".join(f"{number}. {turn}" * 2 for number in range(9)))
    honest = "GPU 以线程束为单位执行指令，每个线程束有 32 个线程，它们同时执行同一条指令。"
    assert not ends_in_a_loop(turn + turn + honest)
    assert not ends_in_a_loop("短")


@pytest.fixture
def four_billion(tmp_path: Path, tiny_model: Path) -> Candidates:
    """A 4B's shape whose files are as large as its weights, without taking the room."""
    model = tmp_path / "shape"
    model.mkdir()
    for file in tiny_model.iterdir():
        if file.suffix != ".safetensors":
            (model / file.name).write_bytes(file.read_bytes())
    (model / "config.json").write_text(
        '{"model_type": "qwen3", "hidden_size": 2560, "num_hidden_layers": 36, "head_dim": 128,'
        ' "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 9728,'
        ' "vocab_size": 151936, "tie_word_embeddings": true}'
    )
    with (model / "model.safetensors").open("wb") as file:
        file.truncate(8_045_000_000)
    return Candidates(model, load_workload(None, 358, 192), [], 3, False, {})


def test_raw_vllm_stays_beside_as_long_as_there_is_room(
    four_billion: Candidates, monkeypatch
) -> None:
    import torch

    monkeypatch.setattr("bench.equal_tokens.on_cpu", lambda: False)
    properties = SimpleNamespace(total_memory=80 << 30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    memory = raw_memory(four_billion, 2)
    assert memory is not None
    # Weights, the whole workload's cache, and the rest that an engine needs.
    assert memory["kv_cache_memory_bytes"] > 147_456 * 358 * 192
    assert memory["gpu_memory_utilization"] * (80 << 30) > 8e9 + memory["kv_cache_memory_bytes"]
    assert raw_memory(four_billion, 4) is None


def test_the_floor_counts_the_bytes_of_the_files(four_billion: Candidates) -> None:
    h100 = rates_of("NVIDIA H100 80GB HBM3")
    told = floor_of(four_billion, h100)
    # 192 steps that read 8.045 GB at 3.0 TB/s, and a KV cache as large.
    assert 192 * 8.045 / 3000 < told["floor_seconds"] < 3 * 192 * 8.045 / 3000
    assert floor_of(four_billion, rates_of("cpu")) == {}
    # Passages of 800 tokens are read once where two questions have them in common.
    alone = ([860] * 358, [60] * 358)
    in_common = ([860] * 358, [860 - 1 if i % 2 else 60 for i in range(358)])
    seconds = [floor_of(four_billion, h100, each)["floor_seconds"] for each in (alone, in_common)]
    assert seconds[0] > seconds[1] > told["floor_seconds"]


def test_a_card_of_no_table_is_measured(four_billion: Candidates, monkeypatch) -> None:
    rates = '{"bytes_per_s": 1e12, "flops_per_s": 5e14}'
    said = SimpleNamespace(returncode=0, stdout=rates, stderr="")
    monkeypatch.setattr("bench.device_rates.subprocess.run", lambda *_, **__: said)
    monkeypatch.setattr("bench.equal_tokens.on_cpu", lambda: False)
    slow, fast = (
        floor_of(four_billion, rates_of(card)) for card in ("a card", "NVIDIA H100 80GB HBM3")
    )
    assert slow["floor_bytes_per_s"] == 1e12
    assert slow["floor_seconds"] == pytest.approx(3 * fast["floor_seconds"], rel=0.05)
    said.returncode = 1
    assert floor_of(four_billion, rates_of("a card")) == {}


def test_rates_are_seconds_of_one_of_many() -> None:
    assert seconds_of(lambda: time.sleep(0.002), lambda: None) == pytest.approx(0.002, rel=1.0)


def test_raw_vllm_reads_what_the_service_read(tmp_path: Path) -> None:
    """The same token ids, passages and worked examples included, where there is a book."""

    class Asked(InstantEngine):
        def submit(self, batch: Batch) -> None:
            asked.extend(batch.prompts)
            super().submit(batch)

    class Measured(MeasuredAnswerer, InstantAnswerer):
        pass

    (tmp_path / "bridges.md").write_text(BOOK, encoding="utf-8")
    build_index([tmp_path / "bridges.md"], tmp_path / "index", IndexSettings(20, 80))
    settings = Settings(
        retrieval_dir=tmp_path / "index", retrieval_passages=1, retrieval_examples=True
    )
    asked: list[list[int]] = []
    questions = ["白鹭桥有多长？", "闪灯的程序叫什么？"]
    answerer = Measured(Asked(), settings)
    answerer.start()
    asyncio.run(answerer.answer(questions, time.monotonic() + 60))
    assert answerer.prompts(questions) == asked and "120 米" in "".join(map(chr, asked[0]))
    assert all(count > 1000 for count in shared(asked)), "the examples, which the warm-up reads"
    answerer.stop()


def test_tokens_that_the_prefix_cache_may_know() -> None:
    system, passage = [1, 2, 3], [4, 5]
    prompts = [[*system, *passage, 7], [*system, 8, 9], [*system, *passage, 6]]
    assert sorted(shared(prompts)) == [3, 3, 5]  # the passage is computed once
    assert shared([system, system]) == [2, 2]  # the last token is always computed
    assert shared([system]) == [0]


def test_peers_without_the_book_are_not_asked_beside_it(monkeypatch, capsys) -> None:
    these = Candidates(Path("m"), load_workload(None, 2, 4), [], 1, False, {})
    monkeypatch.setattr("bench.equal_tokens.on_cpu", lambda: True)
    monkeypatch.setattr("bench.equal_tokens._together", lambda *_: {})
    monkeypatch.setattr("bench.equal_tokens.raw_memory", lambda *_: None)
    monkeypatch.setattr("bench.equal_tokens.measure_together", lambda jobs, _: [("", {})])
    alone = [name for name, _ in measure(these, every([1], []), True, "cpu")]
    assert alone == ["this service, 1 engine", "LLM.generate", "vllm serve"]
    assert "passages" not in capsys.readouterr().out
    rows = list(measure(these, every([1], ["RETRIEVAL_PASSAGES=0,2"]), True, "cpu"))
    assert [name for name, _ in rows] == [
        "this service, 1 engine, RETRIEVAL_PASSAGES=0",
        "this service, 1 engine, RETRIEVAL_PASSAGES=2",
    ]
    assert "without their passages" in capsys.readouterr().out


def test_the_record_names_no_folder_and_sums_the_prompts() -> None:
    row = {"prompt_tokens": [5, 6], "shared_tokens": [1, 2], "seconds": [1.0]}
    told = to_record(row | {"settings": {"RETRIEVAL_DIR": "/home/me/index"}})
    assert told["settings"] == {"RETRIEVAL_DIR": "index"}
    assert told["prompt_tokens"] == 11 and told["shared_tokens"] == 3
