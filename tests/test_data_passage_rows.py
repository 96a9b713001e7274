"""`data build --with-passages`: rows that show what the service shows, and are told apart by it."""

import asyncio
import json
from pathlib import Path

import pytest

pytest.importorskip("numpy")

from common.manifest import directory_records, read_manifest  # noqa: E402
from common.pairs import PairsError  # noqa: E402
from common.prompting import system_prompt_for  # noqa: E402
from common.read_pairs import read_pairs  # noqa: E402
from data.cache import Cache  # noqa: E402
from data.contamination import texts_of  # noqa: E402
from data.formats import merged_pairs  # noqa: E402
from data.passage_rows import PassageRows, PassageSettings  # noqa: E402
from data.records import Pair  # noqa: E402
from judging.testset import read_testset  # noqa: E402
from retrieval.build import IndexSettings, build_index  # noqa: E402
from retrieval.prompt import BETWEEN, with_passages  # noqa: E402
from retrieval.search import Retriever  # noqa: E402
from serving.settings import Settings  # noqa: E402
from tests.data_commands import SAMPLE, run  # noqa: E402
from tests.instant_engine import InstantEngine  # noqa: E402


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("indexed")
    build_index([SAMPLE], folder / "index", IndexSettings(), Cache(folder / "cache"))
    return folder / "index"


@pytest.fixture(scope="module")
def built(index: Path) -> Path:
    out, cache = index.parent / "out", index.parent / "cache"
    done = run("build", SAMPLE, "--out", out, "--cache", cache, "--with-passages", index)
    assert "before the questions: " in done.stdout
    return out


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("split", ["train", "dev", "calibration"])
def test_every_split_shows_passages_in_the_one_form(built: Path, index: Path, split: str) -> None:
    passages = {passage.id: passage for passage in Retriever.load(index).passages}
    rows = lines(built / f"{split}.jsonl")
    # Of the sample's other splits the only row may be one that stands alone.
    assert rows and (split != "train" or any(row["passages"] for row in rows))
    for row in rows:
        shown = [passages[name] for name in row["passages"]]
        assert row["messages"][0]["content"] == with_passages(row["asked"], shown)


def test_most_rows_show_where_their_answer_stands(built: Path, index: Path) -> None:
    """Some stand alone, some have wrong passages only, and the right one is not always the last."""
    passages = {passage.id: passage for passage in Retriever.load(index).passages}
    rows = lines(built / "train.jsonl")

    def right(row: dict) -> list[bool]:
        start, end = row["span"]
        return [
            passages[name].start < end and start < passages[name].end for name in row["passages"]
        ]

    shown = [right(row) for row in rows]
    alone = sum(not each for each in shown) / len(rows)
    wrong = sum(bool(each) and not any(each) for each in shown) / len(rows)
    first = [each[0] for each in shown if any(each)]
    assert 0.02 < alone < 0.25 and 0.02 < wrong < 0.25
    assert 0.6 < sum(first) / len(first) < 0.95


def test_of_the_passages_of_a_place_the_one_with_the_answers_words_is_right(index: Path) -> None:
    """A model's pairs name a whole chunk, which may lie in several passages."""
    passages = Retriever.load(index).passages
    first, second = next(
        (a, b)
        for a, b in zip(passages, passages[1:], strict=False)
        if len(a.text) > 1.5 * len(b.text) and a.book == b.book
    )
    settings = PassageSettings(no_passages=0, wrong_passages=0, later_passage=0)
    rows = PassageRows(index, settings, [SAMPLE], None, 0)
    pair = Pair("这里讲了什么？", second.text[:200], book=second.book, start=first.start)
    pair.end = second.end
    (shown,) = rows.shown([pair])
    assert shown.passages[0] == second.id


def test_the_row_is_read_as_the_prompt_and_judged_as_the_question(built: Path) -> None:
    path = built / "dev.jsonl"
    rows = lines(path)
    assert [p.question for p in read_pairs(path).pairs] == [
        row["messages"][0]["content"] for row in rows
    ]
    asked = [row["asked"] for row in rows]
    assert [pair.question for pair in read_testset(path).pairs] == asked
    assert [pair.question for pair in read_pairs(built / "testset.docx").pairs] == asked
    assert [pair.question for pair in merged_pairs(path)] == asked
    assert "教材片段" not in run("show", built, "--limit", "0").stdout
    assert all("教材片段" not in q for pair in read_pairs(path).pairs for q, _ in texts_of(pair))


def test_leaks_are_looked_for_in_questions_and_not_in_passages(built: Path, tmp_path: Path) -> None:
    first = lines(built / "train.jsonl")[0]
    stated = {
        "question": "网格跨步循环让线程从自己的全局索引出发吗？",
        "reference": "每次前进整个网格的线程总数。",
    }
    testset = tmp_path / "test.jsonl"
    testset.write_text(json.dumps(stated, ensure_ascii=False), encoding="utf-8")
    run("check-leak", built / "train.jsonl", testset)
    known = {"question": first["asked"], "reference": "x"}
    testset.write_text(json.dumps(known, ensure_ascii=False), encoding="utf-8")
    assert (
        "1 of 1 test questions"
        in run("check-leak", built / "train.jsonl", testset, ok=False).stdout
    )


def test_the_same_inputs_give_the_same_bytes_and_the_index_is_a_parent(
    built: Path, index: Path
) -> None:
    before = directory_records(built)
    cache = index.parent / "cache"
    done = run("build", SAMPLE, "--out", built, "--cache", cache, "--with-passages", index)
    assert "nothing changed" in done.stdout and directory_records(built) == before
    manifest = read_manifest(built)
    assert manifest and [parent.stage for parent in manifest.parents] == ["index"]


def test_an_index_of_another_book_or_version_is_refused(index: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.md"
    other.write_text(
        "# 桥\n\n白鹭桥全长 120 米，由石匠陈默在 1837 年主持修建。\n", encoding="utf-8"
    )
    told = run("build", other, "--out", tmp_path / "a", "--with-passages", index, ok=False)
    assert "an index of book.md, not of other.md" in told.stderr
    changed = tmp_path / "book.md"
    changed.write_text(SAMPLE.read_text(encoding="utf-8") + "\n新的一段。\n", encoding="utf-8")
    told = run("build", changed, "--out", tmp_path / "b", "--with-passages", index, ok=False)
    assert "another version of book.md" in told.stderr


def test_a_row_must_end_with_what_it_says_was_asked(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"query": "片段……问题甲？", "response": "答", "asked": "问题乙？"}
    path.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(PairsError, match="line 1: asked: "):
        read_pairs(path)


def test_passages_too_long_are_left_out_and_counted(index: Path) -> None:
    pair = Pair("什么是线程块？", "线程块是一组线程。")
    settings = PassageSettings(passage_tokens=1, no_passages=0, wrong_passages=0)
    rows = PassageRows(index, settings, [], None, seed=0)
    (row,) = rows.shown([pair])
    assert row.prompt == pair.question and not row.passages
    assert rows.counts["none"] == 1 and rows.counts["left out"] == 2


@pytest.mark.parametrize("examples", [False, True])
def test_training_and_the_service_see_the_same_tokens(
    index: Path, tiny_model: Path, tmp_path: Path, examples: bool
) -> None:
    """What the recipe trains on is what the service asks, where both show the same passages."""
    dataset = pytest.importorskip("train.dataset")
    pytest.importorskip("transformers")
    from transformers import AutoTokenizer

    from train.recipe import Recipe

    question = "什么是合并访问（coalesced access）？"
    settings = PassageSettings(no_passages=0, wrong_passages=0, later_passage=0)
    found = Retriever.load(index).search([question], 1)[0][0].passage
    pair = Pair(question, "答", book=found.book, start=found.start, end=found.end)
    (row,) = PassageRows(index, settings, [SAMPLE], None, seed=0).shown([pair])
    path = tmp_path / "train.jsonl"
    from data.formats import write_rows

    write_rows(path, [row], "messages")
    write_rows(tmp_path / "dev.jsonl", [Pair("别的？", "答")], "messages")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    recipe = Recipe(
        **{"model_name_or_path": "m", "dataset_dir": tmp_path, "output_dir": tmp_path / "out"},
        **{"calibration_file": None, "retrieval_dir": index, "retrieval_examples": examples},
    )
    rows = dataset.load_rows(recipe).train
    (encoded,) = dataset.encode_rows(tokenizer, rows, system_prompt_for(tiny_model))
    learned = [token for token in encoded["labels"] if token != -100]
    assert tokenizer.decode(learned).startswith("答") and len(learned) < 8, "the answer alone"
    trained = encoded["input_ids"][: -len(learned)]

    served: list[list[int]] = []

    class Noting(InstantEngine):
        def submit(self, batch) -> None:
            served.extend(batch.prompts)
            super().submit(batch)

    async def ask() -> None:
        from serving.answerer import Answerer

        engine = Noting()
        engine.max_model_len = 16_384  # a tiny vocabulary: a token or three for a character
        answerer = Answerer(
            engine,
            Settings(
                model_dir=tiny_model,
                retrieval_dir=index,
                retrieval_tokens=12_000,
                retrieval_examples=examples,
            ),
        )
        answerer.start()
        await answerer.answer([question], deadline=float("inf"))
        answerer.stop()

    asyncio.run(ask())
    assert BETWEEN in row.prompt
    assert served == [trained]


def test_an_option_for_passages_without_an_index_is_told(tmp_path: Path) -> None:
    done = run("build", SAMPLE, "--out", tmp_path / "out", "--passages", "3")
    assert "do nothing without --with-passages" in done.stderr
