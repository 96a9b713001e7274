"""状态: models and adapters in and out, memory, requests, tokens a second over the last minutes."""

import time
from collections.abc import AsyncIterator
from typing import Any

import gradio as gr
import pandas as pd
import psutil

from chat.errors import LoadError, NotLoadedError
from chat.figures import REMEMBERED_S
from chat.listing import choices, status
from chat.memory import Freed, gpus
from chat.page.context import Page

EVERY_S = 3.0


def build(page: Page, tab: gr.Tab) -> gr.Timer:
    """The tab. Its timer is to run while the tab is seen only: measuring costs the engines time."""
    say, registry = page.say, page.registry
    with gr.Row(elem_classes="bottom"):
        name = gr.Dropdown(
            choices(registry), label=say("模型或 adapter", "model or adapter"), scale=3
        )
        load = gr.Button(say("加载", "load"), variant="primary", scale=0, min_width=110)
        switch = gr.Button(say("只留它", "switch to it"), scale=0, min_width=110)
        unload = gr.Button(say("卸载", "unload"), scale=0, min_width=110)
    how = say(
        "加载一个模型约一分钟；“只留它”先卸载别的模型。加载 adapter 时，它的基座也会加载。",
        "A model takes about a minute to load; “switch to it” unloads the others first. "
        "An adapter brings its base along.",
    )
    told = page.line(lambda: page.no_models() or how)
    models = gr.Dataframe(label=say("模型", "models"), interactive=False, max_height=330)
    memory = gr.Dataframe(label=say("内存", "memory"), interactive=False)
    with gr.Row():
        axis: dict[str, Any] = {"x": "minutes", "x_title": say("分钟", "minutes"), "height": 240}
        axis["visible"] = False
        axis |= {"x_lim": (-10, 0), "color_title": " "}
        speed = gr.LinePlot(
            y="tokens/s", color="model", title="token/s", y_title=" ", y_axis_format=",.0f", **axis
        )
        requests = gr.LinePlot(
            y="requests",
            color="kind",
            title=say("请求", "requests"),
            y_title=" ",
            y_axis_format=".0f",
            **axis,
        )

    async def do_load(chosen: str | None, alone: bool = False) -> AsyncIterator[str]:
        if not chosen:
            raise page.failed(say("先选一个", "choose one first"))
        yield say(f"正在加载 {chosen} …", f"loading {chosen} …")
        began = time.monotonic()
        try:
            if alone and chosen in registry.found().models:
                await registry.load(chosen, switch=True)
            await registry.target(chosen, load=True)
        except (NotLoadedError, LoadError) as error:
            yield say(f"{chosen} 没有加载成", f"{chosen} is not loaded")
            raise page.failed(error) from error
        seconds = time.monotonic() - began
        yield say(f"{chosen} 已加载，{seconds:.1f} 秒", f"{chosen} is loaded, {seconds:.1f} s")

    async def do_switch(chosen: str | None) -> AsyncIterator[str]:
        async for told in do_load(chosen, alone=True):
            yield told

    async def do_unload(chosen: str | None) -> str:
        if not chosen:
            raise page.failed(say("先选一个", "choose one first"))
        try:
            if chosen in registry.found().adapters:
                await registry.unload_adapter(chosen)
                return say(f"{chosen} 已卸载", f"{chosen} is unloaded")
            return _freed(page, chosen, await registry.unload(chosen))
        except (NotLoadedError, LoadError) as error:
            raise page.failed(error) from error

    private: dict[str, Any] = {"api_visibility": "private", "concurrency_limit": None}
    load.click(do_load, name, told, **private)
    switch.click(do_switch, name, told, **private)
    unload.click(do_unload, name, told, **private)
    page.refreshed(name, lambda: choices(registry))
    timer = gr.Timer(EVERY_S, active=False)
    now: dict[str, Any] = {"show_progress": "hidden", **private}
    tab.select(lambda: gr.Timer(active=True), outputs=timer, **now)
    gr.on(
        [tab.select, timer.tick],
        # A plot of nothing draws a legend of "-Infinity".
        lambda: (
            _models(page),
            _memory(page),
            *(gr.update(value=each, visible=not each.empty) for each in _figures(page)),
        ),
        outputs=[models, memory, speed, requests],
        **now,
    )
    return timer


def _models(page: Page) -> pd.DataFrame:
    say = page.say
    latest = page.registry.figures.latest()
    words = {
        "ready": say("已加载", "ready"),
        "loading": say("加载中", "loading"),
        "unloading": say("卸载中", "unloading"),
        "failed": say("失败", "failed"),
        "not loaded": say("未加载", "not loaded"),
    }
    rows = []
    for each in status(page.registry):
        sample = latest.get(each["id"]) if each["state"] == "ready" else None
        rows.append(
            [
                each["id"],
                words.get(each["state"], each["state"]),
                _size(each.get("weight_bytes")),
                "" if sample is None else f"{sample.running:.0f} / {sample.waiting:.0f}",
                "" if sample is None else f"{sample.kv_percent:.0f} %",
                each.get("problem")
                or (say("adapter，基座 ", "adapter of ") + each["base"] if "base" in each else ""),
            ]
        )
    columns = [
        say("名字", "name"),
        say("状态", "state"),
        say("权重", "weights"),
        say("在答 / 等待", "running / waiting"),
        say("KV 缓存", "KV cache"),
        say("说明", "note"),
    ]
    return pd.DataFrame(rows, columns=columns)


def _memory(page: Page) -> pd.DataFrame:
    say = page.say
    host = psutil.virtual_memory()
    rows = [[say("主机", "host"), _size(host.used), _size(host.total), f"{host.percent:.0f} %"]]
    rows[0].append(f"CPU {page.registry.figures.cpu_percent:.0f} %")
    for number, card in enumerate(gpus()):
        share = f"{100 * card.used / card.total:.0f} %"
        rows.append([f"GPU {number} {card.name}", _size(card.used), _size(card.total), share])
        rows[-1].append(f"{card.percent:.0f} %")
    for engine in page.registry.ready():
        rows.append([engine.model.id, _size(engine.memory().processes), "", "", ""])
    columns = ["", say("已用", "used"), say("总共", "total"), "%", say("占用率", "busy")]
    return pd.DataFrame(rows, columns=columns)


def _figures(page: Page) -> tuple[pd.DataFrame, pd.DataFrame]:
    now = time.time()
    samples = [s for s in page.registry.figures.recent() if s.time > now - REMEMBERED_S]
    minutes = [(s.time - now) / 60 for s in samples]
    speed = pd.DataFrame(
        {
            "minutes": minutes,
            "tokens/s": [s.tokens_per_s for s in samples],
            "model": [s.model for s in samples],
        }
    )
    running, waiting = page.say("在答", "running"), page.say("等待", "waiting")
    requests = pd.DataFrame(
        {
            "minutes": minutes * 2,
            "requests": [s.running for s in samples] + [s.waiting for s in samples],
            "kind": [running] * len(samples) + [waiting] * len(samples),
        }
    )
    return speed, requests


def _freed(page: Page, name: str, freed: Freed) -> str:
    told = freed.as_json()
    before, after = freed.before, freed.after
    parts = [
        page.say(
            f"{name} 已卸载，{told['seconds']} 秒", f"{name} is unloaded, {told['seconds']} s"
        ),
        page.say(
            f"进程内存 {_size(before.processes)} → {_size(after.processes)}",
            f"its processes {_size(before.processes)} → {_size(after.processes)}",
        ),
        page.say(
            f"可用内存 {_size(before.available)} → {_size(after.available)}",
            f"memory available {_size(before.available)} → {_size(after.available)}",
        ),
    ]
    if before.gpu_used is not None and after.gpu_used is not None:
        parts.append(f"GPU {_size(before.gpu_used)} → {_size(after.gpu_used)}")
    return " · ".join(parts)


def _size(size: float | None) -> str:
    if size is None:
        return ""
    return f"{size / 2**30:.2f} GiB" if size >= 1 << 30 else f"{size / 2**20:.0f} MiB"
