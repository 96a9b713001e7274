"""The judge's accuracy, bit for bit; golden values are worked out by hand beside each case."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.read_pairs import read_pairs
from judging import scoring

REAL = Path(__file__).parents[2] / "shared" / "real"

# Texts as models and books write them: Chinese, identifiers, numbers, marks, the odd stranger.
CHARACTERS = st.characters(exclude_categories=["Cs"])
WORDS = st.sampled_from(
    [
        "线程块",
        "共享内存",
        "CUDA",
        "blockIdx.x",
        "__syncthreads()",
        "1024",
        "32",
        "，",
        "。",
        "\n",
        " ",
    ]
    + ["K", "İ", "ﬁ", "１２", "C++", "T恤", "xIP卡", "０x1F", "\u2028", "é"]
)
TEXTS = st.one_of(st.lists(WORDS, max_size=30).map("".join), st.text(CHARACTERS, max_size=60))

GOLDEN = [
    # The all-Chinese zero: no token on either side, though the answer is the reference itself.
    ("线程块内的线程共享内存。", "线程块内的线程共享内存。", 0.0),
    # Reference [cuda, 1024]; answer the same but for Chinese: L = 2, P = R = 1.
    ("CUDA 线程块最多1024个线程", "cuda每块上限为1024", 1.0),
    # Reference [warp, 32], answer [32]: L = 1, P = 1/1, R = 1/2, F = 2 * 1/2 / (3/2) = 2/3.
    ("一个warp有32个线程", "32个线程", 2 / 3),
    # Order counts: [a, b, c] against [c, a, b]: the longest common subsequence is a b, L = 2,
    # P = R = 2/3.
    ("a b c", "c a b", 2 / 3),
    # One stray token: [cudamalloc] against [cudamalloc, api]: L = 1, P = 1/2, R = 1.
    ("cudaMalloc分配设备内存", "cudaMalloc是一个API", 2 / 3),
    # [blockidx, x, blockdim, x, threadidx, x] against [blockidx, x, threadidx]: L = 3,
    # P = 1, R = 3/6, F = 2/3. The dot and the operators part tokens.
    ("blockIdx.x*blockDim.x+threadIdx.x", "blockIdx.x 和 threadIdx", 2 / 3),
    # Underscores are no token characters: [global, device] against [global, host]: L = 1.
    ("__global__与__device__", "__global__与__host__", 0.5),
    # Tokens differ, though one contains the other: [syncthreads] against [sync, threads].
    ("__syncthreads()", "sync threads", 0.0),
    # No stemming: [threads] against [thread].
    ("threads", "thread", 0.0),
    # Full-width letters and digits are not ASCII: no token.
    ("ＣＵＤＡ １０２４", "ＣＵＤＡ １０２４", 0.0),
    # Repeated tokens count once each: [x] against [x, x, x, x]: L = 1, P = 1/4, R = 1, F = 2/5.
    ("x", "x x x x", 0.4),
    ("", "CUDA", 0.0),
    ("CUDA", "", 0.0),
    ("", "", 0.0),
    ("CUDA", " \n ", 0.0),
]


@pytest.mark.parametrize(("reference", "answer", "expected"), GOLDEN)
def test_golden_scores(reference, answer, expected):
    assert scoring.rouge_l(reference, answer) == pytest.approx(expected, abs=1e-12)


@given(TEXTS, TEXTS)
def test_score_is_the_judges_formula_to_the_last_bit(reference, answer):
    import jieba
    from rouge_score.rouge_scorer import RougeScorer

    judge = RougeScorer(["rougeL"], use_stemmer=False)
    pair = " ".join(jieba.lcut(reference)), " ".join(jieba.lcut(answer))
    assert scoring.rouge_l(reference, answer) == judge.score(*pair)["rougeL"].fmeasure


@given(TEXTS, TEXTS)
def test_no_score_leaves_its_bounds(reference, answer):
    item = scoring.score_item(reference, answer, question=answer)
    assert 0.0 <= item.score <= item.ceiling <= 1.0
    assert 0.0 <= item.chinese <= 1.0
    assert item.echo == item.score


@given(TEXTS)
def test_a_text_against_itself_scores_its_ceiling(text):
    item = scoring.score_item(text, text)
    assert scoring.rouge_l(text, text) == item.ceiling
    assert item.ceiling == (1.0 if scoring.judge_tokens(text) else 0.0)
    assert item.missed == item.stray == ()


@given(TEXTS, TEXTS)
def test_missed_and_stray_tokens_explain_the_score(reference, answer):
    item = scoring.score_item(reference, answer)
    wanted, given_ = scoring.judge_tokens(reference), scoring.judge_tokens(answer)
    common = len(wanted) - len(item.missed)
    assert common == len(given_) - len(item.stray)
    if wanted and given_:
        assert item.recall == common / len(wanted)
        assert item.precision == common / len(given_)
    else:
        assert item.score == item.recall == item.precision == 0.0


@given(TEXTS)
def test_words_join_to_the_text_and_hold_its_tokens(text):
    from rouge_score.tokenizers import DefaultTokenizer

    words = scoring.judge_words(text)
    assert "".join(word for word, _ in words) == text
    whole = DefaultTokenizer().tokenize(" ".join(word for word, _ in words))
    assert [token for _, tokens in words for token in tokens] == whole


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_common_subsequence_is_one_and_the_longest(left, right):
    in_left, in_right = scoring.common_subsequence(left, right)
    assert [left[i] for i in sorted(in_left)] == [right[i] for i in sorted(in_right)]

    def longest(i, j):  # the definition, by recursion on prefixes
        table = [[0] * (j + 1) for _ in range(i + 1)]
        for a in range(i):
            for b in range(j):
                same = left[a] == right[b]
                table[a + 1][b + 1] = (
                    table[a][b] + 1 if same else max(table[a][b + 1], table[a + 1][b])
                )
        return table[i][j]

    assert len(in_left) == longest(len(left), len(right))


def test_missed_and_stray_name_the_tokens():
    # [warp, 32, sm] against [warp, 64]: common is warp.
    assert scoring.missed_and_stray("一个warp有32个线程，在SM上", "warp有64个线程") == (
        ["32", "sm"],
        ["64"],
    )


def test_accuracy_pads_missing_answers_and_ignores_further_ones():
    references = ["CUDA", "warp", "SM"]
    assert scoring.accuracy(references, ["CUDA"]) == 1 / 3
    assert scoring.accuracy(references, []) == 0.0
    assert scoring.accuracy(references, ["CUDA", "warp", "SM", "stray"]) == 1.0
    with pytest.raises(ValueError, match="at least one reference"):
        scoring.accuracy([], [])


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_accuracy_is_the_mean_and_never_above_the_ceiling(pairs):
    references, answers = zip(*pairs, strict=True)
    scores = scoring.score_answers(references, answers)
    each = [scoring.rouge_l(*pair) for pair in pairs]
    assert scores.accuracy == scoring.accuracy(references, answers) == sum(each) / len(each)
    assert scores.accuracy <= scores.ceiling
    assert scores.echo is None


def test_chinese_rouge_l_counts_chinese_characters():
    assert scoring.chinese_rouge_l("线程块共享内存", "线程块共享内存") == 1.0
    # Tokens 线 程 块 / 线 程 束: L = 2, P = R = 2/3.
    assert scoring.chinese_rouge_l("线程块", "线程束") == pytest.approx(2 / 3)
    # Tokens warp 有 32 线 程 / 32 线 程: L = 3, P = 1, R = 3/5, F = 1.2 / 1.6.
    assert scoring.chinese_rouge_l("warp有32线程", "32线程。") == pytest.approx(0.75)
    assert scoring.chinese_rouge_l("线程", "") == 0.0


def test_score_answers_gives_means_and_counts():
    references = ["CUDA是并行计算平台。", "线程块共享内存，线程在块内同步，块之间互不等待。"]
    answers = ["CUDA是并行计算平台。", "线程块共享内存，线程在块内同步，块之间互不等"]
    questions = ["CUDA是什么？", "线程块共享什么？"]
    scores = scoring.score_answers(references, answers, questions)
    # The second reference holds no counted token: score and ceiling 0 there.
    assert (scores.accuracy, scores.ceiling, scores.echo) == (0.5, 0.5, 0.5)
    # Scores 1 and 0: standard deviation 1/sqrt(2), by sqrt(2) questions.
    assert scores.stderr == pytest.approx(0.5)
    assert (scores.empty, scores.looks_cut, scores.over_long) == (0, 1, 0)
    assert scores.chinese > 0.9
    with pytest.raises(ValueError, match="1 questions for 2 references"):
        scoring.score_answers(references, answers, questions[:1])


@pytest.mark.parametrize(
    ("answer", "cut", "long", "empty"),
    [
        ("线程块内的线程可以通过共享内存交换数据，并且同步。", False, False, False),
        ("线程块内的线程可以通过共享内存交换数据，并且同", True, False, False),
        ("线程块", False, False, False),  # short, not cut
        ("线程块内的线程可以共享内存：\n```\nint i;\n", True, False, False),
        ("线程块内的线程可以共享内存：\n```\nint i;\n```", False, False, False),
        ("线程块内的线程可以共享内存。" * 10, False, True, False),
        ("  \n", False, False, True),
        ("", False, False, True),
    ],
)
def test_flags_of_an_answer(answer, cut, long, empty):
    item = scoring.score_item("线程块内的线程可以通过共享内存交换数据。", answer)
    assert (item.looks_cut, item.over_long, item.empty) == (cut, long, empty)


def test_an_unfinished_reference_is_no_evidence_of_a_cut():
    reference = "int i = blockIdx.x * blockDim.x + threadIdx.x"
    assert not scoring.looks_cut(reference, reference)


def test_speed_is_characters_by_seconds():
    assert scoring.speed(1000, 2.0) == 500.0
    assert scoring.speed(1000, 0.0) == 0.0


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason="needs ../shared/real")
def test_baselines_of_the_real_test_set():
    rows = read_pairs(REAL / "testset_basic.docx").pairs
    references = [row.answer for row in rows]
    scores = scoring.score_answers(references, references, [row.question for row in rows])
    assert len(rows) == 100
    assert scores.accuracy == scores.ceiling == pytest.approx(0.85)
    assert scores.echo == pytest.approx(0.367, abs=0.0005)
    assert scores.chinese == 1.0
