"""The whole page: its tabs, its looks, its switch of language."""

from dataclasses import replace

import gradio as gr
from fastapi import FastAPI

from chat.page import compare, judged, pairs, rate, status, talk
from chat.page.context import Page
from chat.page.plain_chatbot import COPY_AS_WRITTEN

# Fonts of the reader's own machine: none is fetched.
FONTS = ["system-ui", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "sans-serif"]
CSS = """
.gradio-container { max-width: 1500px !important; }
.quiet { opacity: .8; font-size: .9em; }
.piece { border-left: 3px solid var(--border-color-accent); padding: .2em .8em; margin: .6em 0; }
.piece pre { white-space: pre-wrap; overflow-wrap: anywhere; font-family: inherit; margin: .2em 0;
             max-height: 26em; overflow-y: auto; }
.piece pre.missed { opacity: .85; font-size: .92em; }
mark.stray { background: #fecaca; color: #7f1d1d; }
mark.missing { background: #bbf7d0; color: #14532d; }
mark.counts { text-decoration: underline; font-weight: 600; }
.quiet, .quiet > * { border: none !important; background: none !important;
                    box-shadow: none !important; }
.quiet textarea, .quiet input { border: none !important; background: none !important;
                                box-shadow: none !important; padding: .2em 0; }
#talk pre.code { font: .92em ui-monospace, "Noto Sans Mono CJK SC", monospace; margin: .3em 0;
                 padding: .5em .7em; background: rgba(128, 128, 128, .12);
                 border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere; }
#talk .message .prose, #talk .message span.md { white-space: pre-wrap; }
.sources { max-height: 70vh; overflow-y: auto; }
.bottom { align-items: flex-end; }
.bottom > button { margin-bottom: .5em; }
.reversed { flex-direction: row-reverse; }
@media (max-width: 900px) { .reversed { flex-direction: column-reverse; flex-wrap: nowrap;
                                          align-items: stretch; } }
.add-row-button { display: none !important; }
.switch { text-align: right; }
footer { display: none !important; }
"""
EVENTS_AT_ONCE = 64
QUEUE_POLL_S = 0.02


def mount(app: FastAPI, page: Page, path: str) -> FastAPI:
    """Mount the page in its language at a path of the app."""
    theme = gr.themes.Soft(font=FONTS, font_mono=["ui-monospace", "Noto Sans Mono CJK SC"])
    return gr.mount_gradio_app(
        app,
        _blocks(page),
        path=path,
        theme=theme,
        css=CSS,
        head=COPY_AS_WRITTEN,
        footer_links=[],
        max_file_size=f"{page.settings.upload_mb}mb",
        show_error=True,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
    )


def _blocks(page: Page) -> gr.Blocks:
    say = page.say
    tabs = [
        (say("对话", "talk"), talk.build),
        (say("对比", "compare"), compare.build),
        (say("人工评分", "rate"), rate.build),
        (say("报告", "reports"), judged.build),
        (say("数据", "data"), pairs.build),
    ]
    # Exported talks and uploads are removed after a day.
    with gr.Blocks(
        title=say("教材问答", "textbook QA"), analytics_enabled=False, delete_cache=(3600, 86400)
    ) as blocks:
        with gr.Row():
            gr.Markdown(say("## 教材问答", "## Textbook QA"))
            other = say("/en", "/zh")
            gr.HTML(f'<div class="switch"><a href="{other}">{say("English", "中文")}</a></div>')
        others = []
        for title, build in tabs:
            with gr.Tab(title) as tab:
                build(page)
            others.append(tab)
        with gr.Tab(say("状态", "status")) as tab:
            timer = status.build(page, tab)
        gr.on(
            [other.select for other in others],
            lambda: gr.Timer(active=False),
            outputs=timer,
            show_progress="hidden",
            api_visibility="private",
        )
    blocks.queue(default_concurrency_limit=EVENTS_AT_ONCE)
    # Gradio looks for clicks a thousand times a second, on each page, in the event loop that passes
    # the streams on; it has no setting for that.
    blocks._queue.sleep_when_free = QUEUE_POLL_S
    blocks._queue.progress_update_sleep_when_free = 5 * QUEUE_POLL_S
    return blocks


def both(app: FastAPI, page: Page) -> FastAPI:
    """The Chinese page at /zh, the English one at /en."""
    mount(app, replace(page, language="zh"), "/zh")
    return mount(app, replace(page, language="en"), "/en")
