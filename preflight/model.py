"""The model to be submitted: its bytes, its shape, and where both were read."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from common.language import BilingualError, either
from common.manifest import (
    MANIFEST_NAME,
    Manifest,
    ManifestError,
    file_record,
    read_manifest,
)
from common.model_content import old_reader_problems
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
from preflight.checkout import Checkout
from preflight.lines import Line, State

Precision = Literal["bf16", "awq"]


class ModelError(BilingualError, ValueError):
    """The model cannot be read; the message says which file or field, and what to do."""


class HubError(ModelError):
    """The hub gave no file list. certain: it would give the judge's build none either; a hub that
    is away now says nothing of the submission."""

    def __init__(self, model_id: str, why: str):
        words = ("no such model", "access token", "manifest", "cannot be served")
        self.certain = any(word in why for word in words)
        away = either(
            f"连不上模型站，{model_id} 没有查：有网络时再试",
            f"the hub was not reached, so {model_id} was not looked up: try again with a network",
        )
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
        problems = model_files_problems(directory)
        if problems := problems or old_reader_problems(read_config(directory / "config.json")):
            why = "; ".join(problems)
            return None, [Line("model", str(directory), "fail", _unservable(), why=why)]
        model, lines = from_directory(directory), [_compared(checkout, directory, offline)]
        if model.demo:
            why = either(
                "它只演示流程，只认识示例教材：不要提交",
                "it shows the flow and knows only the sample book: do not submit it",
            )
            figure = either("演示模型", "a demo model")
            lines.append(Line("model", str(directory), "warn", figure, why=why))
        return model, lines
    if config:
        return from_config(config, precision), []
    if offline or not checkout.model_id:
        why = "--offline" if checkout.model_id else _not_named()
        what, figure = (
            checkout.model_id or either("没有", "none"),
            either("没有查", "not looked up"),
        )
        return None, [Line("model", what, "unknown", figure, why=why)]
    try:
        return from_hub(checkout), []
    except HubError as error:
        state: State = "fail" if error.certain else "unknown"
        return None, [Line("model", checkout.model_id, state, _not_fetched(), why=str(error))]


def _unservable() -> str:
    return either("不能用来服务", "cannot be served")


def _not_fetched() -> str:
    return either("没有取到", "not fetched")


def _not_named() -> str:
    return either("Dockerfile 没有写 MODEL_ID", "the Dockerfile names no MODEL_ID")


def _compared(checkout: Checkout, directory: Path, offline: bool) -> Line:
    """Whether the build would fetch the very files that are looked at and rehearsed here.

    Their manifests may differ: they say where files came from, and are no part of an answer.
    """
    what = either("Dockerfile 里的", "the Dockerfile's")
    named = f"{checkout.model_id}@{checkout.fetch.at}"
    if not checkout.model_id:
        compared = either(
            f"，没有与 {directory} 比较", f", so it was not compared with {directory}"
        )
        why = f"{_not_named()}{compared}"
        return Line("model", what, "unknown", either("没有写", "not named"), why=why)
    if offline:
        why = either(
            f"--offline：没有与 {directory} 比较；你上传的就是它吗？",
            f"--offline: not compared with {directory}; is that what you uploaded there?",
        )
        return Line("model", what, "warn", named, why=why)
    try:
        there = _files(hub_plan(checkout))
        here = _files(_plan(checkout.directory, "--from", str(directory.resolve())))
    except HubError as error:
        why = either(
            f"{error}；所以没有与 {directory} 比较",
            f"{error}; so it was not compared with {directory}",
        )
        return Line("model", what, "fail" if error.certain else "warn", named, why=why)
    differing = [
        path
        for path in sorted(there.keys() | here.keys())
        if path not in there or path not in here or not _same(there[path], directory / path)
    ]
    if not differing:
        why = either(
            f"与 {directory} 里的 {len(here)} 个文件相同",
            f"the same {len(here)} files as in {directory}",
        )
        return Line("model", what, "ok", named, why=why)
    told = ", ".join(differing[:3]) + (" …" if len(differing) > 3 else "")
    why = either(
        f"与这里检查的 {directory} 不是同一个模型：{told} 不同。"
        "先上传它（bash run.sh train upload），再把 MODEL_ID 和 MODEL_REVISION 写进 Dockerfile",
        f"another model than {directory}, which is looked at here: {told} differ. Upload it "
        "(bash run.sh train upload) and write MODEL_ID and MODEL_REVISION into the Dockerfile",
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
        known = ", ".join(WEIGHTS)
        raise ModelError(
            f"{directory}：里面没有权重（{known}）", f"{directory}: no weights in it ({known})"
        )
    shape, problem = None, ""
    try:
        shape = shape_of(config, str(directory))
    except ShapeError as error:
        problem = str(error)
    total, form = sum(sizes.values()), weights_format(config)
    try:
        manifest = read_manifest(directory)
    except ManifestError as error:
        raise ModelError(str(error)) from error
    demo = manifest is not None and _is_demo(manifest)
    files = either("磁盘上的文件", "files on disk")
    return Model(str(directory), files, weights, total, form, shape, problem, demo)


def _is_demo(manifest: Manifest) -> bool:
    return manifest.demo or any(map(_is_demo, manifest.parents))


def from_config(config: Path, precision: Precision) -> Model:
    """A config.json alone: bytes are computed from its shape. Raises ShapeError."""
    read = read_config(config)
    shape = shape_of(read, str(config))
    size, form = shape.weight_bytes(precision), weights_format(read)
    if form == "plain" and precision == "awq":
        form = precision
    source = either(f"由 {config.name} 的尺寸算出", f"computed from {config.name}'s dimensions")
    return Model(f"{config.parent.name} in {precision}", source, size, size, form, shape)


def from_hub(checkout: Checkout) -> Model:
    """What the Dockerfile names, by the hub's file list. Raises HubError."""
    plan = hub_plan(checkout)
    sizes = {file["path"]: file["size"] for file in plan["files"]}
    form, shape, problem = None, None, ""
    try:
        hub: Hub = "hf" if checkout.fetch.hub == "hf" else "modelscope"
        config = config_of(checkout.model_id, hub, checkout.fetch.at)
        form = weights_format(config)
        shape = shape_of(config, checkout.model_id)
    except ShapeError as error:
        problem = str(error)
    place = plan["source"]
    source = either(f"{place} 的文件列表", f"file list of {place}")
    weights = weight_bytes(sizes)
    return Model(checkout.model_id, source, weights, plan["bytes"], form, shape, problem)


def hub_plan(checkout: Checkout) -> dict[str, Any]:
    """What the build would fetch, by download_model.py as the build asks. Raises HubError."""
    fetch = checkout.fetch
    options = ["--hub", fetch.hub, "--revision", fetch.at]
    return _plan(checkout.directory, fetch.model_id, *options)


def downloader(checkout: Path) -> Path:
    """The commit's download_model.py; this kit's own for a Dockerfile that fetches otherwise."""
    own = checkout / "download_model.py"
    return own if own.is_file() else Path(__file__).parents[1] / "download_model.py"


def _plan(checkout: Path, *words: str) -> dict[str, Any]:
    script = downloader(checkout)
    command = [sys.executable, str(script), *words, "--budget-s", "60", "--plan"]
    # As the judge builds: without this user's tokens, which would open a private repository.
    nobody = {k: v for k, v in os.environ.items() if k not in ("MODELSCOPE_API_TOKEN", "HF_TOKEN")}
    done = subprocess.run(command, cwd=script.parent, capture_output=True, text=True, env=nobody)
    if not done.returncode:
        return dict(json.loads(done.stdout))
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    raise HubError(words[0], last.removeprefix("[download_model] FAILED: "))
