"""EleutherAI's lm-evaluation-harness as a process: one model, some tasks, a value a question.

A model is a directory, which Transformers loads, or `http://…/v1#NAME`, a model of an OpenAI
endpoint that completes and tells log-probabilities of the prompt (vLLM's does).
"""

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common.language import BilingualError, either

INSTALL = "bash train/setup.sh ability"
_UNREACHED = re.compile("ConnectionError|Couldn't reach|offline|LocalEntryNotFound|Max retries")


class HarnessError(BilingualError, ValueError):
    """The harness is missing, or did not end well; the message says what to do."""


@dataclass(frozen=True)
class Evaluated:
    """`values`: of each (task, document's number) the task's first metric, mostly 1 or 0.
    `choices`: of how many options each answer was chosen, where it was; `chosen`: their number."""

    version: str
    values: dict[tuple[str, str], float]
    metrics: dict[str, str] = field(default_factory=dict)
    choices: dict[tuple[str, str], int] = field(default_factory=dict)
    chosen: dict[tuple[str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Harness:
    """How to evaluate. python: one with lm_eval; include: a folder of tasks of one's own; limit:
    the first N questions of each task, None for all; shots: examples before each question."""

    python: Path
    include: Path | None = None
    limit: int | None = None
    shots: int | None = None
    batch_size: int = 4

    def version(self) -> str:
        """The harness' version. Raises HarnessError where it is not installed."""
        code = "from importlib.metadata import version; print(version('lm_eval'))"
        try:
            done = subprocess.run([str(self.python), "-c", code], capture_output=True, text=True)
        except OSError as error:
            raise HarnessError(_not_installed(self.python)) from error
        if done.returncode:
            raise HarnessError(_not_installed(self.python))
        return done.stdout.strip()

    def evaluate(self, model: str, tasks: Sequence[str], out: Path) -> Evaluated:
        """The model's value for each question; the harness' own files stay in `out`.

        Raises HarnessError with the end of the harness' log, which is kept as `out`/log.txt.
        """
        version = self.version()
        out.mkdir(parents=True, exist_ok=True)
        for old in out.rglob("samples_*.jsonl"):
            old.unlink()
        log = out / "log.txt"
        with log.open("w", encoding="utf-8") as stream:
            done = subprocess.run(
                self.command(model, tasks, out),
                stdout=stream,
                stderr=subprocess.STDOUT,
                env={"TOKENIZERS_PARALLELISM": "false", **os.environ},
            )
        if done.returncode:
            raise HarnessError(_failed(model, log))
        found = _read_samples(out, version)
        if not found.values:
            raise HarnessError(f"{out}: {either('没有任何题的结果', 'no result of any question')}")
        return found

    def command(self, model: str, tasks: Sequence[str], out: Path) -> list[str]:
        """The harness' own command line."""
        kind, arguments = _model_arguments(model)
        command = [str(self.python), "-m", "lm_eval", "run", "--model", kind]
        command += ["--model_args", *arguments, "--tasks", ",".join(tasks)]
        command += [
            "--batch_size",
            str(self.batch_size),
            "--log_samples",
            "--output_path",
            str(out),
        ]
        if self.include:
            command += ["--include_path", str(self.include)]
        if self.limit is not None:
            command += ["--limit", str(self.limit)]
        if self.shots is not None:
            command += ["--num_fewshot", str(self.shots)]
        return command


def _model_arguments(model: str) -> tuple[str, list[str]]:
    """The harness' kind of model, and its arguments. Raises HarnessError."""
    if not model.startswith(("http://", "https://")):
        if not (Path(model) / "config.json").is_file():
            raise HarnessError(
                f"{model}：没有 config.json，不是模型目录（接口写成 http://…/v1#模型名）",
                f"{model}: no config.json, not a model directory (an endpoint is http://…/v1#NAME)",
            )
        return "hf", [f"pretrained={Path(model).resolve()}"]
    url, _, name = model.partition("#")
    if not name:
        raise HarnessError(
            f"{model}：请写成 http://…/v1#模型名", f"{model}: write it as http://…/v1#NAME"
        )
    arguments = [f"model={name}", f"base_url={url.rstrip('/')}/completions"]
    tokenizer = _served_directory(url, name)
    return "local-completions", arguments + ([f"tokenizer={tokenizer}"] if tokenizer else [])


def _served_directory(url: str, name: str) -> str | None:
    """Where an endpoint on this machine says that the model lies (vLLM's `root`): its tokenizer."""
    import httpx

    try:
        models = httpx.get(f"{url.rstrip('/')}/models", headers=_key(), timeout=10).json()["data"]
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(f"{url}: {error}") from error
    known = {each.get("id"): each.get("root") for each in models}
    if name not in known:
        raise HarnessError(
            either(f"{url} 没有模型 {name}，有：", f"{url} has no model {name}, but: ")
            + ", ".join(map(str, known))
        )
    root = known[name]
    return root if root and (Path(root) / "tokenizer_config.json").is_file() else None


def _key() -> dict[str, str]:
    key = os.environ.get("OPENAI_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _read_samples(out: Path, version: str) -> Evaluated:
    found = Evaluated(version, {})
    for path in sorted(out.rglob("samples_*.jsonl")):
        for line in path.read_text(encoding="utf-8").split("\n"):
            if line:
                _add_sample(found, path.name[len("samples_") :].rsplit("_", 1)[0], json.loads(line))
    return found


def _add_sample(found: Evaluated, task: str, sample: dict[str, Any]) -> None:
    place = (task, f"{sample['doc_id']} {sample['doc_hash'][:12]}")
    metrics = sample["metrics"]
    if not metrics or place in found.values:  # a second filter of the same document
        return
    value = sample[metrics[0]]
    if not isinstance(value, int | float):
        raise HarnessError(
            f"{task}：指标 {metrics[0]} 不是逐题的数，无法逐题配对",
            f"{task}: its metric {metrics[0]} is no number a question: nothing to pair",
        )
    found.values[place] = float(value)
    found.metrics[task] = metrics[0]
    told = sample.get("filtered_resps", [])
    if len(told) > 1 and all(isinstance(each, list) and len(each) == 2 for each in told):
        likely = [float(each[0]) for each in told]
        found.choices[place] = len(likely)
        found.chosen[place] = likely.index(max(likely))


def _not_installed(python: Path) -> str:
    return either(
        f"{python} 里没有 lm-evaluation-harness：{INSTALL}",
        f"{python} has no lm-evaluation-harness: {INSTALL}",
    )


def _failed(model: str, log: Path) -> str:
    lines = [each for each in log.read_text("utf-8", "replace").splitlines() if each.strip()]
    last, hint = (lines or ["?"])[-1].strip(), ""
    if "datasets" in "".join(lines) and any(_UNREACHED.search(each) for each in lines):
        hint = either(
            "它要下载题目，而数据站连不上：设 HF_ENDPOINT 为能用的镜像，或用 --task 给本机的文件。",
            "It downloads its questions, and their hub cannot be reached: set HF_ENDPOINT to a "
            "mirror, or give a file of questions with --task. ",
        )
    return either(
        f"lm-evaluation-harness 没有评完 {model}。{hint}它最后说：{last}（{log}）",
        f"lm-evaluation-harness failed on {model}. {hint}Its last words: {last} ({log})",
    )
