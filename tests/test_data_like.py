"""data build --like: rows lean towards a test set's numbers; nothing else of it gets anywhere."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from common.question_kinds import kind_of
from data.__main__ import app
from data.like import compared, distance, restated, select, style_of, target_of
from data.records import Chunk, Pair
from data.sources.prompts import ModelSettings, messages, prompt_version

LONG = "，".join(f"第{n}个存储体写作 bank{n}" for n in range(14)) + "。"
WANTED = [
    (f"什么是 SECRET{i} 存储？", f"SECRET{i} 存储是：{LONG}\n\n__shared__ float s[{i}];")
    for i in range(20)
]
SHORT = [
    Pair(f"{name}有多少线程？", f"{name}有 {i} 个。")
    for i, name in enumerate("甲乙丙丁戊己庚辛壬癸子丑寅卯辰")
]
_BANKS = ("atomicAdd 原子加", "bank 冲突", "stream 流", "event 事件", "grid 网格", "block 线程块")
ALIKE = [
    Pair(
        f"什么是 {each}？",
        f"{each} 是 CUDA 的说法，"
        + "，".join(f"{each[-2:]}{n}写作 f{n}" for n in range(18))
        + "。\nf(x);",
    )
    for each in _BANKS
]


def rows(pairs: list[Pair]) -> list[tuple[str, str]]:
    return [(pair.question, pair.answer) for pair in pairs]


def test_what_is_unlike_goes_first_and_the_distance_shrinks():
    target = target_of("t.docx", WANTED)
    assert distance(WANTED, target) == 0
    kept = select(SHORT + ALIKE, target, 0.2)
    assert sum(pair in ALIKE for pair in kept) == 6 and len(kept) < 10
    assert distance(rows(kept), target) < distance(rows(SHORT + ALIKE), target) < 1
    assert kept == select(SHORT + ALIKE, target, 0.2)
    assert len(select(SHORT + ALIKE, target, 0.9)) == 19, "the share asked for stays"
    assert select(ALIKE[:1], target, 0.0) == ALIKE[:1], "one pair at least"


def test_the_numbers_say_length_words_code_kinds_and_restating():
    target = target_of("t.docx", WANTED)
    assert target.kinds == {"definition": 1.0} and target.answers.code_share == 1.0
    assert target.chars_low > 150 and target.restated >= 0.5
    told = compared(rows(SHORT), target)
    assert told["figures"]["chars_mean"][0] < 10 < told["figures"]["chars_mean"][1]
    assert told["kinds"]["calculation"] == [1.0, 0.0] and told["distance"] > 0.9
    with pytest.raises(ValueError, match="no question"):
        target_of("t.docx", [])


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("什么是线程束？", "definition"),
        ("为什么要对齐？", "why"),
        ("warp 和 block 有什么区别？", "comparison"),
        ("请写出归约的代码。", "code"),
        ("一个 SM 有多少个寄存器？", "calculation"),
        ("有哪些内存？", "enumeration"),
        ("怎样减少分支？", "how"),
        ("线程束由谁调度？", "fact"),
    ],
)
def test_kinds_of_questions(question, kind):
    assert kind_of(question).key == kind


def test_restating_is_told_from_a_bare_answer():
    assert restated("什么是共享内存？", "共享内存是片上存储。") > restated(
        "什么是共享内存？", "片上存储。"
    )


def test_the_prompt_takes_the_targets_length_and_no_word_of_it():
    style = style_of(target_of("t.docx", WANTED))
    chunk = Chunk("书", ("章",), 0, 1, ())
    asked = messages(chunk, ModelSettings(style=style))[0]["content"]
    assert "SECRET" not in asked and "存储" not in asked
    low = round(target_of("t.docx", WANTED).chars_low, -1)
    assert f"一般 {low} 到" in asked and "100% 的答案" in asked and "definition 100%" in asked
    assert "60 到 200 字" in messages(chunk, ModelSettings())[0]["content"]
    assert prompt_version(ModelSettings(style=style)) != prompt_version(ModelSettings())


def test_a_build_like_a_test_set_excludes_it_and_shows_the_distance(tmp_path: Path):
    wanted = tmp_path / "wanted.jsonl"
    merged = tmp_path / "merged.jsonl"
    leaked = {"question": WANTED[0][0], "answer": WANTED[0][1]}
    for path, found in ((wanted, WANTED), (merged, rows(SHORT + ALIKE))):
        lines = [json.dumps({"question": q, "answer": a}) for q, a in found]
        if path is merged:
            lines.append(json.dumps(leaked))
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    book = tmp_path / "书.md"
    book.write_text("# 章\n\n线程束有 32 个线程。\n", encoding="utf-8")
    out = tmp_path / "out"
    command = ["build", str(book), "--source", "none", "--merge", str(merged), "--out", str(out)]
    command += ["--cache", str(tmp_path / "cache"), "--wordings", "0"]
    done = CliRunner().invoke(app, [*command, "--like", str(wanted)])
    assert done.exit_code == 0, done.output
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert report["like"]["distance"] < report["like"]["distance_before"]
    assert report["leaks"][0]["testset"] == "wanted.jsonl" and report["leaks"][0]["removed"] >= 1
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["like"] == "wanted.jsonl" and manifest["settings"]["excluded"]
    for name in ("train", "dev", "calibration"):
        assert "SECRET" not in (out / f"{name}.jsonl").read_text(encoding="utf-8")
    assert "distance to wanted.jsonl" in " ".join(done.output.split())
    assert "Like the target?" in (out / "report.html").read_text(encoding="utf-8")
