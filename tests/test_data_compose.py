"""`data compose`: train answers anew from a model's draws, everything else as it was."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.manifest import read_manifest
from common.read_pairs import read_pairs
from data.__main__ import app as data_app
from data.compose import ComposeError, best_draws, compose
from retrieval.__main__ import app as retrieval_app
from retrieval.prompt import FORM, with_passages

BOOK = """# 限流

## 令牌桶

令牌桶（token bucket）以固定速率放入令牌，容量是 100，请求取走 1 个令牌，桶空时返回 429。

## 漏桶

漏桶（leaky bucket）以固定速率放出请求，队列长度是 50，队列满时丢弃请求并写 drop 日志。

## 滑动窗口

滑动窗口（sliding window）把 60 秒切成 6 格，每格计数，超过 limit 时拒绝请求。
"""
ANSWER = "令牌桶（token bucket）的容量是 100，桶空时返回 429。"


def run(app, *words):
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A build and an index of the same book."""
    folder = tmp_path_factory.mktemp("compose")
    (folder / "book.md").write_text(BOOK, encoding="utf-8")
    run(data_app, "build", folder / "book.md", "--out", folder / "data", "--dev", 0.34,
        "--rules", "wide")  # fmt: skip
    run(retrieval_app, "build", folder / "book.md", "--out", folder / "index")
    return folder / "data", folder / "index"


def test_the_draw_that_agrees_with_the_others_and_the_old_answer_is_kept():
    near = "令牌桶 token bucket 容量 100，空时 429"
    far = "令牌桶 token bucket 返回 500"
    assert best_draws([far, near, near, "不知道 redis"], ANSWER)[0] == near
    # Two alike that are far from the old answer lose to one that is near it.
    assert best_draws(["sliding window 60", "sliding window 60", near], ANSWER) == [near]


def test_the_best_draws_are_kept_in_order_and_none_twice():
    good = [ANSWER, f"{ANSWER} 桶", f"{ANSWER} extra", f"{ANSWER} extra more"]
    pool = [good[3], *good, good[2], "redis ttl"]
    assert best_draws(pool, ANSWER, 9)[-1] == good[3]
    assert set(best_draws(pool, ANSWER, 9)) == set(good)
    assert best_draws(pool, ANSWER, 2) == best_draws(pool, ANSWER, 9)[:2]


def test_draws_that_agree_with_nothing_leave_the_row_out():
    assert best_draws(["redis ttl", "http client", "warp tile"], ANSWER) == []
    assert best_draws(["", "  "], ANSWER) == []
    # Nor is the prompt an answer, though all draws say it again.
    again = with_passages("令牌桶（token bucket）的容量 100，空时返回 429？", [])
    told = FORM.replace("{passages}", ANSWER).replace("{question}", again)
    assert best_draws([told] * 4, ANSWER) == []


def test_train_answers_change_and_nothing_else(made, tmp_path):
    data, index = made
    before = read_pairs(data / "train.jsonl").pairs
    seen: list[list[dict[str, str]]] = []

    def ask(chats, tokens, count, temperature):
        seen.extend(chats)
        answers = [f"{pair.answer} extra" for pair in before]
        answers[0] = "nothing alike"
        return [[answer] * count for answer in answers * 2]  # asked in two ways

    out = tmp_path / "composed"
    told = compose(data, out, index, ask, model="m")
    after = read_pairs(out / "train.jsonl").pairs
    assert told.dropped == 1 and told.composed == len(before) - 1
    assert [p.question for p in after] == [p.question for p in before[1:]]
    assert all(p.answer.endswith(" extra") for p in after)
    for name in ("dev.jsonl", "calibration.jsonl", "chunks.jsonl"):
        assert (out / name).read_bytes() == (data / name).read_bytes()
    # Asked with the book and two worked examples, then without these: system, turns, the question.
    plain = seen[len(before)]
    assert [turn["role"] for turn in seen[0]] == ["system", *["user", "assistant"] * 2, "user"]
    assert [turn["role"] for turn in plain] == ["system", "user"]
    for chat in (seen[0], plain):
        assert before[0].question in chat[-1]["content"] and "教材片段" in chat[-1]["content"]
    manifest = read_manifest(out)
    assert manifest and manifest.stage == "data" and manifest.settings["composed"]["draws"] == 12
    assert {parent.stage for parent in manifest.parents} == {"data", "index"}


def test_a_row_with_passages_is_asked_alone_and_keeps_them(made, tmp_path):
    data, index = made
    built = tmp_path / "data"
    book = data.parent / "book.md"
    run(data_app, "build", book, "--out", built, "--dev", 0.34, "--with-passages", index,
        "--rules", "wide", "--no-passages", 0, "--wrong-passages", 0)  # fmt: skip
    rows = [json.loads(line) for line in (built / "train.jsonl").read_text().splitlines()]
    asked = []

    def ask(chats, tokens, count, temperature):
        asked.extend(chat[-1]["content"] for chat in chats)
        said = [row["messages"][-1]["content"] for row in rows]
        return [[one, f"{one} more"] + [one] * (count - 2) for one in said * 2]

    compose(built, tmp_path / "out", index, ask, model="m", passages=1)
    assert all(content.count("教材片段：") == 1 for content in asked)
    after = [json.loads(line) for line in (tmp_path / "out/train.jsonl").read_text().splitlines()]
    # Two different answers of each question became two rows with ids of their own.
    assert [row["messages"][0] for row in after[::2]] == [row["messages"][0] for row in rows]
    assert [row["messages"][0] for row in after[1::2]] == [row["messages"][0] for row in rows]
    assert len({row["id"] for row in after}) == len(after) == 2 * len(rows)


@pytest.mark.parametrize("what", ["no build", "same folder", "no row", "nothing agrees"])
def test_what_cannot_be_composed_is_said(made, tmp_path, what):
    data, index = made
    out = tmp_path / "out"
    if what == "no build":
        data = tmp_path
    if what == "same folder":
        out = data
    if what == "no row":
        copy = tmp_path / "copy"
        copy.mkdir()
        (copy / "manifest.json").write_bytes((data / "manifest.json").read_bytes())
        (copy / "train.jsonl").write_text('{"query": "a", "response": "b"}\n')
        data = copy
    with pytest.raises(ComposeError):
        compose(data, out, index, lambda chats, *_: [["x"] for _ in chats], model="m")
    if what != "same folder":
        assert not (out / "train.jsonl").exists()


@pytest.mark.parametrize("wrong", ["data", "index", "model"])
def test_what_is_wrong_is_said_before_the_model_is_loaded(made, tmp_path, monkeypatch, wrong):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    given = dict(zip(("data", "index", "model"), (*made, model), strict=True))
    given[wrong] = tmp_path / "nowhere"
    monkeypatch.setattr("data.sources.vllm_source.load_engine", lambda _: pytest.fail("loaded"))
    words = ["compose", given["data"], "--out", tmp_path / "out", "--index", given["index"],
             "--model", given["model"]]  # fmt: skip
    result = CliRunner().invoke(data_app, [str(word) for word in words])
    assert result.exit_code == 1 and "nowhere" in result.output.replace("\n", "")


@pytest.mark.vllm
@pytest.mark.slow
def test_a_real_engine_draws(made, tiny_model, tmp_path, monkeypatch):
    """A random model agrees with nothing: the command says so in one line."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    data, index = made
    words = ["compose", data, "--out", tmp_path / "out", "--model", tiny_model, "--index", index,
             "--draws", 2, "--engine", '{"dtype": "float32", "enforce_eager": true}']  # fmt: skip
    result = CliRunner().invoke(data_app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code in (0, 1), result.output
