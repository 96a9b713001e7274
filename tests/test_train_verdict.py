"""Did this run help? Decisions, sentences, exit codes, and the prompts that are served."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

import train.__main__ as command
from common.model_shape import shape_of
from common.pairs import Pair
from retrieval.examples_auto import automatic
from serving.settings import Settings
from train.asking import as_served, as_the_base, spread
from train.base import ModelError
from train.book import service_settings, uses_book
from train.recipe import SERVED_CONTEXT, Recipe
from train.samples import write_sample
from train.verdict import EXIT_WORSE, decide, reach_verdict, read_verdict, sentences

EPOCHS = {0: 0.0, 5: 1.0, 10: 2.0}


def recipe(folder: Path, **fields) -> Recipe:
    given = {"model_name_or_path": "a/b", "dataset_dir": folder, "output_dir": folder / "out"}
    return Recipe(**given, **fields)


def test_a_gain_on_most_questions_is_told_from_chance():
    base = [0.2, 0.3] * 20
    better = decide({0: base, 5: [s + 0.2 for s in base]}, EPOCHS, False, 640)
    assert (better.verdict, better.chosen) == ("better", 5)
    assert better.difference == pytest.approx(0.2) and better.low > 0
    worse = decide({0: base, 5: [s - 0.1 for s in base]}, EPOCHS, False, 640)
    assert (worse.verdict, worse.chosen, worse.best) == ("worse", 0, 5)
    either = [s + d for s, d in zip(base, [0.1, -0.1] * 20, strict=True)]
    mixed = decide({0: base, 5: either}, EPOCHS, False, 640)
    assert mixed.verdict == "same"


def test_choosing_the_luckiest_of_many_epochs_is_no_gain():
    """Ten epochs of pure noise: the best one looks better, the verdict does not."""
    found = []
    for seed in range(6):
        rng = random.Random(seed)
        scores = {step: [rng.random() for _ in range(40)] for step in range(11)}
        verdict = decide(scores, dict.fromkeys(range(11), 1.0), False, 640)
        naive = max(p.score for p in verdict.curve if p.step) - verdict.base
        found.append((naive, verdict.difference))
    assert sum(naive for naive, _ in found) / 6 > 0.04
    assert abs(sum(difference for _, difference in found) / 6) < 0.03


def test_a_handful_of_questions_tells_nothing():
    few = decide({0: [0.0] * 4, 5: [1.0] * 4}, EPOCHS, False, 640)
    assert few.verdict == "same" and "fewer than 10" in sentences(few, Path("out/x"))[1]


def written(folder: Path, answer: str) -> Recipe:
    """A run whose base says the reference, or its words in part, and whose epoch says `answer`."""
    made = recipe(folder)
    rows = [Pair(f"q{i}?", f"warp{i} has 32 threads") for i in range(20)]
    write_sample(made.output_dir, 0, rows, [f"warp{i} has many" for i in range(20)])
    write_sample(made.output_dir, 5, rows, [answer.format(i=i) for i in range(20)])
    return made


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ("warp{i} has 32 threads", 0, "better: 20 held-out questions"),
        ("no", EXIT_WORSE, "do not submit"),
        ("warp{i} has many", 4, "train advise"),
    ],
)
def test_the_command_says_the_verdict_and_ends_with_its_code(tmp_path, answer, code, words):
    made = written(tmp_path, answer)
    reach_verdict(made, {5: 1.0})
    told = CliRunner().invoke(command.app, ["verdict", str(made.output_dir)])
    assert told.exit_code == code and words in told.output


def test_a_folder_without_a_verdict_is_told(tmp_path):
    told = CliRunner().invoke(command.app, ["verdict", str(tmp_path)])
    assert told.exit_code == 1 and "verdict.json" in told.output
    (tmp_path / "verdict.json").write_text("{}")
    with pytest.raises(ModelError, match="damaged"):
        read_verdict(tmp_path)


@pytest.mark.parametrize("flag", [[], ["--even-if-worse"]])
def test_what_is_worse_is_not_exported_unless_asked(tmp_path, monkeypatch, flag):
    made = written(tmp_path, "no")
    reach_verdict(made, {5: 1.0})
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(made.model_dump(mode="json")), encoding="utf-8")
    done = []
    monkeypatch.setattr("train.finetune.finetune", lambda *given: Path("adapter"))
    for step in ("merge", "quantize", "check"):
        monkeypatch.setattr(command.steps, step, lambda *given, step=step: done.append(step))
    told = CliRunner().invoke(command.app, ["run", str(path), *flag])
    if flag:
        assert told.exit_code == 0 and done == ["merge", "quantize", "check"]
    else:
        assert told.exit_code == EXIT_WORSE and done == [] and "--even-if-worse" in told.output


def test_dev_questions_are_asked_by_the_services_own_defaults(tmp_path):
    made, served = recipe(tmp_path), Settings(settings_file="")
    assert made.eval_max_new_tokens == served.max_tokens
    assert served.max_model_len == SERVED_CONTEXT
    assert made.retrieval_dir == served.retrieval_dir
    assert made.retrieval_passages == served.retrieval_passages
    assert made.retrieval_tokens == served.retrieval_tokens
    # `auto` is off for what is trained so (retrieval/examples_auto.py).
    assert made.retrieval_examples is False


@pytest.mark.usefixtures("bm25s_installed")
@pytest.mark.parametrize(
    ("examples", "many"),
    [
        (False, {}),
        (True, {}),
        # More than the usual context would take.
        (False, {"retrieval_passages": 20, "retrieval_tokens": 2000}),
    ],
)
def test_with_an_index_dev_questions_are_those_that_the_service_asks(
    tmp_path, untrained_model, examples, many
):
    """The same prompts, token by token, as the service's own answerer makes."""
    pytest.importorskip("transformers")
    from transformers import AutoTokenizer

    from retrieval.build import IndexSettings, build_index
    from serving.answerer import Answerer
    from tests.instant_engine import InstantEngine
    from train.dataset import prompt_ids

    book = tmp_path / "书.md"
    sections = [f"## 第{i}节\n\n函数 kernel{i} 用 {i} 个线程。\n\n" for i in range(40)]
    book.write_text("# 并行\n\n" + "".join(sections), encoding="utf-8")
    build_index([book], tmp_path / "index", IndexSettings(20, 60))
    rows = [Pair(f"kernel{i} 用几个线程？", "x") for i in (3, 17, 30)]
    fields = {"retrieval_dir": tmp_path / "index", "retrieval_examples": examples} | many
    made = recipe(tmp_path, **fields)
    system = "系统。" * (100 if many else 1)
    tokenizer = AutoTokenizer.from_pretrained(untrained_model)
    asked = as_served(made, tokenizer, rows, system)
    for row, i in zip(asked, (3, 17, 30), strict=True):
        assert "教材片段" in row.question and f"kernel{i} 用 {i} 个" in row.question
    shown = [replace(row, question=f"旧片段\n{row.question}", asked=row.question) for row in rows]
    assert as_served(made, tokenizer, shown, system) == asked, "a row's own passages make way"
    assert [row.alone.question for row in asked] == [row.alone.question for row in rows]
    (tmp_path / "system.txt").write_text(system, encoding="utf-8")
    settings = Settings(
        settings_file="",
        model_dir=untrained_model,
        system_prompt_file=tmp_path / "system.txt",
        **fields,
    )
    engine = InstantEngine()
    engine.max_model_len = int(service_settings(made).get("MAX_MODEL_LEN", SERVED_CONTEXT))
    answerer = Answerer(engine, settings)
    answerer.start()
    served = answerer._prepare([row.question for row in rows])
    usual = SERVED_CONTEXT - settings.max_tokens
    assert not many or all(len(prompt) > usual for prompt in served)
    assert served == prompt_ids(tokenizer, asked, system)
    assert all(len(row.examples) == (2 if examples else 0) for row in asked)


def test_a_base_of_1b_is_asked_as_the_service_asks_it(tmp_path):
    """What tuning has to beat: the same that `auto` comes to for the untuned model."""
    (tmp_path / "index").mkdir()
    shape = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 1536,
             "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
             "intermediate_size": 8960, "vocab_size": 151936, "tie_word_embeddings": True,
             "max_position_embeddings": 32768, "torch_dtype": "bfloat16"}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(shape))
    made = recipe(tmp_path, retrieval_dir=tmp_path / "index")
    asked = as_the_base(made, tmp_path)
    chosen = automatic(shape_of(shape, "it"), 32768)
    assert asked.retrieval_examples is chosen.examples is True
    assert asked.retrieval_passages == chosen.settings["retrieval_passages"] == 3
    (tmp_path / "config.json").write_text(json.dumps({**shape, "num_hidden_layers": 4}))
    assert as_the_base(made, tmp_path) == made, "a small one"
    (tmp_path / "config.json").write_text(json.dumps(shape))
    for fields in ({"retrieval_dir": None}, {"retrieval_examples": True}):
        other = recipe(tmp_path, **{"retrieval_dir": tmp_path / "index", **fields})
        assert as_the_base(other, tmp_path) == other


def test_an_index_that_is_named_must_be_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not uses_book(recipe(tmp_path))
    assert not uses_book(recipe(tmp_path, retrieval_dir=None))
    with pytest.raises(ModelError, match="nowhere"):
        as_served(recipe(tmp_path, retrieval_dir=tmp_path / "nowhere"), None, [Pair("q", "a")], "")


def test_dev_questions_are_taken_from_the_whole_book():
    rows = [Pair(str(i), "a") for i in range(100)]
    assert [row.question for row in spread(rows, 4)] == ["0", "25", "50", "75"]
    assert spread(rows[:3], 9) == rows[:3]


def test_the_answers_of_a_killed_write_are_not_read(tmp_path):
    made = written(tmp_path, "x")
    lines = (made.output_dir / "samples" / "step-5.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == 20 and json.loads(lines[0])["answer"] == "x"
    assert not list((made.output_dir / "samples").glob("*.part"))


def test_by_verdict_the_base_itself_is_taken_where_nothing_was_gained(tmp_path, untrained_model):
    from common.manifest import read_manifest
    from common.model_files import model_files_problems

    made = written(tmp_path, "no").model_copy(update={"model_name_or_path": str(untrained_model)})
    reach_verdict(made, {5: 1.0})
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(made.model_dump(mode="json")), encoding="utf-8")
    told = CliRunner().invoke(command.app, ["merge", str(path), "--by-verdict"])
    assert told.exit_code == 0 and "untuned base" in told.output
    merged = made.output_dir / "merged"
    assert not model_files_problems(merged) and read_manifest(merged).stage == "base"
    (weights,) = merged.glob("*.safetensors")
    assert weights.read_bytes() == (untrained_model / weights.name).read_bytes()


def test_by_verdict_a_better_estimate_is_enough_of_ten_questions_and_more(tmp_path, monkeypatch):
    from train import steps

    said = []
    monkeypatch.setattr(steps, "say", lambda text, **_: said.append(text))
    gained = ["warp0 has 32 threads", *(f"warp{i} has many" for i in range(1, 20))]
    equal = [f"warp{i} has many" for i in range(20)]
    for few, answers, taken in ((20, gained, False), (9, gained, True), (20, equal, True)):
        made = recipe(tmp_path / f"{few}-{taken}")
        rows = [Pair(f"q{i}?", f"warp{i} has 32 threads") for i in range(few)]
        write_sample(made.output_dir, 0, rows, [f"warp{i} has many" for i in range(few)])
        write_sample(made.output_dir, 5, rows, answers[:few])
        found = reach_verdict(made, {5: 1.0})
        assert found.verdict == "same" and found.difference >= 0 >= found.low
        monkeypatch.setattr(steps, "fetch_base", lambda _: (_ for _ in ()).throw(LookupError))
        if taken:
            with pytest.raises(LookupError):  # goes for the base
                steps.take_base_unless_gained(made)
        else:
            assert not steps.take_base_unless_gained(made)
    assert len(said) == 1 and "+0.0" in said[0]
