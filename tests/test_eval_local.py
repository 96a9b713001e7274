"""The command line of the local judge, against a real HTTP service."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import docx
import pytest
from typer.testing import CliRunner

import eval_local
from common.ports import free_port
from tests.faulty_service import Service, dumped, replying, slowly

ROOT = Path(__file__).parents[1]
PAIRS = {"warp有多少线程？": "一个warp有32个线程。", "什么是SM？": "SM是流式多处理器。"}


@pytest.fixture(scope="module")
def running():
    service = Service()
    yield service
    service.close()


@pytest.fixture
def service(running):
    running.routes.clear()
    running.bodies.clear()
    running.routes["/"] = lambda prompt: dumped({"status": "batch"})
    running.routes["/predict"] = lambda prompt: dumped({"response": answered(prompt)})
    return running


@pytest.fixture
def testset(tmp_path):
    document = docx.Document()
    document.add_paragraph("第1章 线程")
    for question, answer in PAIRS.items():
        document.add_paragraph(f"问题：{question}")
        document.add_paragraph(f"答案：{answer}")
    document.save(str(tmp_path / "basic.docx"))
    return tmp_path / "basic.docx"


def answered(prompt):
    return PAIRS[prompt] if isinstance(prompt, str) else [PAIRS[one] for one in prompt]


def judged(service, *arguments, out):
    """Run the command; its result and the summary it wrote, if any."""
    line = ["--url", service.url, "--out", str(out), *map(str, arguments)]
    result = CliRunner().invoke(eval_local.app, line)
    summaries = sorted(out.rglob("summary.json"))
    return result, json.loads(summaries[-1].read_text("utf-8")) if summaries else None


def test_a_good_batch_service(service, testset, tmp_path):
    result, told = judged(service, testset, out=tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert told["verdict"] == "completed"
    assert told["total"]["accuracy"] == 1.0
    assert service.bodies == [("/predict", {"prompt": list(PAIRS)})]
    report = re.search(r"report: (.*report\.html)$", result.stdout, re.MULTILINE)
    assert Path(report.group(1)).is_file()


def test_the_next_command_is_printed_whole(service, testset, tmp_path):
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    service.routes["/predict"] = lambda prompt: (500, b"")
    result, told = judged(service, testset.rename(folder / "a.docx"), out=tmp_path / "out")
    command = told["conclusion"]["command"]
    assert command.endswith("a.docx") and f"  {command}\n" in result.stdout


def test_serial_mode_by_status_and_by_option(service, testset, tmp_path):
    _, told = judged(service, testset, "--mode", "serial", out=tmp_path / "out")
    assert (told["mode"], told["deviations"]) == ("serial", ["--mode serial"])
    assert len(service.bodies) == 2
    service.routes["/"] = lambda prompt: dumped({"status": "one by one"})
    _, told = judged(service, testset, out=tmp_path / "other")
    assert (told["mode"], told["deviations"]) == ("serial", [])
    assert told["testsets"][0]["slowest_s"] > 0


def test_each_test_set_has_a_call_and_a_time_limit_of_its_own(service, testset, tmp_path):
    more = tmp_path / "more.jsonl"
    more.write_text('{"question": "什么是SM？", "answer": "SM是流式多处理器。"}\n', "utf-8")
    service.routes["/predict"] = slowly(0.9, service.routes["/predict"])
    result, told = judged(service, testset, more, "--timeout", 1.6, out=tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert [len(body["prompt"]) for _, body in service.bodies] == [2, 1]
    assert told["total"]["questions"] == 3
    assert told["total"]["seconds"] >= 1.8


def test_limit_asks_the_first_questions_only(service, testset, tmp_path):
    result, told = judged(service, testset, "--limit", 1, out=tmp_path / "out")
    assert service.bodies == [("/predict", {"prompt": list(PAIRS)[:1]})]
    assert (told["testsets"][0]["questions"], told["testsets"][0]["in_file"]) == (1, 2)
    assert "not the judge's own conditions: --limit 1" in result.output


def test_a_late_batch_exits_1_and_still_reports(service, testset, tmp_path):
    service.routes["/predict"] = slowly(3, service.routes["/predict"])
    result, told = judged(service, testset, "--timeout", 0.3, out=tmp_path / "out")
    assert result.exit_code == 1
    assert told["verdict"] == "failed"
    assert "would fail this submission: basic: the batch was not answered" in result.output


def test_a_service_that_never_answers_exits_1(service, testset, tmp_path):
    service.routes["/"] = lambda prompt: (503, b"loading")
    result, told = judged(service, testset, "--health-timeout", 1, out=tmp_path / "out")
    assert (result.exit_code, told) == (1, None)
    assert "HTTP 503 loading" in result.output


def test_a_port_where_nothing_listens_is_waited_for_only_when_asked(testset, tmp_path):
    line = ["--url", f"http://127.0.0.1:{free_port()}", "--out", str(tmp_path), str(testset)]
    start = time.perf_counter()
    result = CliRunner().invoke(eval_local.app, line)
    assert time.perf_counter() - start < 10
    assert result.exit_code == 1
    assert "nothing listens at" in result.output and "--wait" in result.output
    line += ["--wait", "--health-timeout", "0.5"]
    result = CliRunner().invoke(eval_local.app, line)
    assert result.exit_code == 1
    assert "would fail this submission" in result.output and "within 0.5 s" in result.output


def test_the_report_tells_the_services_own_start_where_it_knows_it(service, testset, tmp_path):
    """The service may have been up before the judge came: what the judge waited says nothing."""
    result, told = judged(service, testset, out=tmp_path / "out")
    assert "waited for 0.0 s" in result.output and told["ready"] == "waited for 0.0 s"
    service.routes["/info"] = lambda prompt: dumped({"startup": {"ready_seconds": 12.34}})
    result, told = judged(service, testset, out=tmp_path / "more")
    assert "ready 12.3 s after its start" in result.output
    for odd in ({"startup": {"ready_seconds": "x"}}, {"startup": [1]}, {"startup": None}):
        service.routes["/info"] = lambda prompt, odd=odd: dumped(odd)
        assert judged(service, testset, out=tmp_path / "odd")[1]["ready"] == "waited for 0.0 s"


def test_gates(service, testset, tmp_path):
    service.routes["/predict"] = replying(["一个warp有32个线程。", ""])
    out = tmp_path / "out"
    for options, code, complaint in (
        (["--min-accuracy", 0.5], 0, ""),
        (["--min-accuracy", 0.6], 1, "accuracy 0.5 is below --min-accuracy 0.6"),
        (["--min-speed", 0.001], 0, ""),
        (["--min-speed", 1e9], 1, "is below --min-speed 1e+09"),
    ):
        result, _ = judged(service, testset, *options, out=out)
        assert result.exit_code == code, result.output
        assert complaint in result.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["missing.docx"], "no such file"),
        (["notes.txt"], "expected a .docx, .xlsx or .jsonl"),
        (["good.jsonl", "./good.jsonl"], "given twice"),
        (["empty.jsonl"], "no question with an answer"),
        ([], "Missing argument"),
        (["good.jsonl", "--url", "127.0.0.1:8000"], "no URL"),
        (["good.jsonl", "--mode", "parallel"], "parallel"),
        (["good.jsonl", "--limit", "0"], "limit"),
        (["good.jsonl", "--min-accuracy", "35"], "min-accuracy"),
        (["good.jsonl", "--tokenizer", "nowhere"], "nowhere"),
        (["good.jsonl", "--tokenizer", "empty.jsonl"], "not a tokenizer"),
        (["good.jsonl", "--out", "good.jsonl"], "good.jsonl"),
    ],
)
def test_wrong_usage_exits_2_before_the_service_is_asked(
    service, tmp_path, monkeypatch, arguments, complaint
):
    monkeypatch.chdir(tmp_path)
    Path("empty.jsonl").write_text("\n")
    Path("good.jsonl").write_text('{"question": "甲？", "answer": "乙"}\n', "utf-8")
    line = ["--url", service.url, *arguments]
    result = CliRunner().invoke(eval_local.app, line)
    assert result.exit_code == 2, result.output
    assert complaint in result.output
    assert service.bodies == []


def test_texts_from_outside_do_not_reach_the_terminal_as_markup(service, testset, tmp_path):
    service.routes["/info"] = lambda prompt: dumped({"model": {"name": "[red]m[/x]"}})
    service.routes["/predict"] = lambda prompt: (500, b"[/nope] boom")
    result, _ = judged(service, testset, out=tmp_path / "out")
    assert result.exit_code == 1
    assert "[red]m[/x]" in result.output
    assert "HTTP 500 [/nope] boom" in result.output


def test_help_is_quick_and_a_script_can_read_the_exit_code():
    start = time.perf_counter()
    result = subprocess.run(
        [sys.executable, str(ROOT / "eval_local.py"), "--help"], capture_output=True, text=True
    )
    assert result.returncode == 0
    assert "--min-accuracy" in result.stdout
    assert time.perf_counter() - start < 5  # a second on an idle machine
    heavy = [
        "jieba",
        "matplotlib",
        "rouge_score",
        "docx",
        "numpy",
        "tokenizers",
        "transformers",
        "torch",
    ]
    code = f"import sys, eval_local; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert loaded.stdout.strip() == "[]"


def test_nothing_but_results_on_standard_output(service, testset, tmp_path):
    line = [sys.executable, str(ROOT / "eval_local.py"), str(testset), "--url", service.url]
    result = subprocess.run(
        [*line, "--out", str(tmp_path / "out")], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith(service.url)
    for chatter in ("prefix dict", "jieba", "Warning", "Traceback"):
        assert chatter not in result.stdout + result.stderr


def test_a_second_judgement_is_told_against_the_first(service, testset, tmp_path):
    first, told = judged(service, testset, out=tmp_path / "out")
    assert "against the last run" not in first.output and told["against"] == []
    again, _ = judged(service, testset, out=tmp_path / "out")
    shown = " ".join(again.output.split())
    assert "against the last run" in shown and "no difference shown: +0.000" in shown
    assert "Changed: nothing" in shown
