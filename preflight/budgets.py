"""Do build, start and predict fit the judge's time limits, and the model its device's memory?

All of it is estimated, and each line says from what: the build from bytes and the line's rate; the
start from the slowest one measured elsewhere plus reading the weights; predict from the roofline
(common/roofline.py) times what vLLM was measured to take beyond it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from common.device_table import Device
from common.facts import (
    BUILD_LIMIT_S,
    FACTS,
    HEALTH_LIMIT_S,
    PREDICT_LIMIT_S,
    assumed,
    download_rate,
    download_seconds,
    measured,
)
from common.roofline import floor_seconds
from common.units import amount
from preflight.book import prefill_note
from preflight.lines import Line, at_most
from preflight.model import Model
from preflight.workloads import Workload

# Half of the weights that `vllm_over_floor` was measured with (Qwen3-4B in bf16): below, the host's
# work a step, which the floor does not have, decides the speed.
SPEED_FROM_BYTES = 4e9
# Tokens that vLLM computes in one step at most, by which its activations are sized.
STEP_TOKENS = 8192


def device_line(target: Device) -> Line:
    """The device's speed that the estimates use, and its source."""
    arithmetic = f"{target.flops_per_s / 1e12:.3g} TFLOP/s" if target.flops_per_s else "unknown"
    figure = f"{target.bytes_per_s / 1e9:,.0f} GB/s, arithmetic {arithmetic}"
    return Line("device", target.name, "note", figure, why=target.source)


def format_lines(model: Model | None, target: Device, environment: Mapping[str, str]) -> list[Line]:
    """Whether the device runs the weights' format: the model's own, or the one that the setting
    QUANTIZATION (or ENGINE_ARGS) asks vLLM for."""
    asked = environment.get("QUANTIZATION") or _engine_args(environment).get("quantization")
    form = asked or (model.form if model else None)
    if not target.formats or not form:
        return []
    told = target.formats.get(form)
    what, figure = "weights' format", f"{form} (asked by a setting)" if asked else form
    if told == "ok":
        return [Line("model", what, "ok", figure, why=target.formats["source"])]
    if told:
        return [Line("model", what, "fail", figure, why=told)]
    why = (
        "nobody has tried it on this device; the `awq-gemm` export is the one that its plugin names"
    )
    return [Line("model", what, "unknown", figure, why=why)]


def _engine_args(environment: Mapping[str, str]) -> dict[str, Any]:
    try:
        return dict(json.loads(environment.get("ENGINE_ARGS") or "{}"))
    except (ValueError, TypeError):  # the line on serve.env has said so
        return {}


def build_lines(model: Model | None, wheels: tuple[int, float] | None, clone: int) -> list[Line]:
    """The build's time. wheels: their bytes and the measured seconds of installing them, None when
    not known. clone: bytes of the repository's history."""
    total, parts = download_seconds(clone), [f"clone {amount(download_seconds(clone), 's')}"]
    lines, known = [], True
    if wheels:
        seconds = download_seconds(wheels[0]) + wheels[1]
        total += seconds
        parts.append(f"wheels {amount(seconds, 's')}")
        why = f"{amount(wheels[0], 'B')} of wheels; unpacking measured here: {wheels[1]:.1f} s"
        lines.append(Line("build", "Python packages", "note", amount(seconds, "s"), why=why))
    else:
        known = False
    if model:
        seconds = download_seconds(model.total_bytes)
        total += seconds
        parts.append(f"weights {amount(seconds, 's')}")
        why = f"{amount(model.total_bytes, 'B')} ({model.source})"
        lines.append(Line("build", "weights", "note", amount(seconds, "s"), why=why))
    else:
        known = False
    why = f"{' + '.join(parts)}, at {download_rate()}; pulling the base image is not counted"
    line = at_most("build", "whole build", total, BUILD_LIMIT_S, "s", why)
    if not known and line.state == "ok":
        line = replace(line, state="unknown", why=why + "; not all parts are known")
    return [*lines, line]


def health_lines(
    model: Model,
    target: Device,
    startup_s: float | None,
    eager: bool,
    environment: Mapping[str, str],
) -> list[Line]:
    """The time of the start, and whether a tuned start would be kept (see `_tuned_line`).

    startup_s: the measured start of this very service, instead of the estimate. eager: started
    without compilation and graphs. environment: the image's.
    """
    if startup_s is not None:
        why = "start measured and given by you; ENFORCE_EAGER=1 and fewer graph sizes shorten it"
        line = at_most("health", "start", startup_s, HEALTH_LIMIT_S, "s", why)
        return [line, *_tuned_line(startup_s, eager, environment)]
    name = "startup_compiled_s"
    if target.key == "cpu" or eager:
        name = "startup_cpu_s" if target.key == "cpu" else "startup_eager_s"
    reading = model.weight_bytes / assumed("read_bytes_per_s")
    record = FACTS["measured"][name]
    why = (
        f"estimate: {record['value']} s ({record['source']}) + {reading:.1f} s to read "
        f"{amount(model.weight_bytes, 'B')} at an assumed 1 GB/s"
    )
    if name == "startup_compiled_s":
        why += "; ENFORCE_EAGER=1 shortens it"
    seconds = record["value"] + reading
    line = at_most("health", "start", seconds, HEALTH_LIMIT_S, "s", why)
    return [line, *_tuned_line(seconds, name != "startup_compiled_s", environment)]


def _tuned_line(seconds: float, eager: bool, environment: Mapping[str, str]) -> list[Line]:
    """Whether the tuned start ends before the service aborts it for its eager fallback, which it
    does as long as there is time for one (serving/startup.py)."""
    if eager:
        return []
    budget, reserve = (
        float(environment.get(name.upper()) or FACTS["service"][name])
        for name in ("health_budget_s", "startup_reserve_s")
    )
    cut = budget - reserve
    why = (
        f"HEALTH_BUDGET_S {budget:g} - STARTUP_RESERVE_S {reserve:g}: a tuned start that is not "
        "ready then is aborted for the eager fallback, which answers several times slower. What an "
        "earlier start compiled makes it shorter (COMPILE_CACHE_DIR, docs/serving.md)"
    )
    line = at_most("health", "tuned start kept", seconds, cut, "s", why)
    return [replace(line, state="note") if line.state == "fail" else line]


def predict_lines(model: Model, target: Device, work: Workload, serial: bool) -> Iterator[Line]:
    """The time of one test set, in one batch and one question at a time, and the speed that
    follows for weights like those that the rule was measured with; the mode that is not served is
    a note."""
    factor, tokens = measured("vllm_over_floor"), sum(work.answer_tokens)
    unpriced = "" if target.flops_per_s else "; arithmetic not counted, no figure known"
    base = f"{work.questions} answers, {tokens} tokens, {target.name}"
    for mode, at_once, used in (("batch", target.max_num_seqs, not serial), ("serial", 1, serial)):
        if model.shape is None:
            what, why = f"{work.name}, {mode}", model.shape_problem
            yield Line("predict", what, "unknown", "not estimated", why=why)
            continue
        seconds = _predicted(model, target, work, at_once)
        alone = _predicted(model, target, work.without_passages, at_once)
        note = prefill_note(work, seconds - alone)
        speed = f"about {tokens * measured('chars_per_token') / seconds:,.0f} characters/s"
        if model.form != "plain" or model.weight_bytes < SPEED_FROM_BYTES:
            speed = "no characters/s: the rule is too fast for 4-bit or small weights, see "
            speed += "docs/contest.md"
        why = (
            f"estimate: {base}; floor of memory traffic times {factor}, which stands on Qwen3-4B "
            f"in bf16 on one H100{unpriced}; {speed}{note}"
        )
        line = at_most("predict", f"{work.name}, {mode}", seconds, PREDICT_LIMIT_S, "s", why)
        yield (
            line if used else replace(line, state="note", why=f"{why}; not the mode that is served")
        )


def _predicted(model: Model, target: Device, work: Workload, at_once: int) -> float:
    assert model.shape is not None
    floor = floor_seconds(
        model.shape, model.weight_bytes, work.prompt_tokens, work.answer_tokens, target, at_once
    )
    return measured("vllm_over_floor") * floor


def memory_line(
    model: Model, target: Device, works: Sequence[Workload], utilization: float
) -> Line:
    """Weights, KV cache of all answers at once, and activations, against vLLM's share of the
    device's memory (utilization, of 1)."""
    if target.memory_bytes is None:
        return Line("memory", "device", "unknown", "not known")
    share = target.memory_bytes * utilization
    weights = amount(model.weight_bytes, "B")
    if model.shape is None:
        why = f"weights {weights} alone, KV cache and activations not known: {model.shape_problem}"
        line = at_most("memory", "device", model.weight_bytes, share, "B", why)
        return line if line.state == "fail" else replace(line, state="unknown")
    tokens = max(
        min(target.max_num_seqs, w.questions)
        * (sum(w.prompt_tokens) / w.questions + max(w.answer_tokens))
        for w in works
    )
    kv = model.shape.kv_bytes * tokens
    # One step through the MLP in 16 bit, and the logits of all answers in 32.
    width = model.shape.hidden + 2 * model.shape.intermediate
    active = STEP_TOKENS * width * 2 + target.max_num_seqs * model.shape.vocab * 4
    why = (
        f"weights {weights} + KV cache {amount(kv, 'B')} + activations {amount(active, 'B')}; CUDA "
        f"graphs not counted; {target.name}, share {utilization}"
    )
    return at_most("memory", "device", model.weight_bytes + kv + active, share, "B", why)


def run_lines(
    model: Model,
    target: Device,
    works: Sequence[Workload],
    startup_s: float | None,
    environment: Mapping[str, str],
) -> Iterator[Line]:
    """The device, and start, predict and memory on it. environment: the image's."""
    eager = environment.get("ENFORCE_EAGER", "").lower() in ("1", "true")
    serial = environment.get("SERVE_MODE") == "serial"
    yield device_line(target)
    yield from health_lines(model, target, startup_s, eager, environment)
    if model.demo:
        why = "a demo model: its time and speed say nothing of a real one's"
        yield Line("predict", "any test set", "note", "no prediction", why=why)
    else:
        for work in works:
            yield from predict_lines(model, target, work, serial)
    share = environment.get("GPU_MEMORY_UTILIZATION") or assumed("memory_share")
    yield memory_line(model, target, works, float(share))
