"""All checks of one submission, in the order of what the judge does: clone, build, run."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.device_table import device
from common.language import either
from judging.testset import read_testsets
from preflight import budgets
from preflight.book import committed_book
from preflight.checkout import Checkout, unpack
from preflight.dockerfile import dockerfile_lines
from preflight.lines import Line
from preflight.model import Model, ModelError, Precision, chosen_model
from preflight.packages import package_lines
from preflight.rehearsal import rehearse
from preflight.repository import repository_lines
from preflight.workloads import recorded_workloads, workload_of


@dataclass(frozen=True)
class Submission:
    """What is checked. model_dir, config: the model, if not the one that the Dockerfile names.
    startup_s: a measured start. rehearsal: also run the service here, with model_dir."""

    repository: Path
    commit: str
    testsets: Sequence[Path]
    model_dir: Path | None
    config: Path | None
    precision: Precision
    device: str
    startup_s: float | None
    rehearsal: bool
    offline: bool


@dataclass(frozen=True)
class Found:
    """Every line; the model that times and memory are estimated for (None: not known); the
    commit's full name."""

    lines: list[Line]
    model: Model | None
    commit: str


def check(what: Submission) -> Found:
    """All that was found.

    Raises RepositoryError, ModelError, ShapeError, PairsError or OSError when something that was
    given cannot be read.
    """
    if what.model_dir and not what.model_dir.is_dir():
        raise ModelError(
            f"--model-dir {what.model_dir}：没有这个目录",
            f"--model-dir {what.model_dir}: no such directory",
        )
    asked = read_testsets(what.testsets)
    with tempfile.TemporaryDirectory(prefix="preflight_") as scratch:
        folder = Path(scratch) / "checkout"
        folder.mkdir()
        checkout = unpack(what.repository, what.commit, folder)
        lines = repository_lines(what.repository, what.commit, checkout)
        image = Path(scratch) / "image"
        read, found = dockerfile_lines(checkout, image)
        lines += found
        packages, wheels = package_lines(folder, read, image, Path(scratch), what.offline)
        lines += packages
        model, found = chosen_model(
            checkout, what.model_dir, what.config, what.precision, what.offline
        )
        lines += found
        lines += budgets.build_lines(model, wheels, checkout.clone_bytes)
        target = device(what.device)
        lines += budgets.format_lines(model, target, checkout.environment)
        book, found = committed_book(checkout, model, what.model_dir)
        lines += found
        works = [(workload_of(each), each) for each in asked]
        works = works or [(each, None) for each in recorded_workloads()]
        loads = [book.added_to(*each) if book else each[0] for each in works]
        if model:
            environment = checkout.environment
            lines += budgets.run_lines(model, target, loads, what.startup_s, environment)
        if what.rehearsal and what.model_dir and model and read:
            lines += _rehearsal(checkout, what.model_dir, what.testsets, what.repository)
    return Found(lines, model, checkout.commit)


def _rehearsal(
    checkout: Checkout, model_dir: Path, testsets: Sequence[Path], repository: Path
) -> list[Line]:
    chosen = list(testsets) or sorted((repository / "data" / "sample").glob("testset_*.docx"))
    if not chosen:
        why = either(
            "没有给测试集，data/sample 里也没有", "no test set given, and none in data/sample"
        )
        what = either("测试集", "test sets")
        return [Line("rehearsal", what, "unknown", either("没有", "none"), why=why)]
    return rehearse(checkout, model_dir, chosen)
