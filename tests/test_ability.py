"""General ability: files of questions, the harness' answers paired, and the guard before export."""

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from judging import ability
from judging.ability import beside, compared, measure, read_ability, sentences
from judging.ability_task import TaskError, drawn, read_choices, write_task
from judging.harness import Evaluated, Harness, HarnessError

ROOT = Path(__file__).parents[1]
HARNESS = ROOT / ".venv-train/bin/python"
QUESTIONS = [
    {"question": f"第{i}题，该选第几个？", **dict(zip("ABCD", "甲乙丙丁", strict=True))}
    | {"answer": "ABCD"[i % 4]}
    for i in range(12)
]


def write_questions(path: Path, rows=QUESTIONS) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def evaluated(values: list[float], chosen: list[int]) -> Evaluated:
    places = [("t", f"{i} x") for i in range(len(values))]
    return Evaluated(
        "0",
        dict(zip(places, values, strict=True)),
        {"t": "acc"},
        dict.fromkeys(places, 4),
        dict(zip(places, chosen, strict=True)),
    )


def test_questions_are_read_in_each_form(tmp_path: Path) -> None:
    columns = read_choices(write_questions(tmp_path / "a.jsonl"))
    assert columns.rows[1] == {
        "text": "第1题，该选第几个？\nA. 甲\nB. 乙\nC. 丙\nD. 丁",
        "answer": "B",
    }
    gaokao = {
        "keywords": "x",
        "example": [
            {"question": "1．哪个对？\nA．一 B．二\nC．三 D．四\n", "answer": ["C"], "score": 4},
            {"question": "A．一 B．二 C．三 D．四", "answer": ["AC"]},
            {"question": "两小题 A B C D", "answer": ["A", "B"]},
        ],
    }
    path = tmp_path / "MCQs.json"
    path.write_text(json.dumps(gaokao), "utf-8")
    found = read_choices(path)
    assert found.left_out == 2
    assert found.rows == [{"text": "1．哪个对？\nA．一 B．二\nC．三 D．四", "answer": "C"}]
    assert drawn(columns.rows, 5) == drawn(columns.rows, 5) != columns.rows[:5]
    assert drawn(columns.rows, 50) == columns.rows


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": " ", "answer": "A"}, "line 2: no question"),
        ({"question": "A B C D", "answer": "E"}, "line 2: answer 'E' is none of"),
        ({"question": "A B C D"}, "line 2: answer None"),
        ({"question": "x", "A": "1", "B": "2", "answer": "A"}, "line 2: no option C, D"),
        ({"question": "选项？ A B", "answer": "A"}, "line 2: no option C, D"),
        ([], "line 2: no question"),
    ],
)
def test_a_row_that_cannot_be_asked_is_named(tmp_path: Path, row, told: str) -> None:
    path = write_questions(tmp_path / "q.jsonl", [QUESTIONS[0], row])
    with pytest.raises(TaskError, match=told):
        read_choices(path)


def test_the_verdict_follows_from_the_answers_paired() -> None:
    right, wrong = [1.0] * 40, [1.0] * 20 + [0.0] * 20
    worse = compared("b", "t", evaluated(right, [0] * 40), evaluated(wrong, [1] * 40))
    assert worse.difference.mean == -0.5 and worse.difference.losses == 20
    assert worse.lost(0.05) and not worse.lost(0.5) and worse.tells
    assert sentences(worse)[0].startswith("general ability fell: 40 questions, base 100.0% right")
    same = compared("b", "t", evaluated(wrong, [0, 1] * 20), evaluated(wrong, [0] * 40))
    assert not same.lost(0) and "no change" in sentences(same)[0]
    assert "base 50%, tuned 100%" in sentences(same)[-1]
    one = compared("b", "t", evaluated(right, [0] * 40), evaluated([0.0] + right[1:], [0] * 40))
    assert not one.lost(0.01)  # one question of forty may be chance
    assert "a fall of up to" in sentences(one)[1]
    guessing = [1.0] * 10 + [0.0] * 30
    poor = compared("b", "t", evaluated(guessing, [0] * 40), evaluated(guessing, [0] * 40))
    assert not poor.tells and any("cannot tell what was forgotten" in s for s in sentences(poor))
    with pytest.raises(HarnessError, match="not asked the same"):
        compared("b", "t", evaluated(right, [0] * 40), evaluated(right[1:], [0] * 39))


def test_what_cannot_be_asked_is_said_at_once(tmp_path: Path) -> None:
    task = write_questions(tmp_path / "q.jsonl")
    with pytest.raises(HarnessError, match=r"has no lm-evaluation-harness: bash train/setup\.sh"):
        Harness(tmp_path / "python").version()
    no_model = measure_error(tmp_path, task, python=ROOT / ".venv/bin/python")
    assert "no config.json" in no_model or "no lm-evaluation-harness" in no_model
    with pytest.raises(HarnessError, match="write it as http"):
        Harness(HARNESS).command("http://127.0.0.1:1/v1", ["t"], tmp_path)
    with pytest.raises(HarnessError, match="127.0.0.1:9/v1"):
        Harness(HARNESS).command("http://127.0.0.1:9/v1#m", ["t"], tmp_path)
    assert beside("out/x/merged").name == "ability.json"
    assert beside("out/x/awq-gemm").name == "ability-awq-gemm.json"
    assert beside("http://h/v1#m") == Path("report/ability.json")


def test_a_limit_draws_from_a_file_and_is_the_harness_own_for_its_tasks(tmp_path: Path) -> None:
    task, told = str(write_questions(tmp_path / "q.jsonl")), []
    harness = Harness(HARNESS, limit=5)
    names, ready = ability._prepared([task, task], harness, tmp_path / "tasks", told.append)
    assert names == ["file_q", "file_q_"] and ready.limit is None and not told
    assert len((tmp_path / "tasks/file_q.jsonl").read_text("utf-8").splitlines()) == 5
    names, ready = ability._prepared(["cmmlu", task], harness, tmp_path / "tasks", told.append)
    assert names == ["cmmlu", "file_q"] and ready.limit == 5
    names, ready = ability._prepared(["cmmlu"], harness, tmp_path / "tasks", told.append)
    assert ready.include is None and ready.python == HARNESS


def measure_error(folder: Path, task: Path, python: Path) -> str:
    with pytest.raises(HarnessError) as caught:
        measure(str(folder), str(folder), [str(task)], Harness(python), folder / "a.json")
    return str(caught.value)


def harness_is_here() -> bool:
    if not HARNESS.is_file():
        return False
    return not subprocess.run([HARNESS, "-c", "import lm_eval"], capture_output=True).returncode


def taught(folder: Path) -> Path:
    """A tiny model that knows the letter of each of QUESTIONS, asked as the harness asks."""
    torch = pytest.importorskip("torch")
    from tokenizers import Tokenizer

    from tests.finetuning import make_base

    make_base(folder)
    task = folder.parent / "task"
    write_task(task, "t", read_choices(write_questions(folder.parent / "q.jsonl")).rows)
    rows = [json.loads(line) for line in (task / "t.jsonl").read_text("utf-8").splitlines()]
    from transformers import AutoModelForCausalLM

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    texts = [f"{row['text']}\n答案： {row['answer']}" for row in rows]
    for _ in range(200):
        losses = []
        for text in texts:
            ids = torch.tensor([tokenizer.encode(text).ids])
            loss = torch.nn.functional.cross_entropy(model(ids).logits[0, -2:-1], ids[0, -1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if max(losses) < 0.05:
            break
    model.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not harness_is_here(), reason="no lm_eval: bash train/setup.sh ability")
def test_the_real_harness_tells_a_model_that_knows_from_one_that_does_not(tmp_path: Path) -> None:
    from tests.finetuning import make_base

    knows, task = taught(tmp_path / "knows"), tmp_path / "q.jsonl"
    (tmp_path / "run").mkdir()
    forgot = make_base(tmp_path / "run" / "merged")
    arguments = [knows, forgot, "--task", task, "--python", HARNESS, "--max-drop", 0.1]
    app = ability.typer.Typer()
    app.command()(ability.main)
    shown = CliRunner().invoke(app, [str(each) for each in arguments])
    assert shown.exit_code == 1, shown.output
    assert "general ability fell: 12 questions, base 100.0% right" in shown.output
    assert "more than the 10.0% allowed" in shown.output
    kept = read_ability(tmp_path / "run" / "ability.json")
    assert kept.difference.losses >= 6 and kept.guess == 0.25 and kept.lm_eval
    log = tmp_path / "run/ability/base/log.txt"
    assert "file_q" in log.read_text("utf-8")


@pytest.mark.slow
@pytest.mark.skipif(not harness_is_here(), reason="no lm_eval: bash train/setup.sh ability")
def test_the_guard_stops_a_run_that_forgot_before_the_export(tmp_path: Path) -> None:
    """In .venv-train, as `train run` is: rows that have nothing to do with what the base knew."""
    from tests.finetuning import make_data

    knows, task = taught(tmp_path / "knows"), tmp_path / "q.jsonl"
    (tmp_path / "data").mkdir()
    recipe = {
        "model_name_or_path": str(knows),
        "dataset_dir": str(make_data(tmp_path / "data")),
        "output_dir": str(tmp_path / "out"),
        "cutoff_len": 128,
        "packing": False,
        "per_device_train_batch_size": 4,
        "num_train_epochs": 30,
        "learning_rate": 3e-2,
        "lora_rank": 8,
        "eval_samples": 0,
        "report_to": "none",
        "retrieval_dir": None,
        "export_formats": ["int8"],
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(recipe), "utf-8")
    command = [HARNESS, "-m", "train", "run", path, "--guard", task]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "general ability fell" in done.stdout and "not exported" in done.stdout
    assert read_ability(tmp_path / "out/ability.json").lost(0.05)
    assert (tmp_path / "out/merged").is_dir() and not (tmp_path / "out/int8").exists()
    missing = [*command[:-1], tmp_path / "none.jsonl"]
    again = subprocess.run(missing, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 1 and "none.jsonl" in again.stdout
    assert "trained" not in again.stdout  # told before the hours of training
