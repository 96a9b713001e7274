"""What a set of answers looks like: lengths, the words the judge counts, code.

One measure for the build's report, for `data build --like` and for whoever else sets answers of
two kinds side by side. It holds numbers only, none of the texts.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import mean, median

from common.language import either
from data.code_lines import has_code
from judging.scoring import judge_tokens

# A gap of this factor in mean length, or in the words that count, is worth a sentence.
LARGE_GAP = 1.5


@dataclass(frozen=True)
class AnswerProfile:
    """Figures of a set of answers; all 0 for none.

    chars_*: characters. latin_words_*: words and numbers that the judge counts (runs of [a-z0-9]),
    one answer. without_latin, code_share: shares of the answers, 0 to 1; code_share counts those
    with at least one line of code.
    """

    count: int = 0
    chars_mean: float = 0.0
    chars_median: float = 0.0
    chars_p90: float = 0.0
    latin_words_mean: float = 0.0
    latin_words_median: float = 0.0
    without_latin: float = 0.0
    code_share: float = 0.0

    def to_dict(self) -> dict[str, float]:
        """The fields by name, as reports write them."""
        return asdict(self)


def measure(answers: Sequence[str]) -> AnswerProfile:
    """The profile of these answers."""
    if not answers:
        return AnswerProfile()
    count = len(answers)
    chars = sorted(map(len, answers))
    words = [len(judge_tokens(answer)) for answer in answers]
    return AnswerProfile(
        count=count,
        chars_mean=round(mean(chars), 1),
        chars_median=median(chars),
        chars_p90=chars[min(int(count * 0.9), count - 1)],
        latin_words_mean=round(mean(words), 1),
        latin_words_median=median(words),
        without_latin=round(words.count(0) / count, 4),
        code_share=round(sum(map(has_code, answers)) / count, 4),
    )


def gap(answers: Sequence[str], references: Sequence[str]) -> str:
    """One line: "your answers: 101 characters, 8 Latin words; references: 275, 30"."""
    own, wanted = measure(answers), measure(references)
    return either(
        f"你的回答：{own.chars_mean:.0f} 字符，{own.latin_words_mean:.0f} 个英文词；"
        f"参考答案：{wanted.chars_mean:.0f}，{wanted.latin_words_mean:.0f}",
        f"your answers: {own.chars_mean:.0f} characters, {own.latin_words_mean:.0f} Latin words; "
        f"references: {wanted.chars_mean:.0f}, {wanted.latin_words_mean:.0f}",
    )


def large_gaps(rows: AnswerProfile, wanted: AnswerProfile) -> list[str]:
    """The fields in which two profiles are a factor of LARGE_GAP or more apart."""
    if not (rows.count and wanted.count):
        return []
    names = ("chars_mean", "latin_words_mean")
    return [
        name for name in names if _factor(getattr(rows, name), getattr(wanted, name)) >= LARGE_GAP
    ]


def gap_sentence(rows: AnswerProfile, wanted: AnswerProfile, name: str) -> str:
    """What a large gap between training answers and a test set's means; "" for none."""
    if not large_gaps(rows, wanted):
        return ""
    return either(
        f"{name} 的答案平均 {wanted.chars_mean:.0f} 字符、"
        f"{wanted.latin_words_mean:.0f} 个英文词和数字；"
        f"训练答案平均 {rows.chars_mean:.0f} 字符、{rows.latin_words_mean:.0f} 个："
        "模型会学成训练答案的样子，长短和用词差得多，得分会受损",
        f"answers of {name} have {wanted.chars_mean:.0f} characters and "
        f"{wanted.latin_words_mean:.0f} words that the judge counts on average, the training "
        f"answers {rows.chars_mean:.0f} and {rows.latin_words_mean:.0f}: a model learns the length "
        "and style of what it is trained on, which then costs score",
    )


def _factor(one: float, other: float) -> float:
    low, high = sorted((one, other))
    return high / low if low else (float("inf") if high else 1.0)
