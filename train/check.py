"""Is the result what was trained? The merged model's logits beside those of base + adapter, then
each export's answers, served by vLLM, beside the merged model's.
"""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from common.language import either
from common.manifest import read_manifest, write_manifest
from common.pairs import Pair
from judging.scoring import score_answers
from train.base import ModelError, weight_bytes
from train.logits import POSITIONS, last_logits, load_for_logits, prompt_ids, relative
from train.merge import SHARE_OF_LOGITS, merged_model, round_as_saved
from train.served import need_python, serve

ROOT = Path(__file__).parents[1]
LOGIT_QUESTIONS = 8  # a float32 forward on the CPU each, several times


@dataclass(frozen=True)
class Checked:
    """One model directory served and judged on the dev rows (judge's accuracy, its ceiling)."""

    name: str
    score: float
    ceiling: float
    same_answers: float
    empty: int
    bytes: int
    load_seconds: float
    answer_seconds: float
    drop: float
    passed: bool


def ask_model(
    directory: Path, rows: list[Pair], python: Path, settings: Mapping[str, str]
) -> "Asked":
    """Serve a directory and ask it the rows' questions. Raises ModelError when it cannot serve."""
    with serve(directory, python, **settings) as served:
        replies = served.answers([row.question for row in rows])
        return Asked(directory, replies.answers, served.load_seconds, replies.total_seconds)


@dataclass(frozen=True)
class Asked:
    """Answers of one served model directory."""

    directory: Path
    answers: list[str]
    load_seconds: float
    answer_seconds: float


def check(
    merged: Path,
    exports: list[Path],
    rows: list[Pair],
    python: Path,
    max_drop: float,
    base: Path | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> list[Checked]:
    """Check each export against the merged model; scores go into the manifests.

    settings: variables of the service; the book is its own to bring, so rows are asked alone.
    An export fails when its score lies more than `max_drop` below the merged model's. `base`, when
    given, is asked first, to show what training brought; it cannot fail.
    """
    need_python(python)
    rows = [row.alone for row in rows]
    check_logits(merged, [row.question for row in rows[:LOGIT_QUESTIONS]], python)
    before = [ask_model(base, rows, python, settings)] if base else []
    full = ask_model(merged, rows, python, settings)
    results = [_checked(full, full, rows, max_drop)]
    results += [
        _checked(ask_model(export, rows, python, settings), full, rows, max_drop)
        for export in exports
    ]
    for directory, result in zip([merged, *exports], results, strict=True):
        _record(directory, result)
    first = [_checked(asked, full, rows, max_drop) for asked in before]
    return [replace(result, name="base", passed=True) for result in first] + results


def check_logits(merged: Path, questions: Sequence[str], python: Path) -> dict[str, float]:
    """Logits of the merged directory on real prompts, in float32, against base + adapters.

    Read by this Transformers and by that of `python`, the one that serves: an older one may take a
    configuration differently, without an error. Writes into the merged model's manifest, and
    returns, relative distances: effect (of the adapters), here and there (errors; there is the
    other Transformers). Raises ModelError when an error is no rounding any more, or when the other
    tokenizer makes other tokens of the prompts.
    """
    ids = prompt_ids(merged, questions)
    reference = here = last_logits(load_for_logits(merged), ids)
    manifest = read_manifest(merged)
    told = {}
    adapters = list(map(Path, manifest.settings.get("adapters", []))) if manifest else []
    if adapters:
        base = Path(manifest.settings["base"])
        model, proof = merged_model(base, adapters, ids, POSITIONS)
        round_as_saved(model, base)
        reference = last_logits(model, ids)
        del model
        told["effect"] = proof.effect
    told["here"] = relative(here, reference)
    other, version = _logits_elsewhere(merged, questions, ids, python)
    told["there"] = relative(other, reference)
    effect = f"{told['effect']:.1%}" if adapters else ""
    print(
        either(
            f"{len(ids)} 道题的 logits："
            + (f"适配器使它们改变 {effect}；" if adapters else "")
            + f"合并后的模型在这里相差 {told['here']:.4%}，在 {python} 的 Transformers {version} "
            f"里相差 {told['there']:.4%}",
            f"logits of {len(ids)} questions: "
            + (f"adapters change them by {effect}; " if adapters else "")
            + f"merged is off by {told['here']:.4%} here and {told['there']:.4%} in Transformers "
            f"{version} of {python}",
        )
    )
    if told["here"] > SHARE_OF_LOGITS:
        parts = " + ".join(map(str, [base, *adapters]))
        raise ModelError(
            f"{merged} 与 {parts} 回答不同：logits 相差 {told['here']:.2%}；请重新合并",
            f"{merged} does not answer as {parts} do: logits differ by {told['here']:.2%}; "
            "merge again",
        )
    if told["there"] > SHARE_OF_LOGITS:
        raise ModelError(
            f"{merged}：{python} 的 Transformers {version} 读出来的不一样：logits 相差 "
            f"{told['there']:.2%}。请把它的 config.json 与基座的对照",
            f"{merged}: Transformers {version} of {python} reads it differently: logits differ "
            f"by {told['there']:.2%}. Compare its config.json with the base's",
        )
    if manifest:
        manifest.settings["logits"] = {**told, "transformers": version}
        write_manifest(merged, manifest)
    return told


def _logits_elsewhere(
    merged: Path, questions: Sequence[str], ids: list[list[int]], python: Path
) -> tuple[Any, str]:
    from safetensors import safe_open

    with tempfile.TemporaryDirectory() as folder:
        asked, out = Path(folder) / "questions.json", Path(folder) / "logits.safetensors"
        asked.write_text(json.dumps(list(questions)), encoding="utf-8")
        command = [str(python.absolute()), "-m", "train.logits", str(merged.resolve())]
        try:
            done = subprocess.run(
                [*command, str(asked), str(out)], cwd=ROOT, capture_output=True, text=True
            )
        except OSError as error:
            raise ModelError(f"serve_python={python}: {error.strerror or error}") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ModelError(
                f"{merged}：{python} 的 Transformers 读不了它：{last}",
                f"{merged}: Transformers of {python} cannot read it: {last}",
            )
        with safe_open(out, framework="pt") as stream:
            told = stream.metadata()
            logits = stream.get_tensor("logits")
    version = told["transformers"]
    if json.loads(told["ids"]) != ids:
        raise ModelError(
            f"{merged}：{python} 的 Transformers {version} 对提示词的分词不同："
            "请原样复制基座的分词器文件",
            f"{merged}: Transformers {version} of {python} makes other tokens of the prompts: "
            "copy the base's tokenizer files unchanged",
        )
    return logits, version


def _checked(asked: Asked, base: Asked, rows: list[Pair], max_drop: float) -> Checked:
    references = [row.answer for row in rows]
    scores = score_answers(references, asked.answers)
    drop = score_answers(references, base.answers).accuracy - scores.accuracy
    same = sum(a == b for a, b in zip(asked.answers, base.answers, strict=True)) / len(rows)
    return Checked(
        name=asked.directory.name,
        score=scores.accuracy,
        ceiling=scores.ceiling,
        same_answers=same,
        empty=scores.empty,
        bytes=weight_bytes(asked.directory),
        load_seconds=asked.load_seconds,
        answer_seconds=asked.answer_seconds,
        drop=drop,
        passed=drop <= max_drop and scores.empty < len(rows),
    )


def _record(directory: Path, result: Checked) -> None:
    manifest = read_manifest(directory)
    if manifest is None:
        return
    manifest.scores |= {"dev_judge": result.score, "dev_ceiling": result.ceiling}
    manifest.scores["dev_same_answers"] = result.same_answers
    manifest.settings["check"] = asdict(result)
    write_manifest(directory, manifest)
