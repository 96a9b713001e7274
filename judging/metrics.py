"""Scores beside the judge's own, each by a kept library where there is one.

A metric is a function of a reference and an answer that gives a number; `@metric` puts it into
METRICS with what it measures. All are means over questions, so that every one has an interval and
can be compared question by question.
"""

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from judging import scoring

Single = Callable[[str, str], float]
Score = Callable[[Sequence[str], Sequence[str]], list[float]]


@dataclass(frozen=True)
class Metric:
    """`score(references, answers)`, a number a question; what it measures, in two languages.

    label: its name in Chinese. better: 1 where more is better, -1 where less is, 0 where it only
    describes.
    """

    name: str
    label: str
    score: Score
    better: int
    zh: str
    en: str


METRICS: dict[str, Metric] = {}


def metric(name: str, label: str, zh: str, en: str, better: int = 1) -> Callable[[Single], Single]:
    """Adds a function of one reference and one answer to METRICS."""

    def add(score: Single) -> Single:
        def each(references: Sequence[str], answers: Sequence[str]) -> list[float]:
            return [score(r, a) for r, a in zip(references, answers, strict=True)]

        METRICS[name] = Metric(name, label, each, better, zh, en)
        return score

    return add


metric(
    "judge",
    "评测机的分",
    "ROUGE-L，只计英文单词和数字",
    "the contest's ROUGE-L: Latin words and numbers alone",
)(scoring.rouge_l)
metric(
    "rougeL-zh",
    "中文 ROUGE-L",
    "逐字计，英文按词计",
    "ROUGE-L over single Chinese characters and Latin words",
)(scoring.chinese_rouge_l)


@metric(
    "chrF",
    "chrF",
    "字符 n 元组的 F 值（sacrebleu 的 chrF2，逐题平均）：用词相近即得分，不要求次序",
    "character n-gram F-score (sacrebleu's chrF2, mean over questions): the same words, any order",
)
def chrf(reference: str, answer: str) -> float:
    """chrF2 of one answer, in [0, 1]."""
    return float(_chrf().sentence_score(answer, [reference]).score) / 100


@metric(
    "BLEU",
    "BLEU",
    "中文分词的 BLEU-4（sacrebleu 的 zh 分词，逐题平均）：短语照搬的程度",
    "BLEU-4 with sacrebleu's Chinese tokenizer (sentence BLEU, mean over questions): whole phrases",
)
def bleu(reference: str, answer: str) -> float:
    """Sentence BLEU with effective order, in [0, 1]."""
    return float(_bleu().sentence_score(answer, [reference]).score) / 100


@metric(
    "EM",
    "全对",
    "逐字相同（不计空白与标点）",
    "the same text, white space and punctuation aside",
)
def exact_match(reference: str, answer: str) -> float:
    """1 for the same letters, digits and Chinese characters, else 0."""
    return float(_letters(reference) == _letters(answer))


@metric(
    "F1-char",
    "字的 F1",
    "答案与参考共有的字，不计次序（抽取式问答的常用指标）",
    "F1 over characters whatever their order, as question answering uses it",
)
def character_f1(reference: str, answer: str) -> float:
    """F1 of the two bags of characters (Rajpurkar 2016, over characters), in [0, 1]."""
    wanted, given = Counter(_letters(reference)), Counter(_letters(answer))
    common = sum((wanted & given).values())
    return 2 * common / (wanted.total() + given.total()) if common else 0.0


@metric("characters", "字符数", "回答的字符数", "characters of the answer", better=0)
def characters(reference: str, answer: str) -> float:
    """Length of the answer; the reference is not looked at."""
    return float(len(answer))


@metric("length ratio", "长度比", "回答与参考答案的长度之比", "answer's length by reference's", 0)
def length_ratio(reference: str, answer: str) -> float:
    """Characters of the answer by those of the reference (1 where that is empty)."""
    return len(answer) / max(1, len(reference))


@metric(
    "repetition",
    "重复",
    "出现过的字四元组所占比例",
    "share of character 4-grams that stood before in the same answer (Welleck 2020, seq-rep-4)",
    better=-1,
)
def repetition(reference: str, answer: str) -> float:
    """1 - distinct / all 4-grams of the answer's characters, in [0, 1)."""
    grams = [answer[i : i + 4] for i in range(len(answer) - 3)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def similarity(encoder: Path) -> Metric:
    """Cosine of two texts' embeddings by a local sentence-transformers model directory.

    Raises ValueError when it cannot be loaded.
    """
    if not any((encoder / name).is_file() for name in ("modules.json", "config.json")):
        raise ValueError(f"--encoder {encoder}: no model directory (no modules.json, config.json)")
    import torch
    from sentence_transformers import SentenceTransformer

    try:
        # float32: a processor has no quick arithmetic for the float16 that many are stored in.
        model = SentenceTransformer(
            str(encoder), local_files_only=True, model_kwargs={"dtype": torch.float32}
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"--encoder {encoder}: {error}") from error

    def embedded(texts: Sequence[str]) -> Any:
        return model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)

    def score(references: Sequence[str], answers: Sequence[str]) -> list[float]:
        cosines = (embedded(references) * embedded(answers)).sum(axis=1)
        pairs = zip(answers, cosines, strict=True)
        return [float(each) if answer.strip() else 0.0 for answer, each in pairs]

    return Metric(
        "similarity",
        "意思相近",
        score,
        1,
        f"{encoder.name} 向量的余弦",
        f"closeness in meaning: cosine of {encoder.name}'s embeddings",
    )


def scores(
    metrics: Sequence[Metric], references: Sequence[str], answers: Sequence[str]
) -> dict[str, list[float]]:
    """Every metric of every question, by the metric's name."""
    return {each.name: each.score(references, answers) for each in metrics}


def _letters(text: str) -> str:
    return "".join(re.findall(r"\w", text.lower()))


@functools.cache
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF()


@functools.cache
def _bleu() -> Any:
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize="zh", effective_order=True)
