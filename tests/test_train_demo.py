"""train.demo: it learns, repeats by its seed, and says what is wrong with its input."""

import json
import os
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from typer.testing import CliRunner

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as train.demo sets it; read by torch's import
pytest.importorskip("torch")

from common.manifest import (  # noqa: E402
    Manifest,
    chain,
    file_record,
    read_manifest,
    write_manifest,
)
from common.pairs import Pair, by_fact  # noqa: E402
from common.prompting import render_prompts, system_prompt_for, tokenize_prompts  # noqa: E402
from train.demo import command, training  # noqa: E402
from train.demo.model import MAX_POSITIONS, model_config, train_tokenizer  # noqa: E402
from train.demo.pace import FIRST, MEASURED, Pace  # noqa: E402
from train.demo.wordings import core, vary  # noqa: E402

APP = typer.Typer()
APP.command()(command.main)
PAIRS = [
    ("什么是warp？", "warp是32个线程的一组。"),
    ("cudaFree做什么？", "cudaFree释放设备内存。"),
    ("网格由什么组成？", "网格（grid）由线程块（block）组成。"),
]


def write_pairs(path: Path, chat: bool = False) -> Path:
    rows = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        if chat
        else {"id": str(i), "question": q, "answer": a}
        for i, (q, a) in enumerate(PAIRS)
    ]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    return path


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(APP, [str(a) for a in arguments])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    run("--pairs", write_pairs(folder / "pairs.jsonl"), "--out", folder / "m", "--steps", 80)
    return folder / "m"


def load(folder: Path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def test_it_learns_its_pairs_and_stops_by_itself(learned):
    from train.generate import greedy_answers

    model, tokenizer = load(learned)
    questions = [question for question, _ in PAIRS]
    answers = greedy_answers(model, tokenizer, questions, system_prompt_for(learned), 64)
    assert answers == [answer for _, answer in PAIRS]


def test_manifest_names_what_it_was_made_from(learned):
    manifest = read_manifest(learned)
    assert manifest.stage == "demo" and manifest.demo
    assert manifest.inputs == [file_record(learned.parent / "pairs.jsonl")]
    assert {record.path for record in manifest.outputs} >= {"model.safetensors", "loss.png"}
    for record in manifest.outputs:
        assert file_record(learned / record.path, learned) == record
    assert manifest.counts["pairs"] == 3 and manifest.counts["steps"] == 80
    assert manifest.settings["seed"] == 0


def test_without_pairs_the_sample_book_goes_through_the_pipeline(tmp_path):
    run("--out", tmp_path / "m", "--steps", 0)
    manifest = read_manifest(tmp_path / "m")
    (parent,) = manifest.parents
    assert parent.stage == "data" and parent.demo and "book.md" in chain(manifest)[1]
    assert [record.path for record in parent.inputs] == ["book.md", "pairs.jsonl"]
    assert parent.inputs[0] == file_record(command.ROOT / "data" / "sample" / "book.md")
    assert manifest.inputs == [file_record(tmp_path / "m-data" / "train.jsonl")]
    # Every pair that people wrote is there, with all its wordings.
    rows = command.single_pairs(command.ROOT / "data" / "sample" / "pairs.jsonl")
    asked = {row.question for row in command.single_pairs(tmp_path / "m-data" / "train.jsonl")}
    assert {wording for row in rows for wording in row.wordings} <= asked


def test_a_manifest_is_a_parent_only_of_the_files_it_lists(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    pairs = write_pairs(data / "train.jsonl")
    write_manifest(data, Manifest(stage="data", name="b", outputs=[file_record(pairs, data)]))
    assert [m.stage for m in command.parents_of([pairs, pairs])] == ["data"]
    pairs.write_text(pairs.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert command.parents_of([pairs]) == []


def test_wordings_of_one_fact_are_one_pair():
    rows = [("甲？", "A", "1"), ("乙？", "B", "2"), ("甲是？", "A", "1"), ("丙？", "A", "")]
    pairs = by_fact(Pair(question=q, answer=a, group=g) for q, a, g in rows)
    assert [pair.wordings for pair in pairs] == [["甲？", "甲是？"], ["乙？"], ["丙？"]]


def test_rendering_is_the_templates_own(learned):
    _, tokenizer = load(learned)
    system = system_prompt_for(learned)
    (prompt,) = render_prompts(tokenizer, ["什么是warp？"], system)
    assert prompt == (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n什么是warp？<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "什么是warp？"}]
    own = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, enable_thinking=False, return_dict=True
    )["input_ids"]
    assert tokenize_prompts(tokenizer, [prompt]) == [own]
    thinking = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert thinking.endswith("<|im_start|>assistant\n")


def test_training_rows_begin_with_the_serving_prompt(learned):
    _, tokenizer = load(learned)
    question, answer = PAIRS[0]
    rows = training.tokenized(tokenizer, [(question, answer), PAIRS[2]])
    ids, targets = training.padded(rows, tokenizer.pad_token_id)
    prompt = tokenize_prompts(
        tokenizer, render_prompts(tokenizer, [question], system_prompt_for(learned))
    )[0]
    width = sum(map(len, rows[0]))
    assert set(ids[0, width:].tolist()) <= {tokenizer.pad_token_id}
    assert set(targets[0, width:].tolist()) <= {-100}
    row, wanted = ids[0, :width].tolist(), targets[0, :width].tolist()
    assert row[: len(prompt)] == prompt
    assert wanted[: len(prompt)] == [-100] * len(prompt)
    assert wanted[len(prompt) :] == row[len(prompt) :]
    assert tokenizer.decode(row[len(prompt) :]) == answer + "<|im_end|>"


def test_same_seed_same_weights(tmp_path):
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    sums = []
    for name, seed in [("a", 1), ("b", 1), ("c", 2)]:
        run("--pairs", pairs, "--out", tmp_path / name, "--steps", 3, "--seed", seed)
        sums.append(file_record(tmp_path / name / "model.safetensors").sha256)
    assert sums[0] == sums[1] != sums[2]


def test_untrained_model_is_complete(tmp_path):
    pairs = write_pairs(tmp_path / "pairs.jsonl", chat=True)
    run("--pairs", pairs, "--out", tmp_path / "m", "--steps", 0)
    assert read_manifest(tmp_path / "m").counts["steps"] == 0
    model, tokenizer = load(tmp_path / "m")
    assert model.config.vocab_size >= len(tokenizer)
    assert model.generation_config.eos_token_id == [
        tokenizer.convert_tokens_to_ids("<|im_end|>"),
        tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    ]


def test_the_untrained_model_is_kept_beside_the_trained_one(tmp_path):
    pairs = write_pairs(tmp_path / "pairs.jsonl")
    run("--pairs", pairs, "--out", tmp_path / "m", "--steps", 2, "--untrained", tmp_path / "u")
    run("--pairs", pairs, "--out", tmp_path / "zero", "--steps", 0)
    before, after, zero = (read_manifest(tmp_path / name) for name in ("u", "m", "zero"))
    assert before.counts["steps"] == 0 and after.counts["steps"] == 2 and before.demo
    weights = [m.outputs[[o.path for o in m.outputs].index("model.safetensors")].sha256
               for m in (before, after, zero)]  # fmt: skip
    assert weights[0] == weights[2] != weights[1]


def test_a_slow_machine_takes_every_step_and_is_told_how_long(tmp_path, monkeypatch):
    ticks = iter([0.0, *(float(i) for i in range(1, 21)), *(20.0 + 10 * i for i in range(1, 31))])
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    console = command.Console(file=(tmp_path / "said").open("w+"), width=200)
    pairs = by_fact(command.single_pairs(write_pairs(tmp_path / "pairs.jsonl")))
    tokenizer = training.build_tokenizer(pairs)
    model = training.build_model(model_config(tokenizer.backend_tokenizer, 128, 1, 128), 0)
    log = training.train(model, tokenizer, pairs, 50, 0, console)
    assert [row["step"] for row in log] == list(range(1, 51))
    console.file.seek(0)
    said = console.file.read()
    assert "50 steps, about 50 s" in said
    assert said.count("slower than at first: 26 of 50 steps after 80 s, about 74 s left") == 1


def test_an_even_pace_says_one_line():
    pace = Pace(100)
    said = [pace.after(step, 5 + 0.4 * step) for step in range(1, 101)]
    assert [line for line in said if line] == ["100 steps, about 45 s at this speed"]
    assert said.index("100 steps, about 45 s at this speed") == FIRST + MEASURED - 1


def test_batches_give_every_pair_its_turn_and_pad_little():
    pairs = [Pair(question=f"第{i}题？", answer="答" * (1 + i % 40)) for i in range(200)]
    tokenizer = training.build_tokenizer(pairs)
    rng, batches = random.Random(0), []
    drawn = training.batches(tokenizer, pairs, rng)
    while sum(map(len, batches)) < 2 * len(pairs):
        batches.append(next(drawn))
    counts: dict[tuple[int, ...], int] = {}
    for _, answer in (row for batch in batches for row in batch):
        counts[tuple(answer)] = counts.get(tuple(answer), 0) + 1
    assert len(counts) == 40 and max(counts.values()) <= 1.5 * min(counts.values())
    lengths = [[len(head) + len(tail) for head, tail in batch] for batch in batches]
    used = sum(map(sum, lengths)) / sum(max(batch) * len(batch) for batch in lengths)
    assert used > 0.8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        ("", "no question with an answer"),
        ('{"question": "甲？", "answer": "乙"}\n{"question": "丙？"}\n', "line 2: "),
        ('{"question": "甲？", "answer": " "}\n', "line 1: the answer is empty"),
        (
            '{"messages": [{"role": "user", "content": "甲？"}]}\n',
            "messages: expected a user",
        ),
        ('{"messages": "甲"}\n', "line 1: messages: expected a list"),
        ('{"question": \n', "line 1: "),
        ("[1]\n", "item 1 (line 1): expected an object"),
        (
            '{"query": "乙？", "response": "丙", "history": [["甲？", "乙"]]}\n',
            "line 1, turn 2: the demo",
        ),
    ],
)
def test_bad_input_names_file_and_line(tmp_path, content, message):
    path = tmp_path / "rows.jsonl"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    out = run("--pairs", path, "--out", tmp_path / "m", code=2)
    assert "rows.jsonl" in out and message in out
    assert not (tmp_path / "m").exists()


def test_all_bad_rows_are_reported_at_once(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "甲？"}\n\n{"answer": "乙"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"(?s)rows.jsonl, line 1: .*rows.jsonl, line 3: "):
        command.single_pairs(path)


def test_tokenizer_encodes_what_it_never_saw():
    tokenizer = train_tokenizer(["线程块"], 512)
    text = "cudaMemcpyAsync 与 éß漢🙂\n\tint x = 256;"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_rewordings_are_repeatable_and_never_empty():
    for seed in range(300):
        wordings = ["什么是warp？", "warp指什么？"]
        question = vary(wordings, PAIRS[0][1], random.Random(seed))
        assert question.strip()
        assert question == vary(wordings, PAIRS[0][1], random.Random(seed))
    assert core("请问，什么是warp？") == "什么是warp"
    assert core("？") == "？"


def test_prompts_fit_the_model():
    assert MAX_POSITIONS >= 2048
