"""The report: complete, truthful, one file, and safe whatever a model says."""

import base64
import hashlib
import json
import re
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from common.pairs import Pair, PairFile, Place
from judging import charts
from judging.differences import LONGEST_TEXT, differences
from judging.html_report import FILTER, WORST_SHOWN, render, whole_words
from judging.judge import Conditions, Judgement, Result, score
from judging.protocol import Health, Replies
from judging.report import answer_rows, manifest_chain, summary, table, write_report
from judging.report_words import demo_note

HOSTILE = '<script>alert("&amp;")</script><img src=http://example.org/x.png onerror=alert(1)> CUDA'
MANIFEST = {
    "stage": "quantize",
    "name": "primer-awq",
    "parents": [
        {"stage": "lora", "name": "run-1", "parents": [{"stage": "data", "name": "primer"}]},
        {"stage": "base", "name": "Qwen3-4B", "demo": True},
    ],
}


def result_of(pairs, name="basic", failure=None, seconds=None, total=2.0, sections=()):
    """A judged test set from (reference, answer) pairs."""
    questions = [
        Pair(
            f"问题{number}？",
            reference,
            (*sections, *[""] * len(pairs))[number],
            place=Place("basic.docx", f"line {number}"),
        )
        for number, (reference, _) in enumerate(pairs)
    ]
    answers = [answer for _, answer in pairs]
    replies = Replies(
        "batch" if seconds is None else "serial",
        answers,
        seconds or [None] * len(pairs),
        total,
        0,
        failure,
    )
    testset = PairFile(Path(f"sets/{name}.docx"), questions, [f"{name}: a doubt"])
    return Result(testset, questions, replies, score(questions, answers))


def judgement_of(*results, info=None, conditions=None, mode="batch"):
    return Judgement(
        "http://127.0.0.1:1",
        datetime(2025, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
        conditions or Conditions(),
        Health("batch", "batch", 1.5),
        mode,
        info,
        list(results),
    )


def told(judgement, **options):
    return summary(judgement, **options), list(answer_rows(judgement))


def printed(summed):
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(table(summed))
    return console.export_text()


class Page(HTMLParser):
    """What a browser would take from the page: its elements and its text."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.pieces = [], []
        self.feed(html)
        self.text = "".join(self.pieces)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.pieces.append(data)


# --- summary and answers ------------------------------------------------------------------------


def test_numbers_of_each_set_and_of_all():
    # Scores 1 and 0 of ceilings 1 and 1, then 1/2 of a set of its own: [a, b] against [a, c].
    first = result_of([("CUDA", "CUDA"), ("warp", "")], total=2.0)
    second = result_of([("a b", "a c")], name="bonus", total=1.0)
    summed, rows = told(judgement_of(first, second))
    basic, bonus = summed["testsets"]
    assert (basic["name"], basic["accuracy"], basic["ceiling"], basic["speed"]) == (
        "basic",
        0.5,
        1.0,
        2.0,
    )
    assert (bonus["accuracy"], bonus["speed"], bonus["questions"]) == (0.5, 3.0, 1)
    # Over all: (1 + 0 + 1/2) / 3 questions, (4 + 0 + 3) characters / 3 s.
    assert summed["total"]["accuracy"] == pytest.approx(0.5)
    assert summed["total"]["speed"] == pytest.approx(7 / 3)
    assert summed["total"]["questions"] == 3
    assert summed["total"]["empty"] == 1
    assert summed["verdict"] == "completed"
    assert basic["warnings"] == ["basic: a doubt"]
    assert [row["score"] for row in rows] == [1.0, 0.0, 0.5]
    assert rows[2]["missed"] == ("b",)
    assert rows[2]["stray"] == ("c",)
    assert set(rows[0]) >= {"question", "reference", "answer", "score", "seconds", "where"}


def test_the_mean_over_questions_is_not_the_mean_over_sets():
    first = result_of([("CUDA", "CUDA")])
    second = result_of([("a", ""), ("b", ""), ("c", "")], name="bonus")
    assert told(judgement_of(first, second))[0]["total"]["accuracy"] == 0.25


def test_a_failed_set_scores_nothing_and_says_why():
    failed = result_of([("CUDA", "")], failure="the batch was not answered within 360 s")
    summed, rows = told(judgement_of(failed))
    assert summed["verdict"] == "failed"
    assert summed["failures"] == ["basic: the batch was not answered within 360 s"]
    assert (summed["total"]["accuracy"], summed["total"]["speed"]) == (0.0, 0.0)
    page = Page(render(summed, rows)).text
    assert "would fail this submission" in page
    assert "not answered within 360 s" in page


def test_sets_of_the_same_name_are_told_apart():
    first, second = result_of([("CUDA", "CUDA")]), result_of([("a", "a")])
    second = Result(
        PairFile(Path("other/basic.docx"), second.questions),
        second.questions,
        second.replies,
        second.scores,
    )
    summed, rows = told(judgement_of(first, second))
    assert [each["name"] for each in summed["testsets"]] == ["sets/basic.docx", "other/basic.docx"]
    assert [row["testset"] for row in rows] == ["sets/basic.docx", "other/basic.docx"]


def test_sections_and_serial_times():
    result = result_of(
        [("CUDA", "CUDA"), ("a", ""), ("线程", "线程")],
        seconds=[0.5, 1.5, None],
        sections=["第1章", "第1章", "第2章"],
    )
    each = told(judgement_of(result))[0]["testsets"][0]
    assert [(part["name"], part["questions"], part["accuracy"]) for part in each["sections"]] == [
        ("第1章", 2, 0.5),
        ("第2章", 1, 0.0),
    ]
    assert each["sections"][1]["ceiling"] == 0.0
    assert (each["median_s"], each["slowest_s"]) == (1.0, 1.5)


def test_conditions_that_are_not_the_judges_are_named():
    result = result_of([("CUDA", "CUDA")])
    assert told(judgement_of(result))[0]["deviations"] == []
    other = Conditions(mode="serial", timeout=10.0, limit=1)
    summed, rows = told(judgement_of(result, conditions=other, mode="serial"))
    assert summed["deviations"] == ["--mode serial", "--timeout 10", "--limit 1"]
    assert "--timeout 10" in Page(render(summed, rows)).text


def test_real_tokens_per_second_come_from_a_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    judgement = judgement_of(result_of([("a", "one two three"), ("b", "four")], total=0.5))
    total = told(judgement, tokenizer=tokenizer)[0]["total"]
    assert (total["tokens"], total["tokens_per_second"]) == (4, 8.0)
    assert told(judgement)[0]["total"]["tokens_per_second"] is None


@pytest.mark.parametrize(
    "info", [None, {}, {"model": None}, {"model": {"manifest": "x"}}, {"model": 3}]
)
def test_info_of_other_services_may_be_anything(info):
    summed, rows = told(judgement_of(result_of([("CUDA", "CUDA")]), info=info))
    assert summed["demo"] is False
    assert summed["manifest_chain"] == []
    assert "unknown" in summed["model"]
    assert demo_note() not in render(summed, rows) + printed(summed)


def test_a_demo_model_is_called_one_everywhere():
    info = {"model": {"name": "primer-awq", "demo": True, "manifest": MANIFEST}}
    summed, rows = told(judgement_of(result_of([("CUDA", "CUDA")]), info=info))
    assert summed["note"] == demo_note()
    assert demo_note() in printed(summed)
    assert demo_note() in Page(render(summed, rows)).text


def test_the_score_can_be_traced_to_the_book():
    chain = ["quantize: primer-awq", "  lora: run-1", "    data: primer", "  base: Qwen3-4B (demo)"]
    assert manifest_chain(MANIFEST) == chain
    info = {"model": {"name": "primer-awq", "demo": False, "manifest": MANIFEST}}
    summed, rows = told(judgement_of(result_of([("CUDA", "CUDA")]), info=info))
    assert summed["manifest_chain"] == chain
    assert "\n".join(chain) in Page(render(summed, rows)).text


def test_the_table_shows_the_score_with_its_ceiling_and_baseline():
    summed, _ = told(judgement_of(result_of([("CUDA是平台", "CUDA"), ("线程", "线程")])))
    text = printed(summed)
    for words in (
        r"accuracy \(judge\).*0\.500",
        r"ceiling.*0\.500",
        r"accuracy / ceiling.*100%",
        r"echoing the question.*0\.000",
        r"Chinese-aware",
        r"characters/s \(judge\).*3\.0",
    ):
        assert re.search(words, text), words
    assert "total" not in text
    assert "slowest" not in text  # a batch has no times of single questions


# --- files --------------------------------------------------------------------------------------


def test_files_hold_what_was_judged(tmp_path):
    summed, rows = told(judgement_of(result_of([("CUDA", "CUDA \u2028 \x00"), ("warp", HOSTILE)])))
    first = write_report(summed, rows, tmp_path)
    second = write_report(summed, rows, tmp_path)
    assert first.name == "20250102-030405"
    assert second.name == "20250102-030405-2"
    assert sorted(path.name for path in first.iterdir()) == [
        "answers.jsonl",
        "report.html",
        "summary.json",
    ]
    lines = (first / "answers.jsonl").read_text("utf-8").rstrip("\n").split("\n")
    assert [json.loads(line)["answer"] for line in lines] == ["CUDA \u2028 \x00", HOSTILE]
    stored = json.loads((first / "summary.json").read_text("utf-8"))
    assert stored["total"]["accuracy"] == summed["total"]["accuracy"]
    assert set(stored["definitions"]) <= set(stored["total"])
    # The page can be made again from the two files.
    again = render(stored, [json.loads(line) for line in lines])
    assert again == (first / "report.html").read_text("utf-8")


def test_answers_can_be_judged_again_as_a_test_set(tmp_path):
    from common.read_pairs import read_pairs

    summed, rows = told(judgement_of(result_of([("CUDA", "warp")])))
    read = read_pairs(write_report(summed, rows, tmp_path) / "answers.jsonl").pairs
    assert [(row.question, row.answer) for row in read] == [("问题0？", "CUDA")]


# --- html ---------------------------------------------------------------------------------------


def test_nothing_in_the_page_comes_from_elsewhere_or_runs():
    info = {
        "model": {"name": HOSTILE, "demo": True, "manifest": {"stage": HOSTILE, "name": HOSTILE}}
    }
    result = result_of([(HOSTILE, HOSTILE + " warp")], name="<b>set", sections=[HOSTILE])
    summed, rows = told(judgement_of(result, info=info))
    page = Page(render(summed, rows))
    tags = [tag for tag, _ in page.elements]
    assert set(tags).isdisjoint({"link", "iframe", "object", "base"})
    assert tags.count("script") == 1 and FILTER.read_text("utf-8") in page.pieces
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        if tag == "img":
            assert attributes["src"].startswith("data:image/svg+xml;base64,")
    policy = [values["content"] for tag, values in page.elements if "http-equiv" in values]
    assert policy and policy[0].startswith("default-src 'none'")
    assert HOSTILE in page.text  # shown as it was said


def test_the_page_allows_its_own_script_alone():
    page = Page(render(*told(judgement_of(result_of([("CUDA", "CUDA")])))))
    policy = next(values["content"] for tag, values in page.elements if "http-equiv" in values)
    digest = hashlib.sha256(FILTER.read_bytes()).digest()
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'" in policy


def test_missed_words_are_whole_words():
    reference = "用 threadIdx.x 和 blockDim.x 算下标，cudaMalloc 分配 N 个，x 是结果。"
    assert whole_words("int i = threadIdx.x;", ["threadidx", "x"]) == ["threadIdx.x"]
    assert whole_words(reference, ["threadidx", "x"]) == ["threadIdx.x", "x"]
    assert whole_words(reference, ["cudamalloc", "n"]) == ["cudaMalloc", "N"]
    assert whole_words("", ["a", "a"]) == ["a", "a"]


def test_worst_questions_come_first_and_all_are_there():
    pairs = [("CUDA", "CUDA")] * 30 + [("CUDA warp", "CUDA")] + [("线程", "无")] + [("SM", "")]
    summed, rows = told(judgement_of(result_of(pairs)))
    text = Page(render(summed, rows)).text
    places = {number: text.index(f"问题{number}？") for number in range(len(pairs))}
    order = sorted(places, key=places.get)
    # SM lost 1 point, the pair with warp 1/3; the all-Chinese one could not win any.
    assert order[:2] == [32, 30]
    assert len(places) == 33
    assert f"The other {33 - WORST_SHOWN} questions" in text


def test_differences_mark_what_cost_score():
    left, right = differences("CUDA的warp，32个线程。", "CUDA的线程束，64个线程，")
    assert [(piece.text, piece.counts) for piece in left if piece.differs] == [
        ("warp", True),
        ("32", True),
    ]
    counted = [piece.text for piece in right if piece.differs and piece.counts]
    assert counted == ["64"]
    assert "线程束" in "".join(p.text for p in right if p.differs and not p.counts)


TEXTS = st.text(st.sampled_from("线程块共享CUDAwarp32 ，。\n<&İK"), max_size=40)


@given(TEXTS, TEXTS)
def test_pieces_join_to_the_texts_and_agree_with_the_score(reference, answer):
    from judging.scoring import missed_and_stray

    left, right = differences(reference, answer)
    assert "".join(piece.text for piece in left) == reference
    assert "".join(piece.text for piece in right) == answer
    missed, stray = missed_and_stray(reference, answer)
    assert any(piece.differs and piece.counts for piece in left) == bool(missed)
    assert any(piece.differs and piece.counts for piece in right) == bool(stray)


def test_a_huge_answer_is_shortened_and_says_so():
    summed, rows = told(judgement_of(result_of([("CUDA", "CUDA 线程，" * 2000)])))
    page = render(summed, rows)
    assert len(page) < 150_000
    assert f"{16000 - LONGEST_TEXT} characters more in answers.jsonl" in page
    assert "and 1969 more" in page  # 1999 stray tokens, of which 30 are shown


@settings(deadline=None, max_examples=15)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5), st.booleans())
def test_any_answers_make_a_whole_page(pairs, demo):
    info = {"model": {"name": "m", "demo": demo}}
    summed, rows = told(judgement_of(result_of(pairs), info=info))
    page = Page(render(summed, rows))
    assert page.text.rstrip().endswith(summed["versions"]["rouge-score"])
    printed(summed)


def test_charts_are_svg_without_missing_glyphs_and_the_same_each_time():
    _, rows = told(judgement_of(result_of([("CUDA", "CUDA"), ("线程", "线程"), ("SM", "a" * 400)])))
    for chart in (charts.score_distribution, charts.score_against_length):
        svg = chart(rows)
        assert svg == chart(rows)
        ElementTree.fromstring(svg)
        text = re.sub(r"<[^>]*>", "", svg)
        assert text.isascii()
    assert "always 0" in charts.score_distribution(rows)
    assert "over-long" in charts.score_against_length(rows)
