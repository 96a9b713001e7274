"""RETRIEVAL_EXAMPLES=auto: which models get worked examples, and with what."""
# ruff: noqa: F811  a fixture is an argument, too

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy")

from common.manifest import Manifest, write_manifest  # noqa: E402
from common.model_shape import shape_of  # noqa: E402
from judging.report_words import book_at_hand  # noqa: E402
from preflight.book import committed_book  # noqa: E402
from preflight.model import from_config  # noqa: E402
from retrieval.examples import OWN  # noqa: E402
from retrieval.examples_auto import AUTO_SETTINGS, as_settings, automatic, context_for  # noqa: E402
from serving.book_context import BookContext, settled  # noqa: E402
from serving.settings import Settings, load_settings  # noqa: E402
from tests.shapes import QWEN2_0_5B, QWEN3_4B  # noqa: E402
from tests.test_book_context import index  # noqa: E402, F401
from tests.test_preflight_budgets import committed, imaged  # noqa: E402
from tune import settings_file  # noqa: E402

SMALL, LARGE = QWEN2_0_5B, QWEN3_4B | {"max_position_embeddings": 40960}
ASKED = ("retrieval_examples", "retrieval_passages", "retrieval_tokens", "max_model_len")
AS_BEFORE, WITH_EXAMPLES = (False, 2, 1200, 2048), (True, 3, 2000, 2848)


def trained(stage: str = "lora", **settings: Any) -> Manifest:
    """The manifest of a merged model."""
    return Manifest(
        stage="merge", name="m", parents=[Manifest(stage=stage, name="a", settings=settings)]
    )


def model(folder: Path, config: dict[str, Any], manifest: Manifest | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if manifest:
        write_manifest(folder, manifest)
    return folder


def asked(settings: Settings) -> tuple[Any, ...]:
    return tuple(getattr(settings, name) for name in ASKED)


@pytest.mark.parametrize(
    ("config", "manifest", "on", "why"),
    [
        (SMALL, None, False, "0.49B parameters"),
        (LARGE, None, True, "4.02B parameters, not trained"),
        (LARGE | {"max_position_embeddings": 2048}, None, False, "a context of 2048 tokens only"),
        (LARGE, Manifest(stage="base", name="the base was better"), True, "not trained"),
        (LARGE, Manifest(stage="quantize", name="awq"), True, "not trained"),
        (LARGE, trained(), False, "trained without"),
        (LARGE, trained("full", retrieval_examples=False), False, "trained without"),
        (SMALL, trained(retrieval_examples=True), True, "trained with them"),
        (LARGE, trained(retrieval_examples="mine.jsonl"), False, "set RETRIEVAL_EXAMPLES to that"),
    ],
)
def test_by_size_context_and_training(
    config: dict[str, Any], manifest: Manifest | None, on: bool, why: str
) -> None:
    longest = config.get("max_position_embeddings")
    chosen = automatic(shape_of(config, "c"), longest, manifest)
    assert chosen.examples is on and why in chosen.why
    assert on or not chosen.settings, "without examples all is as it was"


@pytest.mark.parametrize("examples", [True, False, "mine.jsonl"])
def test_what_was_trained_with_a_book_gets_as_many_passages_and_room_for_them(
    index: Path, tmp_path: Path, examples: bool | str
) -> None:
    told = {"retrieval_examples": examples, "retrieval_passages": 3, "retrieval_tokens": 2000}
    folder = model(tmp_path / "tuned", SMALL, trained(**told))
    chosen = settled(Settings(model_dir=folder, retrieval_dir=index))
    assert asked(chosen) == (examples is True, 3, 2000, 2848)
    without = trained(**told, retrieval_dir=None)
    folder = model(tmp_path / "tuned", SMALL, without)
    chosen = settled(Settings(model_dir=folder, retrieval_dir=index))
    assert asked(chosen)[1:] == AS_BEFORE[1:], "it knows nothing of how many passages are good"
    assert as_settings(without).keys() == {"RETRIEVAL_EXAMPLES"}


def test_the_usual_room_is_the_services_own() -> None:
    usual = Settings()
    assert context_for(usual.retrieval_tokens) == usual.max_model_len
    assert context_for(0) == usual.max_model_len
    assert context_for(AUTO_SETTINGS["retrieval_tokens"]) == AUTO_SETTINGS["max_model_len"]


def test_an_unknown_architecture_is_asked_as_before() -> None:
    assert automatic(None).examples is False


def test_the_service_settles_it_and_says_why(index: Path, tmp_path: Path) -> None:
    large, small = model(tmp_path / "large", LARGE), model(tmp_path / "small", SMALL)
    chosen = settled(Settings(model_dir=large, retrieval_dir=index))
    assert asked(chosen) == WITH_EXAMPLES
    info = BookContext(chosen).info()
    assert len(info["examples"]) == 2 and info["examples_why"].startswith("auto: on, 4.02B")
    assert settled(chosen) == chosen, "once is enough"
    assert "2 worked examples (auto: on, 4.02B" in book_at_hand({"retrieval": info})
    assert asked(settled(Settings(model_dir=small, retrieval_dir=index))) == AS_BEFORE
    of_mine = Settings(
        model_dir=large, retrieval_dir=index, retrieval_passages=1, max_model_len=4096
    )
    assert asked(settled(of_mine)) == (True, 1, 2000, 4096), "what is set stays"
    for said in (True, False):
        told = Settings(model_dir=large, retrieval_dir=index, retrieval_examples=said)
        assert asked(settled(told)) == (said, *AS_BEFORE[1:])


def test_without_an_index_no_model_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for none in ({}, {"retrieval_passages": 0, "retrieval_dir": tmp_path}):
        assert settled(Settings(model_dir=tmp_path / "nowhere", **none)).retrieval_examples is False


def test_a_damaged_manifest_leaves_it_off(index: Path, tmp_path: Path) -> None:
    large = model(tmp_path / "large", LARGE)
    (large / "manifest.json").write_text("{", encoding="utf-8")
    chosen = settled(Settings(model_dir=large, retrieval_dir=index))
    assert asked(chosen) == AS_BEFORE and "not a manifest" in chosen.retrieval_why


def test_a_settings_file_of_before_means_no_examples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SETTINGS_FILE", "serve.env")
    assert load_settings().retrieval_examples == "auto"
    Path("serve.env").write_text("MAX_TOKENS=320\n", encoding="utf-8")
    settings = load_settings()
    assert settings.retrieval_examples is False and "does not name" in settings.retrieval_why
    monkeypatch.setenv("RETRIEVAL_EXAMPLES", "auto")
    assert load_settings().retrieval_examples == "auto"


def test_a_tuned_settings_file_names_what_the_model_was_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with_examples = {"retrieval_examples": True, "retrieval_passages": 3, "retrieval_tokens": 1900}
    for manifest, said in (
        (None, ["auto", None, None, None]),
        (trained(), ["0", None, None, None]),
        (trained(retrieval_examples=False, retrieval_passages=3), ["0", "3", None, None]),
        (trained(**with_examples), ["1", "3", "1900", "2748"]),
        (trained(retrieval_examples="mine.jsonl"), ["mine.jsonl", None, None, None]),
    ):
        path = Path("serve.env")
        settings_file.write(path, as_settings(manifest), [])
        kept = settings_file.read(path)
        assert [kept.get(name.upper()) for name in ASKED] == said


def test_preflight_counts_them_for_the_model_that_is_submitted(tmp_path: Path) -> None:
    checkout = committed(tmp_path)
    (checkout.app / "retrieval").mkdir()
    shutil.copy(OWN, checkout.app / "retrieval" / OWN.name)
    large, small = model(tmp_path / "large", LARGE), model(tmp_path / "small", SMALL)
    for folder, count, why in ((large, 3, "auto: on, 4.02B"), (small, 2, "auto: off, 0.49B")):
        known = from_config(folder / "config.json", "bf16")
        book, (line,) = committed_book(checkout, known, folder)
        assert book.passages == count and bool(book.examples) is (count == 3) and why in line.why
    known = from_config(large / "config.json", "bf16")
    write_manifest(large, trained())
    book, (line,) = committed_book(checkout, known, large)
    assert book.passages == 2 and "trained without" in line.why
    (checkout.app / "serve.env").write_text("MAX_TOKENS=320\n", encoding="utf-8")
    of_before = imaged(tmp_path, {"MAX_TOKENS": "320"})
    book, _ = committed_book(of_before, known, None)
    assert book.passages == 2 and not book.examples
