"""`train retriever` and `train reranker`: which passage a pair belongs to, and real training."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sentence_transformers")
pytest.importorskip("faiss")
pytest.importorskip("datasets")  # in .venv-train alone, where test.sh runs these

from common.pairs import Pair  # noqa: E402
from retrieval.dense import Encoder  # noqa: E402
from retrieval.passages import Passage, write_passages  # noqa: E402
from retrieval.search import Retriever  # noqa: E402
from tests.tiny_bert import write_bert  # noqa: E402
from train.recipe_file import RecipeError, load_recipe  # noqa: E402
from train.retriever.examples import (  # noqa: E402
    heading_examples,
    place_of,
    read_examples,
    with_wrong_passages,
)
from train.retriever.recipe import RerankerRecipe, RetrieverRecipe, sweep_points  # noqa: E402

ROOT = Path(__file__).parents[1]
SHIPPED = ROOT / "train/recipes/retrieval"
NAMES = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉"
KINDS = ("桥", "塔")


def passage(number: int) -> Passage:
    name, kind = NAMES[number % 20], KINDS[number // 20]
    text = f"{name}{kind}长 {100 + number} 米，建于 {1800 + number} 年，在{name}河上。"
    return Passage(
        f"p{number}",
        "b.md",
        ("书", f"{number}. {name}{kind}"),
        100 * number,
        100 * number + 90,
        text,
    )


PASSAGES = [passage(number) for number in range(40)]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder with data/, index/ and an untrained encoder/."""
    (tmp_path / "data").mkdir()
    for name, chosen, asked in (
        ("train", range(0, 40), "建于何年"),
        ("dev", range(3, 40, 4), "哪年建的"),
    ):
        rows = [
            {
                "question": f"{PASSAGES[n].path[1][-2:]}有多长，{asked}？",
                "answer": PASSAGES[n].text,
                "book": "b.md",
                "path": list(PASSAGES[n].path),
                "span": [PASSAGES[n].start + 5, PASSAGES[n].end],
            }
            for n in chosen
            if name == "dev" or n % 4 != 3
        ]
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (tmp_path / "data" / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    index = tmp_path / "index"
    index.mkdir()
    write_passages(index, PASSAGES)
    # bm25s is not in the training environment, as with a user: what serves made the index.
    code = (
        "import sys; from pathlib import Path; from retrieval.passages import read_passages;"
        "from retrieval.sparse import write_sparse_index as w; p = Path(sys.argv[1]);"
        "w([x.indexed_text for x in read_passages(p)], p / 'bm25')"
    )
    python = ROOT / ".venv/bin/python"
    subprocess.run([python, "-c", code, index], cwd=ROOT, check=True)
    text = "".join(p.indexed_text for p in PASSAGES) + "有多长哪年建的于何？"
    write_bert(tmp_path / "e5-tiny", "BertModel", text)
    return tmp_path


def overrides(made: Path, **more: object) -> list[str]:
    fields: dict[str, object] = {
        "model_name_or_path": made / "e5-tiny",
        "dataset_dir": made / "data",
        "index_dir": made / "index",
        "output_dir": made / "out",
        "per_device_train_batch_size": 8,
        "max_seq_length": 64,
        "freeze_embeddings": "false",
        "learning_rate": "3e-3",
        "num_train_epochs": 4,
        **more,
    }
    return [f"{key}={value}" for key, value in fields.items()]


def command(made: Path, kind: str, *more: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "train", kind, f"{SHIPPED}/{kind}.yaml", *more]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


def test_a_row_belongs_to_the_passage_that_its_span_lies_in() -> None:
    row = {"book": "b.md", "path": ["书"], "span": [295, 380]}
    assert place_of(Pair("?", "x", extra=row), PASSAGES) == 3
    assert place_of(Pair("?", "x", extra={**row, "book": "c.md"}), PASSAGES) is None
    assert place_of(Pair("?", "x", extra={**row, "span": [5000, 5100]}), PASSAGES) is None


def test_a_row_without_a_span_belongs_to_its_section_if_that_holds_its_answer() -> None:
    row = {"book": "b.md", "path": list(PASSAGES[7].path), "span": [0, 0]}
    assert place_of(Pair("?", "建于 1807 年", extra=row), PASSAGES) == 7
    assert place_of(Pair("?", "完全无关的话", extra=row), PASSAGES) is None
    assert place_of(Pair("?", "建于 1807 年"), PASSAGES) is None


def test_headings_of_dev_sections_give_no_question() -> None:
    found = heading_examples(PASSAGES, {PASSAGES[3].path})
    assert len(found) == 39 and all(example.right != 3 for example in found)
    assert found[0].question == "书 甲桥" and found[0].shown(PASSAGES[0]) == PASSAGES[0].text


def test_wrong_passages_are_neither_right_nor_hold_the_answer(made: Path) -> None:
    recipe = load_recipe(SHIPPED / "retriever.yaml", overrides(made, negatives=5), RetrieverRecipe)
    examples = read_examples(recipe, PASSAGES)
    assert not examples.lost and {e.right % 4 for e in examples.dev} == {3}
    assert all(e.right % 4 != 3 for e in examples.train)
    for example in with_wrong_passages(examples.train, Retriever.load(made / "index"), recipe):
        assert len(set(example.wrong)) == 5 and example.right not in example.wrong
        held = [p for p in example.wrong if example.answer and example.answer in PASSAGES[p].text]
        assert not held


def test_what_marks_a_wrong_passage_is_not_its_looks_or_its_section(made: Path) -> None:
    recipe = load_recipe(SHIPPED / "reranker.yaml", overrides(made, negatives=5), RerankerRecipe)
    examples = read_examples(recipe, PASSAGES)
    index = Retriever.load(made / "index")
    found = with_wrong_passages(examples.train, index, recipe, examples.held_out)
    assert all(len(example.wrong) == 5 for example in found)
    assert all(p % 4 != 3 for example in found for p in example.wrong)  # dev's are never wrong
    bare = [example for example in found if not example.answer]
    assert len(bare) == 30  # made from headings: shown without them, right or wrong
    for example in bare:
        for p in (example.right, *example.wrong):
            assert PASSAGES[p].heading not in example.shown(PASSAGES[p])


def test_a_bi_encoder_learns_and_carries_its_prompts(made: Path) -> None:
    done = command(made, "retriever", *overrides(made), "--sweep", "scale=20,50")
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((made / "out/result.json").read_text("utf-8"))
    assert [point["point"] for point in told["sweep"]] == [{"scale": 20}, {"scale": 50}]
    dense = told["compared"][0]
    assert dense["method"] == "dense"
    change, gained = dense["change_of_ndcg"], dense["tuned"]["nDCG@10"]["mean"]
    assert change["mean"] == pytest.approx(gained - dense["base"]["nDCG@10"]["mean"])
    words = "better" if change["low"] > 0 else "worse" if change["high"] < 0 else "no difference"
    assert f"dense ↔ base — {words}" in done.stdout
    log = [json.loads(line) for line in (made / "out/log.jsonl").open(encoding="utf-8")]
    reached = [row["ndcg"] for row in log if "ndcg" in row]
    assert log[0]["step"] == 0 and len(reached) > 1
    assert max(point["dev_ndcg"] for point in told["sweep"]) == pytest.approx(max(reached[1:]))
    losses = [row["loss"] for row in log if "loss" in row]
    assert losses[-1] < losses[0]
    assert (made / "out/curves.png").stat().st_size > 1000
    assert not (made / "out/checkpoints").exists() and not (made / "out/candidate").exists()
    model = made / "out/model"
    assert json.loads((model / "manifest.json").read_text("utf-8"))["stage"] == "retriever"
    assert (Encoder(model).queries(["甲桥"]) != Encoder(model).documents(["甲桥"])).any()


@pytest.mark.slow
def test_a_cross_encoder_learns_and_reranks(made: Path) -> None:
    done = command(
        made, "reranker", *overrides(made, negatives=2, num_train_epochs=1, logging_steps=1)
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (told,) = json.loads((made / "out/result.json").read_text("utf-8"))["compared"]
    assert told["method"] == "reranked" and told["count"] == 10
    # Its base has no head, whose order would be random: it is to beat BM25's.
    assert told["against"] == "BM25" and "gets a new head" in done.stdout
    assert "180 pairs of question and passage" in done.stdout
    assert told["change_of_ndcg"]["low"] <= told["change_of_ndcg"]["high"]
    log = [json.loads(line) for line in (made / "out/log.jsonl").open(encoding="utf-8")]
    losses = [row["loss"] for row in log if "loss" in row]
    assert losses[-1] < losses[0]
    assert log[0] == {"step": 0, "ndcg": pytest.approx(told["base"]["nDCG@10"]["mean"])}
    # The model made now ranks already: trained on, it is compared with itself as well.
    again = {"model_name_or_path": made / "out/model", "output_dir": made / "again"}
    done = command(made, "reranker", *overrides(made, max_steps=1, **again))
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads((made / "again/result.json").read_text("utf-8"))["compared"]
    assert [each["against"] for each in told] == ["BM25", "base"]
    assert "new head" not in done.stdout


def test_what_cannot_be_trained_is_told(made: Path) -> None:
    (made / "data/dev.jsonl").write_text("", encoding="utf-8")
    done = command(made, "retriever", *overrides(made))
    assert done.returncode == 1 and "0 dev questions" in done.stdout
    done = command(made, "retriever", "scal=3")
    assert done.returncode == 1 and "did you mean scale?" in done.stdout
    with pytest.raises(RecipeError, match="learning_rate, negatives"):
        sweep_points(["scale=3"], RerankerRecipe)
    for wrong in ("learning_rate=fast", "negatives=0", "negatives=1.5"):
        with pytest.raises(RecipeError, match=wrong):
            sweep_points([wrong], RerankerRecipe)


def test_a_sweep_has_numbers_as_people_write_them() -> None:
    points = sweep_points(["learning_rate=1e-5,0.00003", "negatives=2"], RerankerRecipe)
    assert points == [
        {"learning_rate": 1e-5, "negatives": 2},
        {"learning_rate": 3e-5, "negatives": 2},
    ]
