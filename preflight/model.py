"""The model to be submitted: its bytes, its shape, and where both were read."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.model_files import WEIGHTS, file_sizes, model_files_problems, weight_bytes
from common.model_shape import (
    Shape,
    ShapeError,
    config_of,
    read_config,
    shape_of,
    weights_format,
)
from preflight.lines import Line, State
from preflight.repository import Checkout

Precision = Literal["bf16", "awq"]


class ModelError(ValueError):
    """The model cannot be read; the message says which file or field, and what to do."""


@dataclass(frozen=True)
class Model:
    """weight_bytes: what the device holds. total_bytes: what the build fetches. form: the weights'
    format ("plain", "awq", …), None when not known. shape is None when its config.json could not
    be read or describes an unknown architecture; shape_problem says which."""

    name: str
    source: str
    weight_bytes: int
    total_bytes: int
    form: str | None = None
    shape: Shape | None = None
    shape_problem: str = ""


def chosen_model(
    checkout: Checkout,
    directory: Path | None,
    config: Path | None,
    precision: Precision,
    offline: bool,
) -> tuple[Model | None, list[Line]]:
    """The model to estimate for: a directory, a config.json, or what the Dockerfile fetches.

    Raises ModelError or ShapeError for a directory or config.json that cannot be used; a model of
    a hub that cannot be had is None and a line.
    """
    if directory:
        if problems := model_files_problems(directory):
            why = "; ".join(problems)
            return None, [Line("model", str(directory), "fail", "cannot be served", why=why)]
        return from_directory(directory), []
    if config:
        return from_config(config, precision), []
    model_id = checkout.arguments.get("MODEL_ID", "")
    if offline or not model_id:
        why = "--offline" if model_id else "the Dockerfile names no MODEL_ID"
        return None, [Line("model", model_id or "none", "unknown", "not looked up", why=why)]
    hub = checkout.arguments.get("MODEL_HUB", "modelscope")
    revision = checkout.arguments.get("MODEL_REVISION", "master")
    try:
        return from_hub(model_id, hub, revision, checkout.directory), []
    except ModelError as error:
        # A hub that is away now says nothing of the submission; a refusal or a missing model does.
        certain = ("no such model", "access token", "manifest", "cannot be served")
        lost = any(words in str(error) for words in certain)
        state: State = "fail" if lost else "unknown"
        return None, [Line("model", model_id, state, "not fetched", why=str(error))]


def from_directory(directory: Path) -> Model:
    """A model directory. Raises ModelError without weights, ShapeError without config.json."""
    config = read_config(directory / "config.json")
    sizes = file_sizes(directory)
    weights = weight_bytes(sizes)
    if not weights:
        raise ModelError(f"{directory}: no weights in it ({', '.join(WEIGHTS)})")
    shape, problem = None, ""
    try:
        shape = shape_of(config, str(directory))
    except ShapeError as error:
        problem = str(error)
    total, form = sum(sizes.values()), weights_format(config)
    return Model(str(directory), "files on disk", weights, total, form, shape, problem)


def from_config(config: Path, precision: Precision) -> Model:
    """A config.json alone: bytes are computed from its shape. Raises ShapeError."""
    read = read_config(config)
    shape = shape_of(read, str(config))
    size, form = shape.weight_bytes(precision), weights_format(read)
    if form == "plain" and precision == "awq":
        form = precision
    source = f"computed from {config.name}'s dimensions"
    return Model(f"{config.parent.name} in {precision}", source, size, size, form, shape)


def from_hub(model_id: str, hub: str, revision: str, checkout: Path) -> Model:
    """The hub's file list, asked by download_model.py as the build would. Raises ModelError."""
    command = [sys.executable, "download_model.py", model_id, "--hub", hub]
    command += ["--revision", revision, "--budget-s", "60", "--plan"]
    # As the judge builds: without this user's tokens, which would open a private repository.
    nobody = {k: v for k, v in os.environ.items() if k not in ("MODELSCOPE_API_TOKEN", "HF_TOKEN")}
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=nobody)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ModelError(last.removeprefix("[download_model] FAILED: "))
    plan = json.loads(done.stdout)
    sizes = {file["path"]: file["size"] for file in plan["files"]}
    form, shape, problem = None, None, ""
    try:
        config = config_of(model_id, "hf" if hub == "hf" else "modelscope", revision)
        form = weights_format(config)
        shape = shape_of(config, model_id)
    except ShapeError as error:
        problem = str(error)
    source = f"file list of {plan['source']}"
    return Model(model_id, source, weight_bytes(sizes), plan["bytes"], form, shape, problem)
