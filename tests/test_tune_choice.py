"""`run.sh tune`: what there is to try, and which of what was tried is chosen."""

import json
from pathlib import Path

import pytest

from common.pairs import Pair, PairFile
from judging.judge import Result, score
from judging.protocol import Replies
from tune.length import best_length
from tune.pareto import TrialResult, pareto_front, plot, select
from tune.space import UNSET, Facts, Space, settings_of, space_of


def row(number: int, score: float, speed: float, reason: str = "") -> TrialResult:
    return TrialResult(number, {"MAX_TOKENS": str(number)}, [(score, speed)], reason)


def test_the_front_keeps_what_nothing_beats() -> None:
    rows = [row(0, 0.5, 100), row(1, 0.5, 90), row(2, 0.4, 200), row(3, 0.3, 150),
            row(4, 0.6, 10), row(5, 0.9, 900, "it broke"),
            TrialResult(6, {}, [], "no start")]  # fmt: skip
    assert [r.number for r in pareto_front(rows)] == [2, 0, 4]


@pytest.mark.parametrize(
    ("others", "may_lose", "best"),
    [
        ([row(1, 0.5, 120), row(2, 0.4, 200)], 0.0, 1),  # faster at the same score
        ([row(1, 0.5, 120), row(2, 0.4, 200)], 0.1, 2),  # the person gives up score
        ([row(1, 0.5, 101)], 0.0, 0),  # less than two starts of the same settings differ by
        ([row(1, 0.5, 500, "it broke")], 0.0, 0),
    ],
)
def test_the_choice_is_the_fastest_of_equal_score(
    others: list[TrialResult], may_lose: float, best: int
) -> None:
    assert select([row(0, 0.5, 100), *others], may_lose).number == best


def test_a_score_that_is_needed_may_cost_speed() -> None:
    rows = [row(0, 0.30, 100), row(1, 0.36, 30), row(2, 0.40, 20), row(3, 0.31, 200)]
    assert select(rows).number == 3
    assert select(rows, at_least=0.35).number == 1
    assert select(rows, at_least=0.5).number == 2  # none reaches it: the highest
    assert select(rows, at_least=0.25).number == 3  # the defaults reach it


def test_a_gain_within_the_noise_of_two_starts_is_none() -> None:
    defaults, other = row(0, 0.5, 100), row(1, 0.5, 130)
    defaults.measured.append((0.5, 112))
    assert select([defaults, other]).number == 1  # so far; it is started again
    other.measured.append((0.5, 111))
    assert select([defaults, other]).number == 0
    other.measured[-1] = (0.5, 113)
    assert select([defaults, other]).number == 1


def test_nothing_is_chosen_without_the_defaults() -> None:
    with pytest.raises(ValueError, match="defaults"):
        select([row(0, 0.5, 100, "it broke"), row(1, 0.5, 120)])


def test_the_chart_is_a_png(tmp_path: Path) -> None:
    rows = [row(0, 0.5, 100), row(1, 0.4, 120), TrialResult(2, {}, [], "no start")]
    plot(rows, rows[0], tmp_path / "front.png", "demo")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")


def engine(kind: str) -> dict[str, object]:
    return {"device": {"kind": kind}, "in_process": True, "arguments": {"max_num_seqs": 512}}


def test_the_space_fits_device_model_and_questions() -> None:
    gpu = space_of(Facts(engine("cuda"), 100, [10, 20, 100], quantized=False))
    assert gpu["QUANTIZATION"] == [UNSET, "fp8"]
    sizes = json.loads(gpu["ENGINE_ARGS"][1])["compilation_config"]["cudagraph_capture_sizes"]
    assert {100, 512} <= set(sizes) and max(sizes) == 512
    assert gpu["MAX_NUM_SEQS"] == [UNSET, "64"]  # 128 of 100 questions is all of them
    assert gpu["MAX_TOKENS"] == [UNSET, "128", "112"]
    cpu = space_of(Facts(engine("cpu"), 100, [], quantized=False), ["MAX_NUM_SEQS"])
    assert not {"QUANTIZATION", "ENGINE_ARGS", "GPU_MEMORY_UTILIZATION", "MAX_NUM_SEQS"} & set(cpu)
    metax = space_of(Facts(engine("metax"), 9, [], quantized=False))
    assert "QUANTIZATION" not in metax
    assert "async_scheduling" in metax["ENGINE_ARGS"][1] and len(gpu["ENGINE_ARGS"]) == 2
    assert space_of(Facts({}, 9, [], quantized=False)) == {}
    capped = space_of(Facts(engine("cpu"), 9, [10], quantized=False, cap=96))
    assert capped["MAX_TOKENS"][:2] == [UNSET, "96"]  # what its answers say is tried first
    assert gpu["ANSWER_DRAWS"] == cpu["ANSWER_DRAWS"] == [UNSET, "4", "8"]
    assert list(gpu)[-1] == "ANSWER_DRAWS"  # the slowest trials come last
    assert gpu["ENGINES_PER_GPU"] == [UNSET, "1", "2", "3"] and "ENGINES_PER_GPU" not in cpu


def test_passages_and_examples_are_searched_only_where_a_book_is_at_hand() -> None:
    def space(count: int, fixed: tuple[str, ...] = ()) -> Space:
        return space_of(Facts(engine("cpu"), 100, [], quantized=False, passages=count), fixed)

    def passages(count: int, fixed: tuple[str, ...] = ()) -> list[str] | None:
        return space(count, fixed).get("RETRIEVAL_PASSAGES")

    assert "RETRIEVAL_EXAMPLES" not in space(0) and space(2)["RETRIEVAL_EXAMPLES"] == [UNSET, "1"]
    assert "RETRIEVAL_EXAMPLES" not in space(2, ("RETRIEVAL_EXAMPLES",))
    shown = Facts(engine("cpu"), 100, [], quantized=False, passages=3, examples=True)
    assert space_of(shown)["RETRIEVAL_EXAMPLES"] == [UNSET, "0"], "what is not in force is tried"
    assert passages(0) is None
    assert passages(2) == ["", "0", "1", "3", "5"]  # unset: the 2 of the defaults
    assert passages(3) == ["", "0", "1", "2", "5"]
    assert passages(2, ("RETRIEVAL_PASSAGES",)) is None
    # Drafts come from the passages.
    assert "DRAFT_TOKENS" not in space(2)
    gpu = [space_of(Facts(engine("metax"), 9, [], False, passages=n)) for n in (0, 2)]
    assert "DRAFT_TOKENS" not in gpu[0] and gpu[1]["DRAFT_TOKENS"] == [UNSET, "4"]


def test_more_passages_come_with_room_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    three = settings_of({"RETRIEVAL_PASSAGES": "3", "ANSWER_DRAWS": UNSET})
    assert three == {
        "RETRIEVAL_PASSAGES": "3",
        "RETRIEVAL_TOKENS": "1900",
        "MAX_MODEL_LEN": "2748",
    }
    for few in ({"RETRIEVAL_PASSAGES": "1"}, {"RETRIEVAL_PASSAGES": "0"}, {"MAX_TOKENS": "96"}):
        assert settings_of(few) == few
    monkeypatch.setenv("RETRIEVAL_TOKENS", "5000")
    five = settings_of({"RETRIEVAL_PASSAGES": "5"})
    assert "RETRIEVAL_TOKENS" not in five and five["MAX_MODEL_LEN"] == "4148"


def judged(path: Path, answers: list[str], references: list[str]) -> Result:
    pairs = [Pair(f"问题{i}？", reference) for i, reference in enumerate(references)]
    replies = Replies("batch", answers, [None] * len(pairs), 4.0, 0, None)
    return Result(PairFile(path, pairs), pairs, replies, score(pairs, answers))


def test_the_cap_of_the_best_score_is_chosen_by_the_answers(untrained_model: Path) -> None:
    good = "use CUDA to launch a kernel of many threads in blocks and grids"
    rambling = [good + " and then some more words about nothing" * n for n in range(24, 36)]
    cap = best_length(judged(Path("dev.jsonl"), rambling, [good] * 12), untrained_model)
    assert cap and cap.cut == 12 and cap.change > 0.1 and cap.kept < 0.5
    assert f"MAX_TOKENS={cap.tokens}" in cap.told()
    for answers in ([good, good], ["", ""]):  # nothing to gain; nothing said
        assert best_length(judged(Path("dev.jsonl"), answers, [good] * 2), untrained_model) is None
