"""The model to be submitted: its bytes, its shape, and where both were read."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from common.manifest import MANIFEST_NAME, Manifest, file_record, read_manifest
from common.model_files import WEIGHTS, file_sizes, model_files_problems, weight_bytes
from common.model_shape import (
    Hub,
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


class HubError(ModelError):
    """The hub gave no file list. certain: it would give the judge's build none either; a hub that
    is away now says nothing of the submission."""

    def __init__(self, model_id: str, why: str):
        words = ("no such model", "access token", "manifest", "cannot be served")
        self.certain = any(word in why for word in words)
        away = f"the hub was not reached, so {model_id} was not looked up: try again with a network"
        super().__init__(why if self.certain else away)


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
    demo: bool = False


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
        model, lines = from_directory(directory), [_compared(checkout, directory, offline)]
        if model.demo:
            why = "it shows the flow and knows only the sample book: do not submit it"
            lines.append(Line("model", str(directory), "warn", "a demo model", why=why))
        return model, lines
    if config:
        return from_config(config, precision), []
    if offline or not checkout.model_id:
        why = "--offline" if checkout.model_id else "the Dockerfile names no MODEL_ID"
        return None, [
            Line("model", checkout.model_id or "none", "unknown", "not looked up", why=why)
        ]
    try:
        return from_hub(checkout), []
    except HubError as error:
        state: State = "fail" if error.certain else "unknown"
        return None, [Line("model", checkout.model_id, state, "not fetched", why=str(error))]


def _compared(checkout: Checkout, directory: Path, offline: bool) -> Line:
    """Whether the build would fetch the very files that are looked at and rehearsed here.

    Their manifests may differ: they say where files came from, and are no part of an answer.
    """
    what, named = "the Dockerfile's", f"{checkout.model_id}@{checkout.revision}"
    if not checkout.model_id:
        why = f"the Dockerfile names no MODEL_ID, so it was not compared with {directory}"
        return Line("model", what, "unknown", "not named", why=why)
    if offline:
        why = f"--offline: not compared with {directory}; is that what you uploaded there?"
        return Line("model", what, "warn", named, why=why)
    try:
        there = _files(hub_plan(checkout))
        here = _files(_plan(checkout.directory, "--from", str(directory.resolve())))
    except HubError as error:
        why = f"{error}; so it was not compared with {directory}"
        return Line("model", what, "fail" if error.certain else "warn", named, why=why)
    differing = [
        path
        for path in sorted(there.keys() | here.keys())
        if path not in there or path not in here or not _same(there[path], directory / path)
    ]
    if not differing:
        why = f"the same {len(here)} files as in {directory}"
        return Line("model", what, "ok", named, why=why)
    told = ", ".join(differing[:3]) + (" …" if len(differing) > 3 else "")
    why = (
        f"another model than {directory}, which is looked at here: {told} differ. Upload it "
        "(bash run.sh train upload) and write MODEL_ID and MODEL_REVISION into the Dockerfile"
    )
    return Line("model", what, "warn", named, why=why)


def _files(plan: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {file["path"]: file for file in plan["files"] if file["path"] != MANIFEST_NAME}


def _same(listed: dict[str, Any], file: Path) -> bool:
    """By size, and by sha256 where the hub tells one."""
    if listed["size"] != file.stat().st_size:
        return False
    return not listed["sha256"] or listed["sha256"] == file_record(file).sha256


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
    try:
        manifest = read_manifest(directory)
    except ValueError as error:
        first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ModelError(f"{directory / MANIFEST_NAME}: not a manifest ({first})") from error
    demo = manifest is not None and _is_demo(manifest)
    return Model(str(directory), "files on disk", weights, total, form, shape, problem, demo)


def _is_demo(manifest: Manifest) -> bool:
    return manifest.demo or any(map(_is_demo, manifest.parents))


def from_config(config: Path, precision: Precision) -> Model:
    """A config.json alone: bytes are computed from its shape. Raises ShapeError."""
    read = read_config(config)
    shape = shape_of(read, str(config))
    size, form = shape.weight_bytes(precision), weights_format(read)
    if form == "plain" and precision == "awq":
        form = precision
    source = f"computed from {config.name}'s dimensions"
    return Model(f"{config.parent.name} in {precision}", source, size, size, form, shape)


def from_hub(checkout: Checkout) -> Model:
    """What the Dockerfile names, by the hub's file list. Raises HubError."""
    plan = hub_plan(checkout)
    sizes = {file["path"]: file["size"] for file in plan["files"]}
    form, shape, problem = None, None, ""
    try:
        hub: Hub = "hf" if checkout.hub == "hf" else "modelscope"
        config = config_of(checkout.model_id, hub, checkout.revision)
        form = weights_format(config)
        shape = shape_of(config, checkout.model_id)
    except ShapeError as error:
        problem = str(error)
    source = f"file list of {plan['source']}"
    weights = weight_bytes(sizes)
    return Model(checkout.model_id, source, weights, plan["bytes"], form, shape, problem)


def hub_plan(checkout: Checkout) -> dict[str, Any]:
    """What the build would fetch, by download_model.py as the build asks. Raises HubError."""
    options = ["--hub", checkout.hub, "--revision", checkout.revision]
    return _plan(checkout.directory, checkout.model_id, *options)


def _plan(checkout: Path, *words: str) -> dict[str, Any]:
    command = [sys.executable, "download_model.py", *words, "--budget-s", "60", "--plan"]
    # As the judge builds: without this user's tokens, which would open a private repository.
    nobody = {k: v for k, v in os.environ.items() if k not in ("MODELSCOPE_API_TOKEN", "HF_TOKEN")}
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, env=nobody)
    if not done.returncode:
        return dict(json.loads(done.stdout))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    raise HubError(words[0], last.removeprefix("[download_model] FAILED: "))
