"""Start-up on the real service: an eager start after a failed one, and an end with a reason."""

import asyncio
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from serving.engine.base import EngineError
from serving.settings import Settings
from serving.startup import choose_engine, start_answerer
from tests.conftest import TINY_PAIRS, running_service
from tests.model_dirs import lfs_pointer, write_model

QUESTION, ANSWER = next(iter(TINY_PAIRS.items()))


@pytest.mark.vllm
def test_a_tuned_start_that_fails_is_followed_by_an_eager_one(
    tiny_model: Path, tmp_path: Path
) -> None:
    # Every version refuses this draft model; the eager start leaves tuning out.
    bad = '{"speculative_config": {"model": "/no/such/draft", "num_speculative_tokens": 1}}'
    with running_service(tmp_path, MODEL_DIR=str(tiny_model), ENGINE_ARGS=bad) as service:
        service.wait_until_ready()
        startup = service.client.get("/info").json()["startup"]
        assert startup["mode"] == "eager"
        assert startup["why"].startswith("vLLM failed to start")
        reply = service.client.post("/predict", json={"prompt": QUESTION})
        assert reply.json() == {"response": ANSWER}


@pytest.mark.vllm
def test_a_tuned_start_that_takes_too_long_is_followed_by_an_eager_one(
    tiny_model: Path, tmp_path: Path
) -> None:
    variables = {"HEALTH_BUDGET_S": "150", "STARTUP_RESERVE_S": "148"}  # 2 s for the first try
    with running_service(tmp_path, MODEL_DIR=str(tiny_model), **variables) as service:
        pid = service.process.pid
        service.wait_until_ready()
        assert service.process.pid == pid
        startup = service.client.get("/info").json()["startup"]
        assert startup["mode"] == "eager"
        assert "not ready" in startup["why"]
        assert service.client.post("/predict", json={"prompt": [QUESTION]}).json() == {
            "response": [ANSWER]
        }


@pytest.mark.vllm
def test_when_nothing_is_ready_in_time_the_process_says_so_and_ends(
    tiny_model: Path, tmp_path: Path
) -> None:
    variables = {"HEALTH_BUDGET_S": "3", "STARTUP": "eager"}
    with running_service(tmp_path, MODEL_DIR=str(tiny_model), **variables) as service:
        assert service.process.wait(60) == 3
        assert "HEALTH_BUDGET_S=3" in service.log()


def test_a_missing_chat_template_ends_the_process_with_a_sentence(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_model, model)
    (model / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((model / "tokenizer_config.json").read_text("utf-8"))
    config.pop("chat_template", None)
    (model / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    with running_service(tmp_path, MODEL_DIR=str(model)) as service:
        assert service.process.wait(120) == 1
        (line,) = [line for line in service.log().splitlines() if "cannot start" in line]
        assert "no chat template" in line and str(model) in line
        assert "Traceback" not in service.log()
        assert "eager" not in service.log(), "another start would not help"


@pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed")
def test_the_engine_is_vllm_unless_another_is_named() -> None:
    assert choose_engine(Settings()) == "vllm"
    assert choose_engine(Settings(engine="transformers")) == "transformers"


def test_transformers_serves_the_contract_too(tiny_model: Path, tmp_path: Path) -> None:
    with running_service(tmp_path, MODEL_DIR=str(tiny_model), ENGINE="transformers") as service:
        service.wait_until_ready()
        assert service.client.get("/info").json()["engine"]["name"] == "transformers"
        reply = service.client.post("/predict", json={"prompt": [QUESTION, ""]})
        assert reply.json() == {"response": [ANSWER, ""]}


def no_head(model: Path) -> None:
    config = json.loads((model / "config.json").read_text("utf-8"))
    (model / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": False}))


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda m: lfs_pointer(m / "model.safetensors"), "model.safetensors is a Git LFS pointer"),
        (no_head, "no lm_head.weight"),  # vLLM would serve it, and answer "!!!!"
        (lambda m: (m / "tokenizer_config.json").write_text("{}"), "no chat template"),
        (lambda m: (m / "tokenizer.json").write_text("{}"), "tokenizer.json: no vocabulary in it"),
    ],
)
def test_what_cannot_be_served_is_told_before_an_engine_loads(tmp_path: Path, fault, told) -> None:
    model = write_model(tmp_path / "model")
    fault(model)
    with pytest.raises(EngineError, match=f"MODEL_DIR=.*{told}"):
        asyncio.run(start_answerer(Settings(model_dir=model)))
