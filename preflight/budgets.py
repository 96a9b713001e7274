"""Will build, start and predict fit the judge's time, and the model its device's memory?

Estimates, each saying what it is made of: bytes and the line's speed for the build; the slowest
start measured elsewhere plus reading the weights for health; the roofline (every decoding step
reads all weights and every answer's KV cache once) times what real vLLM took over it, for predict.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from common.pairs import PairFile
from preflight.lines import (
    FACTS,
    Line,
    amount,
    assumed,
    at_most,
    download_seconds,
    measured,
)
from preflight.model import Model


@dataclass(frozen=True)
class Device:
    """Bytes of memory, and bytes and operations a second; None where nobody could be quoted."""

    key: str
    name: str
    memory_bytes: float | None
    bytes_per_s: float
    flops_per_s: float | None
    max_num_seqs: int
    source: str
    formats: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Workload:
    """Questions that come in one call: counts, tokens, the longest answer, the sum of squares."""

    name: str
    questions: int
    prompt_tokens: int
    answer_tokens: int
    longest: int
    answer_tokens_squared: int | None
    source: str

    def context_reads(self) -> float:
        """Tokens of KV cache read in all: every answer token looks back at its whole context."""
        squared = self.answer_tokens_squared
        if squared is None:  # no lengths known: the most it can be
            squared = self.answer_tokens * self.longest
        return self.prompt_tokens / self.questions * self.answer_tokens + squared / 2


def device(key: str) -> Device:
    """A device of the table; "cpu" is measured on the spot (about a second)."""
    record = dict(FACTS["devices"][key])
    if key == "cpu":
        record |= {"bytes_per_s": _copy_speed(), "flops_per_s": _matmul_speed()}
        record["memory_bytes"] = _memory()
    return Device(key=key, **record)


def device_line(target: Device) -> Line:
    """What the estimates below take the device for, and where that is from."""
    arithmetic = f"{target.flops_per_s / 1e12:.3g} TFLOP/s" if target.flops_per_s else "unknown"
    figure = f"{target.bytes_per_s / 1e9:,.0f} GB/s, arithmetic {arithmetic}"
    return Line("device", target.name, "note", figure, why=target.source)


def format_lines(model: Model | None, target: Device, environment: Mapping[str, str]) -> list[Line]:
    """Whether the device takes the weights' format: the model's own, or the one that settings ask
    vLLM to make of them."""
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


def recorded_workloads() -> list[Workload]:
    """The judge's two test sets, as far as their lengths are known."""
    return [Workload(name, **record) for name, record in FACTS["workloads"].items()]


def workload_of(testset: PairFile) -> Workload:
    """A test set's own lengths, in tokens by the recorded characters per token."""
    ratio = measured("chars_per_token")
    answers = [len(q.answer) / ratio for q in testset.pairs]
    system = FACTS["workloads"]["bonus"]
    prompt = system["prompt_tokens"] / system["questions"]
    return Workload(
        testset.name,
        len(answers),
        int(prompt * len(answers)),
        int(sum(answers)),
        int(max(answers)) + 1,
        int(sum(a * a for a in answers)),
        f"{testset.name}: references at {ratio} characters a token",
    )


def build_lines(model: Model | None, wheels: tuple[int, float] | None, clone: int) -> list[Line]:
    """Build of 900 s. wheels: bytes and measured seconds of installation, or None."""
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
    why = (
        f"{' + '.join(parts)}, at 100 Mbit/s times {assumed('network_factor')}; pulling the base "
        "image is not counted"
    )
    line = at_most("build", "whole build", total, FACTS["judge"]["build_s"], "s", why)
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
    """Start-up of 180 s, and whether its first rung would be let finish.

    startup_s: a measured start of this very service, taken as it is. environment: of the image.
    """
    limit = FACTS["judge"]["health_s"]
    if startup_s is not None:
        why = "start measured and given by you; ENFORCE_EAGER=1 and fewer graph sizes shorten it"
        line = at_most("health", "start", startup_s, limit, "s", why)
        return [line, *_rung_line(startup_s, eager, environment)]
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
    line = at_most("health", "start", seconds, limit, "s", why)
    return [line, *_rung_line(seconds, name != "startup_compiled_s", environment)]


def _rung_line(seconds: float, eager: bool, environment: Mapping[str, str]) -> list[Line]:
    """The service gives its tuned start up when the time for an eager one would run out."""
    if eager:
        return []
    budget, reserve = (
        float(environment.get(name.upper()) or FACTS["service"][name])
        for name in ("health_budget_s", "startup_reserve_s")
    )
    cut = budget - reserve
    why = (
        f"HEALTH_BUDGET_S {budget:g} - STARTUP_RESERVE_S {reserve:g}: a tuned start that is not "
        "ready then is given up for an eager one, which answers several times slower. What an "
        "earlier start compiled makes it shorter (COMPILE_CACHE_DIR, README)"
    )
    line = at_most("health", "tuned start kept", seconds, cut, "s", why)
    return [replace(line, state="note") if line.state == "fail" else line]


def roofline_seconds(model: Model, target: Device, work: Workload, max_num_seqs: int) -> float:
    """Least seconds for one batch: memory traffic or arithmetic, whichever takes longer.

    Steps: with n answers at a time there are at most tokens / n + longest of them.
    """
    at_once = min(max_num_seqs, work.questions)
    steps = work.longest
    if work.questions > at_once:
        steps += (work.answer_tokens - work.longest) / at_once
    kv = (model.kv_bytes_per_token or 0) * work.context_reads()
    decode = (steps * model.weight_bytes + kv) / target.bytes_per_s
    parameters = model.parameters or model.weight_bytes / 2
    if not target.flops_per_s:
        return decode
    prefill = 2 * parameters * work.prompt_tokens / target.flops_per_s
    arithmetic = 2 * parameters * work.answer_tokens / target.flops_per_s
    return prefill + max(decode, arithmetic)


def predict_lines(model: Model, target: Device, work: Workload, serial: bool) -> list[Line]:
    """Predict of 360 s for one test set, with the speed that follows."""
    factor, limit = measured("vllm_over_floor"), FACTS["judge"]["predict_s"]
    unpriced = "" if target.flops_per_s else "; arithmetic not counted, no figure known"
    base = f"{work.questions} answers, {work.answer_tokens} tokens, {target.name}"
    batch = roofline_seconds(model, target, work, target.max_num_seqs) * factor
    alone = roofline_seconds(model, target, work, 1) * factor
    speed = work.answer_tokens * measured("chars_per_token")
    lines = []
    for mode, seconds, used in (("batch", batch, not serial), ("serial", alone, serial)):
        why = (
            f"estimate: {base}; floor of memory traffic times {factor} (measured on H100){unpriced}"
        )
        line = at_most("predict", f"{work.name}, {mode}", seconds, limit, "s", why)
        told = f"{line.why}; about {speed / seconds:,.0f} characters/s"
        if not used:
            line = replace(line, state="note", why=told + "; not the mode that is served")
        lines.append(replace(line, why=told) if used else line)
    return lines


def memory_line(
    model: Model, target: Device, works: Sequence[Workload], utilization: float
) -> Line:
    """Weights, KV cache of all answers at once, and activations against the device's share."""
    if target.memory_bytes is None:
        return Line("memory", "device", "unknown", "not known")
    need, parts = float(model.weight_bytes), [f"weights {amount(model.weight_bytes, 'B')}"]
    if model.kv_bytes_per_token and model.hidden_size:
        tokens = max(
            min(target.max_num_seqs, w.questions) * (w.prompt_tokens / w.questions + w.longest)
            for w in works
        )
        kv = model.kv_bytes_per_token * tokens
        # One step of 8192 tokens through the MLP (16 bit), and logits of all answers (32 bit).
        wide = model.hidden_size + 2 * (model.intermediate_size or 0)
        active = 8192 * wide * 2 + target.max_num_seqs * (model.vocab_size or 0) * 4
        need += kv + active
        parts += [f"KV cache {amount(kv, 'B')}", f"activations {amount(active, 'B')}"]
    else:
        parts.append("KV cache and activations not known without the model's config.json")
    share = target.memory_bytes * utilization
    why = f"{' + '.join(parts)}; CUDA graphs not counted; {target.name}, share {utilization}"
    return at_most("memory", "device", need, share, "B", why)


def _copy_speed() -> float:
    source = np.ones(32_000_000)
    target = np.empty_like(source)
    return 2 * source.nbytes / _best(lambda: np.copyto(target, source))


def _matmul_speed() -> float:
    matrix = np.ones((1024, 1024), dtype=np.float32)
    return 2 * 1024**3 / _best(lambda: matrix @ matrix)


def _best(action: Any) -> float:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return min(times)


def _memory() -> float | None:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    return None
