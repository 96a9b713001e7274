"""Cleaning, near-duplicates, leaks, splits, wordings."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.rows import read_pairs
from data.contamination import check
from data.dedupe import drop_duplicates
from data.filters import RULES, Cleaner
from data.paraphrase import rephrased, wordings
from data.records import Pair
from data.split import (
    SPLITS,
    SplitLeakError,
    SplitSettings,
    assert_no_leak,
    split_pairs,
    without_near,
)
from data.text import normalise

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared" / "real"

CHUNK = (
    "线程束（warp）是 GPU 调度的基本单位，包含 32 个线程，它们同时执行相同的指令。"
    "cudaFree 释放内存。"
)
GOOD = Pair("什么是线程束？", "线程束（warp）是 GPU 调度的基本单位，包含 32 个线程。", "definition")


@pytest.mark.parametrize(
    ("rule", "question", "answer"),
    [
        ("schema", "什么是线程束？", " "),
        ("language", "What is a warp?", "A warp has 32 threads and runs them in lockstep."),
        ("length", "线？", "线程束（warp）是 GPU 调度的基本单位。"),
        ("length", "什么是线程束？", "线程束" * 700),
        ("elsewhere", "上图中的线程束是什么？", "线程束（warp）是 GPU 调度的基本单位。"),
        ("elsewhere", "什么是线程束？", "根据本章内容，线程束是 GPU 调度的基本单位。"),
        ("truncated", "什么是线程束？", "线程束（warp）是 GPU 调度的基本单位，包含以下线程："),
        ("repeating", "什么是线程束？", "线程束是调度的基本单位。线程束是调度的基本单位。"),
        ("informative", "线程束是基本单位吗？", "线程束是基本单位"),
        ("grounded_terms", "什么是线程束？", "线程束（warp）包含 64 个线程。"),
        ("grounded_terms", "什么是线程束？", "线程束（wavefront）是 GPU 调度的基本单位。"),
        ("grounded_terms", "cudaMalloc 的作用是什么？", "它释放内存，供其他程序使用。"),
        ("grounded_content", "什么是线程束？", "操作系统通过页表把虚拟地址翻译成物理地址。"),
    ],
)
def test_each_rule_drops_what_it_is_for_and_can_be_switched_off(rule, question, answer):
    pair = Pair(question, answer)
    cleaner = Cleaner()
    assert cleaner.keep([pair, GOOD], CHUNK) == [GOOD]
    assert cleaner.dropped == {rule: 1}
    assert rule not in {Cleaner(frozenset({rule})).reason(pair, CHUNK)}


def test_an_unknown_rule_is_named():
    with pytest.raises(ValueError, match="no cleaning rule nonsense.*schema"):
        Cleaner(frozenset({"nonsense"}))


def test_merged_pairs_are_not_held_to_a_chunk():
    assert Cleaner().keep([Pair("什么是页表？", "页表把虚拟地址翻译成物理地址。")], "")
    assert set(RULES) >= {"schema", "language", "length", "elsewhere", "truncated", "repeating"}


def test_duplicates_go_and_close_but_different_questions_stay():
    pairs = [
        Pair("threadIdx.x 的作用是什么？", "threadIdx.x 是线程在块内的横向下标。"),
        Pair("threadIdx.x的作用是什么", "threadIdx.x 是线程在块内的横向下标"),
        Pair("threadIdx.y 的作用是什么？", "threadIdx.y 是线程在块内的纵向下标。"),
        Pair("FP64 的尾数位是多少？", "FP64 的尾数位是 52。"),
        Pair("FP64 的指数位是多少？", "FP64 的指数位是 11。"),
        Pair("FP64 的指数位是多少？", "指数位的数目取决于所用的机器。"),
        Pair("CUDA 核函数为什么需要检查边界条件？", "因为线程总数可能超过数据个数。"),
        Pair("CUDA 核函数为什么需要检查边界的条件？", "因为线程总数可能会超过数据个数。"),
        Pair("甲？", "主机和设备的内存各自独立，需要复制数据。"),
        Pair("乙？", "主机和设备的内存各自独立，需要复制数据。"),
        Pair("丙？", "主机和设备的内存各自独立，需要复制数据。"),
    ]
    dropped: Counter[str] = Counter()
    kept = [pair.question for pair in drop_duplicates(pairs, dropped)]
    assert kept == [pairs[i].question for i in (0, 2, 3, 4, 6, 8, 9)]
    assert dropped == {"same_question": 2, "conflict": 1, "same_answer": 1}


# --- leaks

TESTS = [
    ("CUDA 中的线程束是什么？", "线程束是 CUDA 设备中线程调度的基本单位，通常包含 32 个线程。")
]


@pytest.mark.parametrize(
    ("question", "answer", "leaks"),
    [
        ("CUDA中的线程束是什么", "别的", True),
        ("简答：CUDA 中的线程束是什么？", "别的", True),
        ("请问 CUDA 里的线程束是什么？", "别的", True),
        ("何为 warp？", "线程束是 CUDA 设备中线程调度的基本单位，通常包含 32 个线程", True),
        ("CUDA 中的网格是什么？", "网格由线程块组成。", False),
        ("线程束", "别的", False),
    ],
)
def test_near_duplicates_of_test_pairs_are_leaks(question, answer, leaks):
    outcome = check([[(question, answer)]], TESTS)
    assert bool(outcome.leaks) is leaks
    assert len(outcome.leaks) + len(outcome.survivors) == 1


def test_closest_survivors_come_first():
    rows = [("什么是网格？", "x"), ("CUDA 中的流式多处理器是什么？", "y"), ("页表？", "z")]
    outcome = check([[row] for row in rows], TESTS, keep_survivors=2)
    assert [match.row for match in outcome.survivors] == [1, 0]
    assert outcome.survivors[0].similarity > outcome.survivors[1].similarity


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real inputs are not here")
def test_all_100_test_questions_are_found_in_the_public_training_set():
    command = [sys.executable, "-m", "data", "check-leak", "--show", "2"]
    files = [str(REAL / "qa_pairs.jsonl"), str(REAL / "testset_basic.docx")]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "100 of 100 test questions are in qa_pairs.jsonl" in done.stdout


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="the real inputs are not here")
def test_a_test_set_does_not_leak_into_unrelated_pairs():
    rows = [(f"第{n}座桥有多长？", f"第{n}座桥长 {n * 7} 米。") for n in range(200)]
    tests = [(p.question, p.answer) for p in read_pairs(REAL / "testset_basic.docx").pairs]
    assert not check([[row] for row in rows], tests).leaks


# --- splits


def book_pairs(sections: int, each: int = 3) -> list[Pair]:
    pairs = []
    for s in range(sections):
        for n in range(each):
            name = f"器件{chr(0x4E00 + 37 * s + n)}{chr(0x5E00 + 53 * s + 7 * n)}"
            pairs.append(
                Pair(
                    f"{name}有多重？",
                    f"{name}重 {s * 100 + n} 克，编号 K{s}N{n}。",
                    path=(f"节{s}",),
                )
            )
    return pairs


def test_splits_follow_sections_and_seed():
    pairs = book_pairs(30)
    first = split_pairs(pairs, SplitSettings(seed=1, dev=0.2, calibration=0.1))
    assert first == split_pairs(pairs, SplitSettings(seed=1, dev=0.2, calibration=0.1))
    assert first != split_pairs(pairs, SplitSettings(seed=2, dev=0.2, calibration=0.1))
    homes = {name: {p.section for p in rows} for name, rows in first.items()}
    assert not homes["train"] & homes["dev"] and not homes["train"] & homes["calibration"]
    assert 12 <= len(first["dev"]) <= 24 and 6 <= len(first["calibration"]) <= 15
    assert sum(map(len, first.values())) == len(pairs)


def test_sections_that_tell_the_same_fact_stay_together():
    pairs = book_pairs(12)
    fact = "共享内存位于芯片上，由同一线程块的线程共用，访问延迟很低，大小有限。"
    pairs += [Pair(f"问{n}：共享内存怎么样？", fact, path=(f"节{n}",)) for n in (0, 5, 9)]
    for seed in range(8):
        splits = split_pairs(pairs, SplitSettings(seed, 0.3, 0.2))
        home = {name for name, rows in splits.items() if any(p.answer == fact for p in rows)}
        assert len(home) == 1


@pytest.mark.parametrize(
    "other",
    [
        Pair("甲有多重啊？", "完全不同的回答。", path=("节0",)),
        Pair("器件的重量是多少克？", "无关。", path=("另",)),
        Pair("无关的问题？", "器件甲重 100 克，放在第 3 个柜子里的最上面一层。", path=("另",)),
    ],
)
def test_a_leaking_split_is_refused(other):
    mine = Pair(
        "器件的重量是多少克？", "器件甲重 100 克，放在第 3 个柜子里的最上面一层。", path=("节0",)
    )
    with pytest.raises(SplitLeakError):
        assert_no_leak({"train": [mine], "dev": [other], "calibration": []})


def test_a_wording_near_a_held_out_question_goes():
    held = [Pair("为什么核函数需要检查边界条件？", "甲。")]
    near = Pair("为什么核函数需要检查边界的条件？", "乙。")
    far = Pair("核函数的返回类型是什么？", "丙。")
    assert without_near([near, far], held) == [far]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.text("甲乙丙丁戊己庚辛", min_size=3, max_size=9)),
        min_size=1,
        max_size=40,
    ),
    st.integers(0, 5),
)
def test_any_pairs_split_without_a_leak(rows, seed):
    pairs = [Pair(f"{text}？", f"{text}的答案", path=(str(section),)) for section, text in rows]
    splits = split_pairs(pairs, SplitSettings(seed, 0.3, 0.2))  # asserts by itself
    assert sorted(p.id for name in SPLITS for p in splits[name]) == sorted(p.id for p in pairs)


# --- wordings


def test_wordings_keep_the_subject_and_the_answer():
    pairs = [
        Pair("什么是线程束？", "甲。"),
        Pair("为什么 warp 会发散？", "乙。"),
        Pair("怪问题", "丙。"),
    ]
    made = rephrased(pairs, 2)
    assert len(made) == 3 + 2 + 2
    assert {p.group for p in made if p.answer == "甲。"} == {pairs[0].group or pairs[0].id}
    assert all("线程束" in p.question for p in made if p.answer == "甲。")
    assert wordings("cudaFree的作用是什么？", 1) == ["cudaFree有什么作用？"]


def test_one_question_never_gets_two_answers():
    pairs = [Pair("什么是栈？", "甲。"), Pair("栈是什么？", "乙。")]
    made = rephrased(pairs, 4, taken={normalise("如何理解栈？")})
    asked = [normalise(p.question) for p in made]
    assert len(asked) == len(set(asked)) and normalise("如何理解栈？") not in asked


def test_few_texts_and_many_are_compared_alike(monkeypatch):
    """Comparing all with all, and what MinHash proposes, keep the same pairs."""
    from data import dedupe

    texts = [f"线程块{n // 2}的大小应取多少，为什么要这样选择{'呢' * (n % 2)}？" for n in range(60)]
    pairs = [Pair(text, f"第{n // 2}种回答：取{n // 2}的整数倍。") for n, text in enumerate(texts)]
    few = dedupe.drop_duplicates(pairs, Counter())
    monkeypatch.setattr(dedupe, "COMPARE_ALL", 10)
    assert dedupe.drop_duplicates(pairs, Counter()) == few
    assert len(few) == 30
