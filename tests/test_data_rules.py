"""Rules: each one's examples, then texts where several meet, then the verdicts of readers."""

import json
import re
from pathlib import Path

import pytest

from data.books import read_book
from data.chunks import cut_chunks
from data.dedupe import drop_duplicates
from data.filters import Filters
from data.records import Chunk
from data.sections import read_sections
from data.sources.rules import RULES, RulesSettings, RulesSource, chunk_pairs
from data.sources.rules.nouns import is_term
from data.sources.rules.phrases import unnumbered
from data.sources.rules.registry import Bad, Good, Rule
from data.sources.rules.source import ORDER, BySentence, Level
from data.sources.sentence import clean_sentences, strip_lead

REAL = Path(__file__).parents[2] / "shared" / "real" / "cuda_tutorial.md"
SAMPLE = Path(__file__).parents[1] / "data" / "sample" / "book.md"
SAMPLE_VERDICTS = Path(__file__).with_name("data_rules_sample_verdicts.jsonl")
VERDICTS = Path(__file__).with_name("data_rules_verdicts.jsonl")


def chunks_of(text: str) -> list[Chunk]:
    return list(cut_chunks("b.md", read_sections(text)))


def pairs_of(text: str, **settings: object) -> dict[str, str]:
    """Question → answer of what the wide rules make of a text."""
    made = RulesSource(RulesSettings(**{"rules": "wide", **settings})).pairs(chunks_of(text))
    return {p.question: p.answer for _, pairs in made for p in pairs}


def kept_pairs(path: Path) -> list:
    chunks = list(cut_chunks(path.name, read_sections(read_book(path).text)))
    filters = Filters()
    kept = []
    for chunk, pairs in RulesSource(RulesSettings(rules="wide")).pairs(chunks):
        kept += filters.keep(pairs, chunk.text)
    return drop_duplicates(kept)[0]


def markdown_of(example: Good | Bad) -> str:
    """Its text under a heading that names its subject, so that no pair is dropped for want of one.

    What `named.py` asks for has tests of its own, below.
    """
    if example.text.startswith("#"):
        return example.text
    said = example.question if isinstance(example, Good) else example.text
    return f"# 第1章 {' '.join(re.sub('[#*`|]', ' ', said).split())[:60]}\n\n{example.text}"


def cases(field: str) -> list:
    rules = RULES.values()
    return [
        pytest.param(rule, example, id=f"{rule.name}-{example.text[:24]}")
        for rule in rules
        for example in getattr(rule, field)
    ]


@pytest.mark.parametrize(("rule", "example"), cases("good"))
def test_a_rule_makes_the_pair_of_its_example(rule: Rule, example: Good):
    wanted = {example.question: example.answer or example.text}
    chunks = chunks_of(markdown_of(example))
    alone = [p for chunk in chunks for p in chunk_pairs(chunk, only={rule.name}, level=Level.all)]
    assert wanted.items() <= {pair.question: pair.answer for pair in alone}.items()
    assert {pair.kind for pair in alone} <= set(rule.kinds)
    made = pairs_of(markdown_of(example), rules="all")
    assert wanted.items() <= made.items(), "another rule is in the way"


@pytest.mark.parametrize(("rule", "example"), cases("bad"))
def test_no_rule_makes_a_pair_of_a_bad_example(rule: Rule, example: Bad):
    assert example.reason
    assert pairs_of(markdown_of(example), rules="all", topic="水利工程") == {}


def texts_of(example: Good) -> set[str]:
    """What a rule may have matched: headings, blocks, their sentences, rows and cells."""
    blocks = [block for chunk in chunks_of(markdown_of(example)) for block in chunk.blocks]
    found = {unnumbered(title) for block in blocks for title in block.path}
    for block in blocks:
        found |= {block.text, strip_lead(block.text), *clean_sentences(block.text)}
        found |= {cell.strip() for cell in block.text.split("|")}
    return found


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_is_asked_somewhere_and_has_an_example_of_each_pattern(rule: Rule):
    asked = [name for steps in ORDER.values() for step in steps for name in names_of(step)]
    assert rule.name in asked and rule.good and rule.bad and rule.kinds
    texts = set().union(*map(texts_of, rule.good))
    for pattern in rule.patterns:
        assert any(pattern.search(text) for text in texts), pattern.pattern


def test_every_kind_that_a_rule_names_comes_up_in_its_examples():
    for rule in RULES.values():
        chunks = [c for example in rule.good for c in chunks_of(markdown_of(example))]
        made = {
            pair.kind for c in chunks for pair in chunk_pairs(c, only={rule.name}, level=Level.all)
        }
        assert made == set(rule.kinds), rule.name


def names_of(step: str | BySentence) -> list[str]:
    return [step] if isinstance(step, str) else list(step.statements)


def test_how_long_a_term_may_be_is_the_rules_own():
    long_name, attribute = "NVIDIA CUDA Toolkit 编译器", "统一内存访问模式优化策略报告"
    assert len(long_name) == 23 and is_term(long_name, 24) and not is_term(long_name, 22)
    assert len(attribute) == 14 and is_term(attribute, 14) and not is_term(attribute, 12)


def test_every_rule_that_is_asked_exists():
    asked = {name for steps in ORDER.values() for step in steps for name in names_of(step)}
    assert asked == RULES.keys()


def test_a_list_is_asked_as_a_whole_and_its_terms_one_by_one():
    made = pairs_of(
        "# GPU 的内存\n\nGPU 的内存分为三种：\n\n"
        "- 寄存器：每个线程私有，速度最快\n- **共享内存**：用于线程块内的数据交换\n"
        "- `cudaMalloc`：用于分配设备内存\n",
        rules="all",
    )
    whole = made["GPU 的内存可以分为哪几种？"]
    assert "（1）寄存器" in whole and "（3）cudaMalloc" in whole
    assert made["cudaMalloc的作用是什么？"] == "cudaMalloc 用于分配设备内存。"


def test_functions_are_asked_whole_with_their_indentation():
    code = (
        "__global__ void addOne(int *a, int n) {\n    int i = threadIdx.x; // 元素下标\n"
        "    if (i < n) {\n        a[i] += 1;\n    }\n}"
    )
    made = pairs_of(f"# 加法\n\n核函数如下：\n\n```c\n{code}\n\nint main() {{ return 0; }}\n```")
    assert made["请写出核函数 addOne 的实现代码。"] == code
    assert (
        made["表达式 i = threadIdx.x 计算的是什么？"] == "表达式 i = threadIdx.x 计算的是元素下标。"
    )
    assert not any("main" in question for question in made)


def test_the_same_book_gives_the_same_pairs_in_the_same_order():
    text = SAMPLE.read_text(encoding="utf-8")
    assert list(pairs_of(text).items()) == list(pairs_of(text).items())


def test_the_sample_book_is_asked_about_in_several_chapters():
    pairs = kept_pairs(SAMPLE)
    assert len(pairs) >= 10 and len({p.path[1] for p in pairs if len(p.path) > 1}) >= 5
    assert {"definition", "code", "fact"} <= {p.kind for p in pairs}


PLAIN = "排队等候区是一种存放待处理请求的内存空间，先到的先处理。"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (f"# 排队等候区\n\n{PLAIN}", True),  # a heading names it
        (f"# 排队等候区\n\n## 概述\n\n{PLAIN}", True),  # or one above
        (f"# 排队等候区的用处\n\n{PLAIN}", False),  # a heading on something else about it
        (
            f"# 排队等候区的用处\n\n排队等候区（waiting area）{PLAIN[5:]}",
            True,
        ),  # with its English name
        (f"# gatectl 的用处\n\ngatectl 开合闸门，{PLAIN.replace('排队等候区', 'gatectl ')}", False),
        (f"# 排队等候区\n\n闸门前面有一块地方。{PLAIN}", False),  # leans on the sentence before it
        (f"# 概述\n\n{PLAIN}", False),  # one sentence speaks of it
    ],
)
def test_a_subject_needs_a_heading_that_is_about_it(text: str, asked: bool):
    assert bool(pairs_of(text)) is asked


def test_all_asks_also_of_what_one_sentence_says():
    text = "# 第三节\n\n海葵共生虾是指一种住在海葵触手之间的小虾，它靠海葵躲避天敌。"
    assert not pairs_of(text)
    source = RulesSource(RulesSettings(rules="all"))
    assert [pair.question for _, pairs in source.pairs(chunks_of(text)) for pair in pairs] == [
        "什么是海葵共生虾？"
    ]
    assert source.fingerprint != RulesSource().fingerprint  # else the cache would mix them


def test_notes_and_emphasis_are_no_part_of_a_sentence():
    made = pairs_of("# warp 的调度\n\n*warp*（线程束）是指一起执行的 32 个线程[12]，由硬件调度。")
    assert made["什么是 warp？"] == "warp（线程束）是指一起执行的 32 个线程，由硬件调度。"
    listed = "形参列表是一种写成 float *a, float *b 的变量列表，用逗号隔开。"
    assert pairs_of(f"# 形参列表\n\n{listed}")["什么是形参列表？"] == listed


def test_the_sample_books_verdicts_still_hold():
    """All pairs of the sample book were read: what is made now was good."""
    rows = SAMPLE_VERDICTS.read_text(encoding="utf-8").splitlines()
    verdicts = {row["question"]: row["verdict"] for row in map(json.loads, rows)}
    assert {verdicts[pair.question] for pair in kept_pairs(SAMPLE)} == {"good"}


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_file(), reason="the real tutorial is not here")
def test_the_readers_verdicts_still_hold():
    """Pairs once judged bad stay away; a fifth of those judged good are still made."""
    verdicts = [json.loads(line) for line in VERDICTS.read_text(encoding="utf-8").splitlines()]
    good = {row["id"] for row in verdicts if row["verdict"] == "good"}
    bad = {row["id"] for row in verdicts if row["verdict"] == "bad"}
    made = {pair.id for pair in kept_pairs(REAL)}
    assert not made & bad
    assert len(made & good) / len(good) >= 0.2


SILENCE = [
    json.loads(line)
    for line in Path(__file__).with_name("data_rules_silence.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("row", SILENCE, ids=lambda row: row["text"][:20])
def test_what_readers_called_bad_in_real_books_is_not_asked_in_its_shape(row: dict[str, str]):
    """The sentences are written anew in the shapes of pairs that readers called bad.

    They stand under a heading that names their subject: the rule itself has to be silent.
    """
    made = pairs_of(markdown_of(Bad(row["text"], row["shape"])), rules="all", topic="水利工程")
    assert made == {}, row["shape"]
