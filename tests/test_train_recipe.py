"""Recipes: those of the repository load, wrong ones are told all at once."""

from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from train.recipe import Recipe
from train.recipe_file import RecipeError, load_recipe

RECIPES = sorted((Path(__file__).parents[1] / "train" / "recipes").glob("*.yaml"))


def write(path: Path, **fields) -> Path:
    needed = {"model_name_or_path": "a/b", "dataset_dir": "d", "output_dir": "o"}
    path.write_text(yaml.safe_dump({**needed, **fields}), encoding="utf-8")
    return path


def test_the_promised_recipes_are_there():
    assert {path.stem for path in RECIPES} >= {
        "qwen3-4b-lora",
        "qwen3-4b-qlora",
        "qwen3-4b-lora-8bit",
        "qwen3-4b-full",
        "qwen2.5-0.5b-lora",
        "demo",
    }


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_recipes_load_and_give_a_reason_for_every_choice(path):
    recipe = load_recipe(path)
    assert recipe.output_dir == Path("out") / path.stem
    bare = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if ":" in line and not line.startswith("#") and "#" not in line
    ]
    # Names, places and counts speak for themselves; what shapes the training has its reason.
    reasoned = {"learning_rate", "lora_rank", "packing", "num_train_epochs", "cutoff_len"}
    assert not reasoned & {line.split(":")[0] for line in bare}


def test_all_errors_come_at_once(tmp_path):
    path = write(tmp_path / "r.yaml", lora_rank=0, learning_rat=1e-4, packing="perhaps")
    with pytest.raises(RecipeError) as error:
        load_recipe(path, ["num_train_epochs=-1", "seed", "export_formats=[fp8"])
    text = str(error.value)
    assert "lora_rank" in text and "packing" in text and "num_train_epochs" in text
    assert "learning_rat: no such key; did you mean learning_rate?" in text
    assert "seed: expected key=value" in text
    assert "export_formats=[fp8: the value is no valid YAML" in text


def test_a_file_that_is_no_recipe_is_called_that(tmp_path):
    (tmp_path / "book.docx").write_bytes(b"PK\3\4" + bytes(40))
    with pytest.raises(RecipeError, match=r"book.docx: no recipe \(a .yaml, as in train/recipes\)"):
        load_recipe(tmp_path / "book.docx")


def test_overrides_win_and_read_numbers(tmp_path):
    path = write(tmp_path / "r.yaml", learning_rate="1e-4")
    recipe = load_recipe(path, ["learning_rate=3e-5", "packing=false", "export_formats=[fp8]"])
    assert recipe.learning_rate == 3e-5 and recipe.packing is False
    assert recipe.export_formats == ["fp8"]


def test_numbers_that_yaml_takes_for_text_are_read_and_text_stays_text(tmp_path):
    path = tmp_path / "r.yaml"
    needed = "model_name_or_path: a/b\ndataset_dir: d\noutput_dir: o\n"
    path.write_text(needed + "learning_rate: 2e-4\nweight_decay: 1e-2\ndefault_system: '1e5'\n")
    recipe = load_recipe(path, ["num_train_epochs=5e-1"])
    assert (recipe.learning_rate, recipe.weight_decay) == (2e-4, 0.01)
    assert (recipe.num_train_epochs, recipe.default_system) == (0.5, "1e5")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"packing": True, "group_by_length": True}, "packing and group_by_length"),
        ({"finetuning_type": "full", "quantization_bit": 4}, "unquantized"),
        ({"pack_len": 64, "cutoff_len": 128}, "pack_len 64"),
        ({"accelerate_config": "missing.yaml"}, "no such file missing.yaml"),
    ],
)
def test_choices_that_exclude_each_other(tmp_path, fields, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(write(tmp_path / "r.yaml", **fields))


@pytest.mark.parametrize(("text", "message"), [("- a\n", "key: value"), ("a: [", "valid YAML")])
def test_no_recipe_at_all(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)
    with pytest.raises(RecipeError, match="none.yaml"):
        load_recipe(tmp_path / "none.yaml")


def test_a_resolved_recipe_reads_back_the_same(tmp_path):
    recipe = load_recipe(RECIPES[0])
    path = tmp_path / "resolved.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    assert load_recipe(path) == recipe
    assert isinstance(recipe, Recipe)


def test_the_demo_is_trained_without_whatever_lies_in_index():
    """Its dev questions were asked with passages of any book that was indexed before."""
    assert load_recipe(ROOT / "train" / "recipes" / "demo.yaml").retrieval_dir is None
