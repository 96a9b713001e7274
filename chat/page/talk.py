"""对话: many turns with one model, its sources beside it."""

import json
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import gradio as gr

from chat.asking import Reply, Sampling, ask, paced
from chat.book import tokens_of
from chat.errors import LoadError, NotLoadedError
from chat.listing import quick_first
from chat.page.context import Page, joined, text_block
from chat.page.plain_chatbot import PlainChatbot, PlainChatInterface

Message = dict[str, Any]


def build(page: Page) -> None:
    """The tab."""
    say = page.say
    # Inputs must stand before the talk that uses them; the style sheet shows the talk first.
    row = gr.Row(equal_height=False, elem_classes="reversed")
    with row, gr.Column(scale=2, min_width=320):
        model = page.model_dropdown(value=_first(page))
        speed = page.line()
        use_book = gr.Checkbox(
            _book_at_first(page),
            label=say("翻书：把教材片段放在问题前面", "with the book: passages before questions"),
            interactive=page.book is not None,
            info=_about_the_book(page),
        )
        with gr.Accordion(say("参数", "parameters"), open=False):
            temperature = gr.Slider(
                0,
                2,
                0,
                step=0.05,
                label="temperature",
                info=say(
                    "0 时“重来”总得到同一个回答；想要不同的，用 0.7",
                    "at 0 a retry gives the same answer; for another one, 0.7",
                ),
            )
            top_p = gr.Slider(0.05, 1, 1, step=0.05, label="top_p")
            max_tokens = page.most_tokens()
            system = gr.Textbox(
                label=say("系统提示词", "system prompt"),
                placeholder=say("空：模型训练时用的那一个", "empty: the one it was trained with"),
                lines=3,
            )
        gr.on(
            None,
            lambda: (
                gr.update(choices=page.model_choices(), value=_first(page)),
                gr.update(value=_book_at_first(page), info=_about_the_book(page) or ""),
            ),
            outputs=[model, use_book],
            api_visibility="private",
        )
        export = gr.Button(say("导出对话", "export the talk"), size="sm")
        files = gr.File(visible=False, file_count="multiple", show_label=False)
        sources = gr.HTML(_no_sources(page), label=say("来源", "sources"), elem_classes="sources")

    async def answer(
        message: str,
        history: list[Message],
        name: str | None,
        with_book: bool,
        heat: float,
        share: float,
        longest: float,
        prompt: str,
    ) -> AsyncIterator[tuple[Any, Any, Any, Any, Any]]:
        if not name:
            raise page.failed(page.no_models() or say("先选一个模型", "choose a model first"))
        turns = turns_of(history)
        asked, found = message, _no_sources(page)
        if name not in page.registry.names():
            wait = say(f"正在加载 {name}，约一分钟 …", f"loading {name}, about a minute …")
            yield "", found, wait, gr.update(choices=page.model_choices()), gr.skip()
        try:
            target = await page.registry.target(name, load=True)
        except (NotLoadedError, LoadError) as error:
            raise page.failed(error) from error
        names = gr.update(choices=page.model_choices())  # what is loaded now
        if with_book and page.book:
            asked, shown = page.book.asked_of(target, message, turns)
            titled = [(page.book.place(passage), passage.text) for passage in shown]
            found = joined(
                [text_block(f"[{n}] {place}", text) for n, (place, text) in enumerate(titled, 1)],
                say("没有找到相关片段", "no passage was found"),
            )
        sampling = Sampling(heat, share, int(longest))
        own = (prompt or "").strip() or None
        replies = ask(page.registry, name, asked, turns, own, sampling, tokens=tokens_of)
        reply = Reply(name)
        async for reply in paced(replies):
            if reply.error:
                raise page.failed(reply.error)
            yield reply.text, found, page.speed(reply), names, gr.skip()
            names = gr.skip()
        yield reply.text, gr.skip(), gr.skip(), gr.skip(), talk.idle()

    with row, gr.Column(scale=3, min_width=480):
        chatbot = PlainChatbot(
            elem_id="talk",
            label=say("对话", "talk"),
            show_label=False,  # it would cover the first line
            render_markdown=False,
            sanitize_html=True,
            allow_tags=False,
            height="62vh",
            buttons=["copy", "copy_all"],
            editable="user",
            placeholder=_invitation(page),
        )
        box = gr.Textbox(
            placeholder=say("输入问题，回车发送", "your question, Enter sends"),
            show_label=False,
            max_length=20_000,
            elem_id="ask",
            submit_btn=True,
            stop_btn=True,
            scale=7,
            render=False,
        )
        talk = PlainChatInterface(
            answer,
            chatbot=chatbot,
            textbox=box,
            additional_inputs=[model, use_book, temperature, top_p, max_tokens, system],
            additional_outputs=[sources, speed, model, box],
            editable=True,
            flagging_mode="never",
            fill_height=False,
            # Gradio would mark a stopped answer as an error.
            show_progress="hidden",
            concurrency_limit=None,
            api_visibility="private",
        )
    export.click(
        lambda history, name: gr.update(value=_exported(history, name), visible=True),
        [chatbot, model],
        files,
        api_visibility="private",
    )


def turns_of(history: list[Message]) -> list[tuple[str, str]]:
    """Gradio's messages as (user, assistant) turns; a question without an answer is left out."""
    turns, user = [], None
    for message in history:
        text = _text(message["content"])
        if message["role"] == "user":
            user = text
        elif user is not None and text:
            turns.append((user, text))
            user = None
    return turns


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))


def _exported(history: list[Message], model: str | None) -> list[str]:
    """The talk as Markdown to read and as JSON in OpenAI's form."""
    messages = [{"role": m["role"], "content": _text(m["content"])} for m in history]
    now = datetime.now()
    folder = Path(tempfile.mkdtemp(prefix="talk_"))
    stem = folder / f"talk-{now:%Y%m%d-%H%M%S}"
    told = {"model": model, "time": now.isoformat(timespec="seconds"), "messages": messages}
    stem.with_suffix(".json").write_text(json.dumps(told, ensure_ascii=False, indent=2), "utf-8")
    lines = [f"# {model} · {now:%Y-%m-%d %H:%M}"]
    lines += [f"## {m['role']}\n\n{m['content']}" for m in messages]
    stem.with_suffix(".md").write_text("\n\n".join(lines) + "\n", "utf-8")
    return [str(stem.with_suffix(".md")), str(stem.with_suffix(".json"))]


def _first(page: Page) -> str | None:
    return next(iter(quick_first(page.registry)), None)


def _book_at_first(page: Page) -> bool:
    first = page.registry.found().models.get(_first(page) or "")
    return page.book is not None and not (first and first.demo)


def _about_the_book(page: Page) -> str | None:
    if page.book is None:
        zh = "没有索引：先 bash run.sh retrieval build 教材 --out index，再重新启动"
        return page.say(zh, "no index: bash run.sh retrieval build BOOK --out index, then restart")
    if not _book_at_first(page):
        zh, en = "演示模型没有学过翻书", "the demo model has not learned to use passages"
        return page.say(zh, en)
    return None


def _invitation(page: Page) -> str:
    told = page.say(
        "问点什么吧，例如：什么是线程块？", "Ask something, for example: 什么是线程块？"
    )
    if any(model.demo for model in page.registry.found().models.values()):
        zh, en = "演示模型只认识示例教材", "The demo model knows only the sample book"
        told += f"\n\n{page.say(zh, en)}"
    return told


def _no_sources(page: Page) -> Any:
    return joined([], page.say("来源：翻书时显示在这里", "sources: shown here with the book"))
