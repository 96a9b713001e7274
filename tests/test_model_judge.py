"""A model as judge, asked over HTTP: marks, both orders, the cache, its habits and agreement."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("openai")
pytest.importorskip("sklearn")
from judging.__main__ import app
from judging.model_judge import (
    length_habit,
    position_bias,
    position_habit,
    rank_correlation,
    winner,
)
from tests.reports_made import QUESTIONS, write_report

GOOD = [reference for _, reference in QUESTIONS]


class Opinion(BaseHTTPRequestHandler):
    """Marks an answer equal to its reference 5, else 2; prefers it, else whatever comes first."""

    asked = 0
    wrong: str | None = None
    no_temperature = False

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked += 1
        if "temperature" in body and self.no_temperature:
            self.reply(400, {"error": {"message": "Unsupported value: 'temperature'"}})
            return
        assert body.get("temperature", 0) == 0
        if body.get("response_format", {}).get("type") == "json_schema":
            self.reply(400, {"error": {"message": "response_format is not supported"}})
            return
        text = body["messages"][0]["content"]
        reference = re.search(r"参考答案：\n(.*?)\n\n", text, re.S)[1]
        if "第一个回答" in text:
            first = re.search(r"第一个回答：\n(.*?)\n\n", text, re.S)[1]
            second = re.search(r"第二个回答：\n(.*?)\n\n", text, re.S)[1]
            better = "second" if second == reference != first else "first"
            said = {"reason": "…", "better": better}
        else:
            answer = re.search(r"\n回答：\n(.*?)\n\n", text, re.S)[1]
            mark = 5 if answer == reference else 2
            names = ("helpful", "relevant", "concise", "coherent", "correct")
            said = {"reason": "…", **dict.fromkeys(names, mark)}
        content = self.wrong or f"<think>…</think>好的：```json\n{json.dumps(said)}\n```"
        self.reply(
            200,
            {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
            | {"choices": [{"index": 0, "finish_reason": "stop"}
                           | {"message": {"role": "assistant", "content": content}}]}
            | {"usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}},
        )  # fmt: skip

    def reply(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setattr(Opinion, "asked", 0)
    monkeypatch.setattr(Opinion, "wrong", None)
    monkeypatch.setattr(Opinion, "no_temperature", False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Opinion)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()


def rate(url: str, folder: Path, *arguments: object, code: int = 0) -> str:
    options = ["--base-url", url, "--model", "m", "--cache", folder / "cache.jsonl"]
    options += ["--concurrency", 2]
    result = CliRunner().invoke(app, ["rate", *map(str, [*arguments, *options])])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_two_reports_are_rated_compared_and_paid_for_once(url: str, tmp_path: Path) -> None:
    base = write_report(tmp_path / "base", ["不知道"] * 3 + GOOD[3:])
    tuned = write_report(tmp_path / "tuned", GOOD)
    rows = [
        f"甲,{question},{answer},5,5,5,{mark}"
        for (question, _), answer, mark in zip(QUESTIONS, GOOD, (5, 5, 5, 4, 5, 5), strict=True)
    ]
    people = tmp_path / "ratings.csv"
    header = "rater,question,answer,helpful,relevant,concise,coherent"
    people.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    shown = rate(url, tmp_path, base, tuned, "--people", people, "--price-in", 10)
    assert "6 questions, marks 1 to 5" in shown and "+1.50" in shown
    # The three that are alike are ties without a question.
    assert "won 3, lost 0, tied 3" in shown and " 0% of the questions turn" in shown
    assert "no habit was shown; its agreement" in shown
    assert "agreement with people, coherent: kappa" in shown and "(9 answers" in shown
    # Where both answers are good the reply to "rate" is one: 6 + 3 marks, 6 verdicts.
    assert "cost 0." in shown
    asked = Opinion.asked
    cache = tmp_path / "cache.jsonl"
    lines = cache.read_text("utf-8").splitlines(keepends=True)
    cache.write_text("".join(lines[:-1]) + lines[-1][:20], "utf-8")  # killed while writing
    assert "1 calls" in rate(url, tmp_path, base, tuned)
    asked = Opinion.asked
    again = rate(url, tmp_path, base, tuned, "--json", tmp_path / "told.json")
    assert Opinion.asked == asked and "0 calls" in again and "won 3" in again
    assert "was not compared with people" in again
    told = json.loads((tmp_path / "told.json").read_text("utf-8"))
    assert [each["better"] for each in told] == ["second"] * 3 + ["tie"] * 3
    assert told[0]["in_order"] == ["second", "first"] and told[0]["reasons"] == ["…", "…"]
    assert told[0]["answers"][0]["marks"]["correct"] == 2 and told[0]["answers"][0]["reason"] == "…"


def test_an_endpoint_may_refuse_a_temperature(url: str, tmp_path: Path) -> None:
    Opinion.no_temperature = True
    assert "6 questions, marks 1 to 5" in rate(url, tmp_path, write_report(tmp_path / "a", GOOD))


def test_a_judge_that_takes_what_comes_first_is_called_out(url: str, tmp_path: Path) -> None:
    first = write_report(tmp_path / "a", [f"{answer} 甲" for answer in GOOD])
    second = write_report(tmp_path / "b", [f"{answer} 乙乙" for answer in GOOD])
    shown = rate(url, tmp_path, first, second)
    assert "things speak against this judge" in shown and "tied 6" in shown
    assert "! position: the answer shown first wins 100%" in shown
    assert "100% of the questions turn" in shown and "preference +1.00" in shown
    assert "every answer got the same marks" in shown


def test_a_judge_that_calls_no_answer_correct_is_called_out(url: str, tmp_path: Path) -> None:
    idle = [question for question, _ in QUESTIONS[:3]]
    shown = rate(url, tmp_path, write_report(tmp_path / "a", [*idle, "不对", "不", "错"]))
    assert "! 3 answers that answer nothing" in shown and 'got "correct" 2.00' in shown
    shown = rate(url, tmp_path, write_report(tmp_path / "b", [*idle, *GOOD[3:]]))
    assert " 3 answers that answer nothing" in shown and "! 3 answers" not in shown


def test_answers_without_a_reference_can_be_judged(url: str, tmp_path: Path) -> None:
    report = write_report(tmp_path / "a", GOOD)
    rows = [json.loads(line) for line in (report / "answers.jsonl").read_text("utf-8").splitlines()]
    lines = [json.dumps(row | {"reference": None}) + "\n" for row in rows]
    (report / "answers.jsonl").write_text("".join(lines), "utf-8")
    assert "6 questions, marks 1 to 5" in rate(url, tmp_path, report)


def test_replies_without_marks_are_counted_and_a_dead_key_stops(url: str, tmp_path: Path) -> None:
    report = write_report(tmp_path / "a", GOOD)
    Opinion.wrong = '{"helpful": 9}'
    shown = rate(url, tmp_path, report, "--limit", 2, code=2)
    assert "2 not rated: JSON of another shape" in shown and "not one usable rating" in shown
    assert "is empty" in rate(url, tmp_path, report, "--key-env", "NO_SUCH_KEY", code=2)
    people = tmp_path / "p.csv"
    people.write_text("rater,question,answer,helpful\n甲,问,答,good\n", "utf-8")
    assert "p.csv, line 2" in rate(url, tmp_path, report, "--people", people, code=2)


def test_habits() -> None:
    assert [winner(("first", "second")), winner(("second", "first"))] == [-1, 1]
    assert winner(("first", "first")) == winner(("tie", "first")) == 0
    first, turned = position_bias([("first", "first"), ("first", "second"), ("tie", "tie")])
    assert (first, turned) == (0.75, pytest.approx(1 / 3))
    assert rank_correlation([1, 2, 3], [1, 2, 5])[0] == pytest.approx(1)
    assert rank_correlation([1, 1, 1], [1, 2, 5]) is None
    assert position_habit([("first", "first")] * 8).mean == 1
    assert position_habit([("first", "second"), ("second", "first")] * 4).mean == 0
    longer = length_habit([(1, 9), (9, 1), (4, 4)] * 4, [1, -1, 1] * 4)
    assert longer.mean == 1 and longer.side == 1
    assert length_habit([(3, 3)], [1]) is None
