"""The import rules of the house: who may know whom, and what stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Arrows run down only: a room may know those named here, and no other. `bench` measures all of
# them and so may know all.
MAY_IMPORT: dict[str, set[str]] = {
    "common": set(),
    # What of these is in the image.
    "serving": {
        "common.manifest",
        "common.minimum_bayes_risk",
        "common.model_content",
        "common.model_files",
        "common.model_shape",
        "common.prompting",
        "common.before_imports",
        "retrieval.examples",
        "retrieval.examples_auto",
        "retrieval.prompt",
        "retrieval.search",
    },
    "retrieval": {"common", "data"},
    "judging": {"common"},
    "preflight": {
        "common",
        "judging",
        "retrieval.examples",
        "retrieval.examples_auto",
        "retrieval.passages",
        "retrieval.prompt",
        "retrieval.search",
    },
    # Of retrieval the part that ships, which knows nothing of data.
    "data": {
        "common",
        "judging.scoring",
        "retrieval.dense",
        "retrieval.examples",
        "retrieval.passages",
        "retrieval.prompt",
        "retrieval.search",
        "retrieval.terms",
    },
    "train": {
        "common",
        "data.answer_profile",
        "retrieval",
        "serving.clean_answer",
        "judging.testset",
        "judging.scoring",
        "judging.protocol",
        "judging.judge",
        "judging.read_report",
        "judging.ability",
        "judging.ability_task",
        "judging.harness",
        "judging.report_words",
    },
    "chat": {
        "common",
        "judging.conclusion",
        "judging.differences",
        "judging.scoring",
        "retrieval.fusion",
        "retrieval.passages",
        "retrieval.prompt",
        "retrieval.search",
        "serving.engine.devices",
    },
    "tune": {
        "common",
        "retrieval.examples_auto",
        "serving.settings",
        "judging.length_cap",
        "judging.known_testsets",
        "judging.testset",
        "judging.scoring",
        "judging.protocol",
        "judging.judge",
    },
}
PACKAGES = (*MAY_IMPORT, "bench")


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_know_only_whom_they_may(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        for name in imports_of(path):
            top = name.split(".")[0]
            if top in PACKAGES and top != package:
                allowed = any(name == a or name.startswith(a + ".") for a in MAY_IMPORT[package])
                parent = any(a.startswith(name + ".") for a in MAY_IMPORT[package])
                assert allowed or parent, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize(
    "module",
    ["serving.http.app", "judging.protocol", "judging.judge", "eval_local", "train.demo.command"],
)
def test_nothing_heavy_is_imported_before_it_is_needed(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('torch', 'vllm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_what_the_service_imports_is_in_the_image() -> None:
    """Every module of this repository that serving reaches, by whatever way, is let into the
    image's build; its other modules stay out."""
    allowed = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    waiting, seen = [ROOT / "serve.py", *sorted((ROOT / "serving").rglob("*.py"))], set()
    while waiting:
        path = waiting.pop()
        name = path.relative_to(ROOT).as_posix()
        if name in seen:
            continue
        seen.add(name)
        assert name in allowed or name.split("/")[0] in allowed, f"{name}: not in .dockerignore"
        for module in imports_of(path):
            stem = ROOT / module.replace(".", "/")
            waiting += [p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()]
