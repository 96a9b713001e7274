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
from common.language import either
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
    known = f"{target.flops_per_s / 1e12:.3g} TFLOP/s" if target.flops_per_s else ""
    arithmetic = known or either("未知", "unknown")
    speed = f"{target.bytes_per_s / 1e9:,.0f} GB/s"
    figure = either(f"{speed}，算力 {arithmetic}", f"{speed}, arithmetic {arithmetic}")
    return Line("device", target.name, "note", figure, why=target.source)


def format_lines(model: Model | None, target: Device, environment: Mapping[str, str]) -> list[Line]:
    """Whether the device runs the weights' format: the model's own, or the one that the setting
    QUANTIZATION (or ENGINE_ARGS) asks vLLM for."""
    asked = environment.get("QUANTIZATION") or _engine_args(environment).get("quantization")
    form = asked or (model.form if model else None)
    if not target.formats or not form:
        return []
    told = target.formats.get(form)
    what = either("权重的格式", "weights' format")
    figure = either(f"{form}（由设置指定）", f"{form} (asked by a setting)") if asked else form
    if told == "ok":
        return [Line("model", what, "ok", figure, why=target.formats["source"])]
    if told:
        return [Line("model", what, "fail", figure, why=told)]
    why = either(
        "没有人在这个设备上试过；它的插件指明的是 `awq-gemm` 导出",
        "nobody has tried it on this device; the `awq-gemm` export is the one that its plugin "
        "names",
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
    total, lines, known = download_seconds(clone), [], True
    parts = [f"{either('克隆', 'clone')} {amount(total, 's')}"]
    if wheels:
        seconds = download_seconds(wheels[0]) + wheels[1]
        total += seconds
        parts.append(f"{either('安装包', 'wheels')} {amount(seconds, 's')}")
        size, unpacking = amount(wheels[0], "B"), f"{wheels[1]:.1f}"
        why = either(
            f"安装包 {size}；在这里测得解包 {unpacking} 秒",
            f"{size} of wheels; unpacking measured here: {unpacking} s",
        )
        what = either("Python 包", "Python packages")
        lines.append(Line("build", what, "note", amount(seconds, "s"), why=why))
    else:
        known = False
    if model:
        seconds = download_seconds(model.total_bytes)
        total += seconds
        what = either("权重", "weights")
        parts.append(f"{what} {amount(seconds, 's')}")
        why = f"{amount(model.total_bytes, 'B')} ({model.source})"
        lines.append(Line("build", what, "note", amount(seconds, "s"), why=why))
    else:
        known = False
    added, rate = " + ".join(parts), download_rate()
    why = either(
        f"{added}，按 {rate}；拉取基础镜像不计",
        f"{added}, at {rate}; pulling the base image is not counted",
    )
    line = at_most("build", either("整个构建", "whole build"), total, BUILD_LIMIT_S, "s", why)
    if not known and line.state == "ok":
        why += either("；有的部分不知道", "; not all parts are known")
        line = replace(line, state="unknown", why=why)
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
        why = either(
            "你量得并给出的启动时间；ENFORCE_EAGER=1 和更少的图尺寸能缩短它",
            "start measured and given by you; ENFORCE_EAGER=1 and fewer graph sizes shorten it",
        )
        line = at_most("health", _start(), startup_s, HEALTH_LIMIT_S, "s", why)
        return [line, *_tuned_line(startup_s, eager, environment)]
    name = "startup_compiled_s"
    if target.key == "cpu" or eager:
        name = "startup_cpu_s" if target.key == "cpu" else "startup_eager_s"
    reading = model.weight_bytes / assumed("read_bytes_per_s")
    record = FACTS["measured"][name]
    size, base = amount(model.weight_bytes, "B"), f"{record['value']} s ({record['source']})"
    why = either(
        f"估算：{base} + 按假定的 1 GB/s 读 {size} 要 {reading:.1f} 秒",
        f"estimate: {base} + {reading:.1f} s to read {size} at an assumed 1 GB/s",
    )
    if name == "startup_compiled_s":
        why += either("；ENFORCE_EAGER=1 能缩短它", "; ENFORCE_EAGER=1 shortens it")
    seconds = record["value"] + reading
    line = at_most("health", _start(), seconds, HEALTH_LIMIT_S, "s", why)
    return [line, *_tuned_line(seconds, name != "startup_compiled_s", environment)]


def _start() -> str:
    return either("启动", "start")


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
    limits = f"HEALTH_BUDGET_S {budget:g} - STARTUP_RESERVE_S {reserve:g}"
    why = either(
        f"{limits}：调优的启动到时还没有就绪，就改用 eager，答题会慢几倍。"
        "先前启动时编译好的能缩短它（COMPILE_CACHE_DIR，docs/serving.md）",
        f"{limits}: a tuned start that is not "
        "ready then is aborted for the eager fallback, which answers several times slower. What an "
        "earlier start compiled makes it shorter (COMPILE_CACHE_DIR, docs/serving.md)",
    )
    what = either("保得住调优的启动", "tuned start kept")
    line = at_most("health", what, seconds, cut, "s", why)
    return [replace(line, state="note") if line.state == "fail" else line]


def predict_lines(
    model: Model, target: Device, work: Workload, serial: bool, draws: int = 1
) -> Iterator[Line]:
    """The time of one test set, in one batch and one question at a time, and the speed that
    follows for weights like those that the rule was measured with; the mode that is not served is
    a note. draws: answers written to each question (ANSWER_DRAWS), one of which is given."""
    factor, tokens = measured("vllm_over_floor"), sum(work.answer_tokens)
    unpriced = ""
    if not target.flops_per_s:
        unpriced = either("；算力不知道，没有计入", "; arithmetic not counted, no figure known")
    count = work.questions
    base = either(
        f"{count} 个回答，{tokens} 词元，{target.name}",
        f"{count} answers, {tokens} tokens, {target.name}",
    )
    if draws > 1:
        base += either(f"，各写 {draws} 遍", f", each written {draws} times")
    alone_at_once = min(draws, target.max_num_seqs)
    for mode, at_once, used in (
        ("batch", target.max_num_seqs, not serial),
        ("serial", alone_at_once, serial),
    ):
        if model.shape is None:
            what, why = f"{work.name}, {mode}", model.shape_problem
            yield Line("predict", what, "unknown", either("没有估算", "not estimated"), why=why)
            continue
        seconds = _predicted(model, target, work, at_once, draws)
        alone = _predicted(model, target, work.without_passages, at_once, draws)
        note = prefill_note(work, seconds - alone)
        rate = tokens * measured("chars_per_token") / seconds
        speed = either(f"约 {rate:,.0f} 字符/秒", f"about {rate:,.0f} characters/s")
        if model.form != "plain" or model.weight_bytes < SPEED_FROM_BYTES:
            speed = either(
                "不给字符/秒：这条规则对 4 位或小的权重估得太快，见 docs/contest.md",
                "no characters/s: the rule is too fast for 4-bit or small weights, see "
                "docs/contest.md",
            )
        why = either(
            f"估算：{base}；显存读写的下限乘 {factor}（由一块 H100 上 bf16 的 Qwen3-4B 测得）"
            f"{unpriced}；{speed}{note}",
            f"estimate: {base}; floor of memory traffic times {factor}, which stands on Qwen3-4B "
            f"in bf16 on one H100{unpriced}; {speed}{note}",
        )
        line = at_most("predict", f"{work.name}, {mode}", seconds, PREDICT_LIMIT_S, "s", why)
        other = either("；不是服务用的方式", "; not the mode that is served")
        yield line if used else replace(line, state="note", why=why + other)


def _predicted(model: Model, target: Device, work: Workload, at_once: int, draws: int) -> float:
    """Seconds. Further draws follow the first answers and find their prompts' KV cached."""
    assert model.shape is not None
    prompts, answers = list(work.prompt_tokens), list(work.answer_tokens)
    drawn = [place for place in range(work.questions) for _ in range(draws - 1)]
    again = [prompts[place] for place in drawn]
    floor = floor_seconds(
        model.shape,
        model.weight_bytes,
        prompts + again,
        answers + [answers[place] for place in drawn],
        target,
        at_once,
        [work.cached_tokens] * work.questions + again,
    )
    return measured("vllm_over_floor") * floor


def memory_line(
    model: Model, target: Device, works: Sequence[Workload], utilization: float
) -> Line:
    """Weights, KV cache of all answers at once, and activations, against vLLM's share of the
    device's memory (utilization, of 1)."""
    if target.memory_bytes is None:
        return Line("memory", _device(), "unknown", either("不知道", "not known"))
    share = target.memory_bytes * utilization
    weights = amount(model.weight_bytes, "B")
    if model.shape is None:
        why = either(
            f"只算权重 {weights}，KV 缓存和激活值不知道：{model.shape_problem}",
            f"weights {weights} alone, KV cache and activations not known: {model.shape_problem}",
        )
        line = at_most("memory", _device(), model.weight_bytes, share, "B", why)
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
    cache, activations = amount(kv, "B"), amount(active, "B")
    why = either(
        f"权重 {weights} + KV 缓存 {cache} + 激活值 {activations}；CUDA 图不计；"
        f"{target.name}，占比 {utilization}",
        f"weights {weights} + KV cache {cache} + activations {activations}; CUDA "
        f"graphs not counted; {target.name}, share {utilization}",
    )
    return at_most("memory", _device(), model.weight_bytes + kv + active, share, "B", why)


def _device() -> str:
    return either("设备", "device")


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
        why = either(
            "演示模型：它的时间和速度说明不了真的模型",
            "a demo model: its time and speed say nothing of a real one's",
        )
        what, figure = either("任何题集", "any test set"), either("不预测", "no prediction")
        yield Line("predict", what, "note", figure, why=why)
    else:
        draws = int(float(environment.get("ANSWER_DRAWS") or FACTS["service"]["answer_draws"]))
        for work in works:
            yield from predict_lines(model, target, work, serial, max(draws, 1))
    share = environment.get("GPU_MEMORY_UTILIZATION") or assumed("memory_share")
    yield memory_line(model, target, works, float(share))
