"""What would end a run later is told before it starts, all at once."""

import json
from pathlib import Path

import pytest

from common.manifest import Manifest, file_record, write_manifest
from tests.model_dirs import write_model
from train.base import ModelError, base_directory, from_hub, need_hub_id
from train.before import check_recipe
from train.dataset import DataError, load_rows
from train.excluded import ExcludedError
from train.recipe import Recipe
from train.recipe_file import RecipeError, load_recipe


@pytest.fixture
def base(tmp_path) -> Path:
    return write_model(tmp_path / "base")


def given(tmp_path, base, **fields) -> Recipe:
    needed = {"model_name_or_path": str(base), "dataset_dir": tmp_path}
    return Recipe(**{**needed, "output_dir": tmp_path / "out", **fields})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"lora_target": "q_proj,v_pro"}, "the base has no v_pro; it has down_proj, gate_proj"),
        ({"optim": "adam"}, "optim=adam: no such optimizer; usual ones are adamw_torch,"),
        ({"backend": "unsloth"}, "not installed here; backend=trl"),
        ({"serve_python": "nowhere/python"}, "serve_python=nowhere/python: no such python"),
        ({"retrieval_dir": "nowhere"}, "retrieval_dir=nowhere: no index in it"),
        ({"retrieval_dir": None, "retrieval_examples": True}, "without an index (retrieval_dir)"),
        ({"attn_implementation": "flash_attention_2"}, "needs a GPU and the package flash-attn"),
        ({"use_liger_kernel": True}, "use_liger_kernel=true: needs a GPU"),
    ],
)
def test_settings_that_cannot_be_followed(tmp_path, base, fields, told):
    import torch

    if torch.cuda.is_available() and "GPU" in told:
        pytest.skip("there is a GPU")
    with pytest.raises(ModelError) as error:
        check_recipe(given(tmp_path, base, **fields), exports=True)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_all_at_once_and_nothing_of_a_good_recipe(tmp_path, base):
    python = tmp_path / "python"
    python.write_text("")
    check_recipe(given(tmp_path, base, serve_python=python, lora_target="q_proj,v_proj"), True)
    check_recipe(given(tmp_path, base, serve_python="nowhere"))  # training alone asks for no vLLM
    with pytest.raises(ModelError) as error:
        check_recipe(given(tmp_path, base, optim="adam", retrieval_dir="nowhere"))
    assert len(str(error.value).splitlines()) == 3


def test_a_run_writes_neither_into_a_file_nor_into_its_base(tmp_path, base):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="file is a file, not a folder"):
        check_recipe(given(tmp_path, base, output_dir=tmp_path / "file" / "out"))
    merged = write_model(tmp_path / "out" / "merged")  # a second round, on the first one's result
    with pytest.raises(ModelError, match="would write into its own base"):
        check_recipe(given(tmp_path, merged))
    check_recipe(given(tmp_path, merged, output_dir=tmp_path / "second"))


@pytest.mark.parametrize(
    ("name", "files", "told"),
    [
        ("out/nothing", (), "no such directory, and no hub id"),
        ("./nothing", (), "no such directory"),
        ("Qwen3-4B", (), "no such directory, and no hub id"),
        ("a/b/c", (), "no such directory, and no hub id"),
        ("{}/empty", ("x.txt",), "no config.json"),
        ("{}/adapter", ("adapter_config.json",), "an adapter, not a model"),
        ("{}/gguf", ("m.gguf",), "holds GGUF"),
    ],
)
def test_bases_that_are_none_ask_no_hub(tmp_path, name, files, told):
    name = name.format(tmp_path)
    for file in files:
        Path(name).mkdir(exist_ok=True)
        (Path(name) / file).write_text("")
    with pytest.raises(ModelError, match=told):
        base_directory(given(tmp_path, name))


def test_rows_that_wait_for_data_compose_are_told(tmp_path):
    for name in ("train", "dev", "calibration"):
        row = {"instruction": f"什么是{name}？", "output": "是一个名称。"}
        written(tmp_path / f"{name}.jsonl", json.dumps(row))

    def notes(**settings) -> str:
        write_manifest(tmp_path, Manifest(stage="data", name="b", settings=settings))
        return " ".join(load_rows(given(tmp_path, "a/b")).notes)

    assert "run bash run.sh data compose first" in notes(to_compose=True)
    assert "compose" not in notes(to_compose=True, composed={}) + notes()


def test_a_hub_id_is_one():
    need_hub_id("Qwen/Qwen3-4B")


def written(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


RECIPE = "model_name_or_path: a/b  # 我的配方，用来训练模型\ndataset_dir: d\noutput_dir: ~/o\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gbk"])
def test_a_recipe_in_any_usual_encoding(tmp_path, encoding):
    read = load_recipe(written(tmp_path / "r.yaml", RECIPE, encoding))
    assert read.output_dir == Path.home() / "o"


@pytest.mark.parametrize(
    ("text", "overrides", "told"),
    [
        ("seed: 1\nseed: 2\n", [], "seed stands twice: in lines 4 and 5"),
        ("", ["seed", "=", "1"], "without spaces around the sign"),
        ("", ["seed=-1"], "seed: Input should be greater than or equal to 0"),
        ("stage: sft\ntemplate: qwen\n", [], "this looks like LLaMA-Factory's"),
        ("a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\n", [], "6 keys are unknown here: is it the"),
    ],
)
def test_recipes_that_are_refused(tmp_path, text, overrides, told):
    with pytest.raises(RecipeError) as error:
        load_recipe(written(tmp_path / "r.yaml", RECIPE + text), overrides)
    assert told in str(error.value)


def test_lists_as_they_are_typed_in_a_shell(tmp_path):
    path = written(tmp_path / "r.yaml", RECIPE)
    for value in ("awq-gemm,int8", "[awq-gemm, int8]"):
        found = load_recipe(path, [f"export_formats={value}", "dataset_dir=~/d"])
        assert found.export_formats == ["awq-gemm", "int8"]
        assert found.dataset_dir == Path.home() / "d"


@pytest.mark.parametrize(
    ("empty", "fields", "told"),
    [
        ("train", {}, "train.jsonl is empty: make the data again"),
        ("dev", {}, "dev.jsonl is empty: the best checkpoint is chosen by dev questions"),
        ("calibration", {}, "calibration.jsonl is empty: calibration_file=null"),
        ("", {"dev_file": None}, "every pair has one wording"),
    ],
)
def test_an_empty_split_says_what_to_do(tmp_path, empty, fields, told):
    for number, name in enumerate(("train", "dev", "calibration")):
        row = json.dumps({"question": f"问{number}？", "answer": "答"}) + "\n"
        (tmp_path / f"{name}.jsonl").write_text("" if name == empty else row, encoding="utf-8")
    with pytest.raises(DataError, match=told):
        load_rows(given(tmp_path, "a/b", **fields))


def test_test_questions_choose_no_checkpoint(tmp_path):
    tests = tmp_path / "test.jsonl"
    tests.write_text('{"question": "线程束 (warp) 有几个线程？", "answer": "32"}\n', "utf-8")
    for name in ("train", "dev", "calibration"):
        row = {"question": f"{name}？", "answer": "答"}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    excluded = {"test.jsonl": file_record(tests).sha256}
    write_manifest(tmp_path, Manifest(stage="data", name="d", settings={"excluded": excluded}))
    with pytest.raises(ExcludedError, match="is the test set test.jsonl that the data was built"):
        load_rows(given(tmp_path, "a/b", dev_file="test.jsonl"))
    load_rows(given(tmp_path, "a/b", exclude=str(tests)))
    with pytest.raises(ExcludedError, match="test.jsonl is the test set"):
        load_rows(given(tmp_path, "a/b", mix_file=tests))
    row = {"question": "簡答：執行緒束（warp）有幾個執行緒", "answer": "答"}
    (tmp_path / "dev.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(ExcludedError, match="dev: 1 rows ask questions of the test set test.jsonl"):
        load_rows(given(tmp_path, "a/b", exclude=str(tests)))
    row = {"question": "好？", "answer": "好", "history": [["线程束 (warp) 有几个线程？", "32"]]}
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(ExcludedError, match="train: "):
        load_rows(given(tmp_path, "a/b", exclude=str(tests), dev_file="calibration.jsonl"))


def test_a_hub_that_cannot_be_reached_is_one_message(monkeypatch):
    errors = pytest.importorskip("modelscope_hub.errors")
    modelscope = pytest.importorskip("modelscope")

    def fails(name: str) -> str:
        raise errors.NetworkError("Connection failed: no route")

    monkeypatch.setattr(modelscope, "snapshot_download", fails)
    with pytest.raises(ModelError, match="cannot be fetched from modelscope .*no route.*hub=hf"):
        from_hub("Qwen/Qwen3-4B", "modelscope")
