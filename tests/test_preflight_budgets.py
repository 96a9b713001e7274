"""The preflight's budgets: bytes, memory, time, and the book at hand."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from common.device_table import Device, device
from common.facts import PREDICT_LIMIT_S, measured
from common.model_shape import ShapeError
from common.pairs import Pair, PairFile
from common.roofline import floor_seconds
from judging.testset import read_testset
from preflight import budgets
from preflight.book import committed_book
from preflight.checkout import Checkout
from preflight.dockerfile_reader import Stage
from preflight.model import Model, ModelError, from_config, from_directory
from preflight.workloads import recorded_workloads, workload_of
from retrieval.build import IndexSettings, build_index
from retrieval.examples import OWN
from tests.preflight_repository import config

pytest_plugins = ["tests.preflight_repository"]


def test_qwen3_4b_by_its_config(tmp_path):
    bf16 = from_config(config(tmp_path), "bf16")
    assert bf16.weight_bytes == bf16.total_bytes == 2 * 4_022_468_096  # as published: 4.02 B
    awq = from_config(config(tmp_path), "awq")
    assert 0.3 < awq.weight_bytes / bf16.weight_bytes < 0.35


def test_predict_is_the_recorded_floor_times_what_vllm_took_over_it(tmp_path):
    bonus = recorded_workloads()[0]
    model = from_config(config(tmp_path), "bf16")
    batch, _ = budgets.predict_lines(model, device("h100"), bonus, serial=False)
    # bench/results/serve_h100.json: 3.54 s on the slower host, where the floor is 2.08 s.
    assert (batch.what, batch.state) == ("bonus, batch", "ok")
    assert float(batch.figure.removesuffix(" s")) == pytest.approx(3.54, rel=0.02)


def test_more_answers_at_once_never_take_longer(tmp_path):
    work = recorded_workloads()[0]
    model, target = from_config(config(tmp_path), "bf16"), device("metax-c500")
    lengths = (work.prompt_tokens, work.answer_tokens)
    times = [
        floor_seconds(model.shape, model.weight_bytes, *lengths, target, n)
        for n in (1, 16, 256, 358, 999)
    ]
    assert times == sorted(times, reverse=True)
    # One at a time: every answer token reads all weights once, and no fewer.
    assert times[0] > sum(work.answer_tokens) * model.weight_bytes / target.bytes_per_s


def test_draws_are_answers_more_whose_prompts_are_there(tmp_path):
    bonus, target = recorded_workloads()[0], device("h100")
    model = from_config(config(tmp_path), "bf16")

    def seconds(draws):
        lines = budgets.predict_lines(model, target, bonus, False, draws)
        return [float(line.figure.removesuffix(" s")) for line in lines], lines

    one, _ = seconds(1)
    four, _ = seconds(4)
    lines = list(budgets.run_lines(model, target, [bonus], 60.0, {"ANSWER_DRAWS": "4"}))
    batch = next(line for line in lines if line.what == "bonus, batch")
    assert float(batch.figure.removesuffix(" s")) == four[0]
    assert "each written 4 times" in batch.why
    assert 1.5 < four[0] / one[0] < 4  # the longest answers come once, and more run at once
    assert 1 <= four[1] / one[1] < 1.2  # one question at a time, its draws at once


BOOK = "# 桥\n\n## 白鹭桥\n\n白鹭桥横跨清水河，全长 120 米，由石匠陈默在 1837 年主持修建。\n"


def committed(tmp_path, **environment):
    """A checkout in whose image index/ holds BOOK, a line of which has 40 characters and more."""
    (tmp_path / "book.md").write_text(BOOK, encoding="utf-8")
    build_index([tmp_path / "book.md"], tmp_path / "image/app/index", IndexSettings(20, 80))
    return imaged(tmp_path, environment)


def imaged(tmp_path, environment):
    stage = Stage("image", workdir="/app")
    return Checkout(tmp_path, stage=stage, image=tmp_path / "image", environment=environment)


def test_passages_of_a_committed_index_are_counted_in_prompts_and_time(tmp_path):
    book, (line,) = committed_book(committed(tmp_path))
    assert line.state == "note" and "book.md" in line.why and "1 passages" in line.figure
    testset = PairFile(Path("t.docx"), [Pair("白鹭桥有多长？", "120 米"), Pair("zzz", "yyy")])
    work = book.added_to(workload_of(testset), testset)
    assert 40 < work.passage_tokens[0] < 100 and work.passage_tokens[1] == 0
    assert work.without_passages.prompt_tokens == workload_of(testset).prompt_tokens
    bonus = book.added_to(recorded_workloads()[0], None)
    assert len(set(bonus.passage_tokens)) == 1 and bonus.passage_tokens[0] > 40
    model = from_config(config(tmp_path), "bf16")
    longer = replace(bonus, prompt_tokens=[t + 900 for t in bonus.prompt_tokens],
                     passage_tokens=[t + 900 for t in bonus.passage_tokens])  # fmt: skip
    lines = [
        next(iter(budgets.predict_lines(model, device("h100"), each, serial=False)))
        for each in (bonus.without_passages, longer)
    ]
    assert "passages" not in lines[0].why
    assert "prompt tokens a question are passages, " in lines[1].why
    assert float(lines[1].figure.split()[0]) > float(lines[0].figure.split()[0])


def test_worked_examples_are_counted_in_prompts_and_cached(tmp_path):
    alone, _ = committed_book(committed(tmp_path))
    own = tmp_path / "image/app/retrieval/examples.jsonl"
    own.parent.mkdir()
    shutil.copy(OWN, own)
    book, (line,) = committed_book(imaged(tmp_path, {"RETRIEVAL_EXAMPLES": "1"}))
    assert "2 worked examples" in line.figure and book.examples == pytest.approx(
        448, rel=0.15
    )  # Qwen
    testset = PairFile(Path("t.docx"), [Pair("白鹭桥有多长？", "120 米"), Pair("zzz", "yyy")])
    plain, shown = (each.added_to(workload_of(testset), testset) for each in (alone, book))
    added = [b - a for a, b in zip(plain.prompt_tokens, shown.prompt_tokens, strict=True)]
    assert added == [book.examples] * 2 and shown.without_passages == plain.without_passages
    off = {"RETRIEVAL_EXAMPLES": "retrieval/examples.jsonl", "ENABLE_PREFIX_CACHING": "0"}
    unkept, _ = committed_book(imaged(tmp_path, off))
    model, bonus = from_config(config(tmp_path), "bf16"), recorded_workloads()[0]
    lines = [
        next(iter(budgets.predict_lines(model, device("h100"), each.added_to(bonus, None), False)))
        for each in (alone, book, unkept)
    ]
    seconds = [float(line.figure.split()[0]) for line in lines]
    assert seconds[0] < seconds[1] < seconds[2]
    assert f"({book.examples} of cached examples)" in lines[1].why


def test_examples_that_are_not_in_the_image_fail(tmp_path):
    committed(tmp_path)
    for asked, named in (("1", "retrieval/examples.jsonl"), ("mine.jsonl", "mine.jsonl")):
        book, (line,) = committed_book(imaged(tmp_path, {"RETRIEVAL_EXAMPLES": asked}))
        assert book is None and line.state == "fail" and named in line.why


@pytest.mark.parametrize("spelling", ["", "AUTO"])
def test_examples_are_read_as_the_service_reads_them(tmp_path, spelling):
    committed(tmp_path)
    book, (line,) = committed_book(imaged(tmp_path, {"RETRIEVAL_EXAMPLES": spelling}))
    assert book.passages == 2 and "auto: off, a model whose size is not known" in line.why


def test_an_index_that_the_service_would_not_start_with_fails(tmp_path):
    checkout = committed(tmp_path)
    (checkout.app / "index" / "passages.jsonl").write_text("{}\n", encoding="utf-8")
    book, (line,) = committed_book(checkout)
    assert book is None and line.state == "fail" and "line 1" in line.why
    missing = imaged(tmp_path, {"RETRIEVAL_DIR": "/app/nowhere"})
    assert committed_book(missing)[1][0].state == "fail"


def test_without_an_index_nothing_is_said_of_one(tmp_path):
    assert committed_book(imaged(tmp_path, {})) == (None, [])
    assert committed_book(committed(tmp_path, RETRIEVAL_PASSAGES="0")) == (None, [])


def test_a_device_too_slow_for_predict(tmp_path):
    slow = Device("slow", "slow", "cpu", 64e9, 20e9, None, 16, "made up")
    model = from_config(config(tmp_path), "bf16")
    lines = list(budgets.predict_lines(model, slow, recorded_workloads()[0], serial=False))
    told = [(line.what, line.state, line.limit) for line in lines]
    limit = f"{PREDICT_LIMIT_S:.0f} s"
    assert told == [("bonus, batch", "fail", limit), ("bonus, serial", "note", limit)]


def test_the_recorded_workloads_are_as_long_as_what_was_counted():
    bonus, basic = recorded_workloads()
    assert (bonus.questions, max(bonus.answer_tokens)) == (358, 526)
    assert sum(bonus.answer_tokens) == pytest.approx(44_303, rel=0.01)
    assert (basic.questions, max(basic.answer_tokens)) == (292, 97)
    assert sum(basic.answer_tokens) / 292 == pytest.approx(68.5, rel=0.01)


def test_a_test_sets_own_lengths(testset):
    work = workload_of(read_testset(testset))
    assert list(work.prompt_tokens) == [68 + round(4 / measured("chars_per_token"))] * 5
    assert list(work.answer_tokens) == [round(9 / measured("chars_per_token"))] * 5


def test_too_little_memory():
    model = Model("big", "made up", 60 * 10**9, 60 * 10**9)
    line = budgets.memory_line(model, device("metax-c500"), recorded_workloads(), 0.9)
    assert line.state == "fail"


def test_a_model_of_unknown_shape_is_not_estimated(preflight, model):
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "model_type": "qwen3_moe"}))
    code, lines = preflight("--offline", "--no-rehearsal", "--model-dir", model)
    assert code == 0
    for what in ("predict: bonus, batch", "memory: device"):
        assert lines[what]["state"] == "unknown" and "qwen3_moe" in lines[what]["why"]
    assert lines["build: weights"]["figure"] and lines["health: start"]["state"] == "ok"
    with pytest.raises(ShapeError, match="qwen3_moe"):
        from_config(model / "config.json", "bf16")


def test_a_directory_that_is_no_model(tmp_path):
    with pytest.raises(ShapeError, match="config.json"):
        from_directory(tmp_path)
    config(tmp_path)
    with pytest.raises(ModelError, match="no weights"):
        from_directory(tmp_path)


def test_a_directory_counts_one_weight_format(model):
    (model / "pytorch_model.bin").write_bytes(b"x" * 50)
    weights = (model / "model.safetensors").stat().st_size
    assert from_directory(model).weight_bytes == weights
