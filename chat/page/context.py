"""What every tab gets: the models, the settings, the book, and the reader's language."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import gradio as gr
from markupsafe import Markup

from chat import listing
from chat.asking import Reply
from chat.book import Book
from chat.registry import Registry
from chat.settings import ChatSettings

MOST_TOKENS = 2048


@dataclass(frozen=True)
class Page:
    """One of the two pages; it says all in its language."""

    registry: Registry
    settings: ChatSettings
    book: Book | None
    language: Literal["zh", "en"]

    def say(self, zh: str, en: str) -> str:
        """The one of two texts that is of this page's language."""
        return zh if self.language == "zh" else en

    def model_choices(self) -> list[tuple[str, str]]:
        """(what is shown, name) of all that can be asked."""
        loaded = self.registry.names()
        later = self.say("（提问时加载）", " (loads when asked)")
        now = self.say("（正在加载）", " (loading)")
        coming = {e.model.id for e in self.registry.engines.values() if e.state == "loading"}
        return [
            (name + ("" if name in loaded else now if name in coming else later), name)
            for name in listing.choices(self.registry)
        ]

    def model_dropdown(self, **more: Any) -> gr.Dropdown:
        """A choice of models that looks for new ones whenever it is opened."""
        chosen = gr.Dropdown(self.model_choices(), label=self.say("模型", "model"), **more)
        self.refreshed(chosen, self.model_choices)
        return chosen

    def refreshed(self, chosen: gr.Dropdown, choices: Callable[[], Any]) -> None:
        """Let a dropdown look for new choices whenever it is opened."""
        chosen.focus(
            lambda: gr.update(choices=choices()),
            outputs=chosen,
            show_progress="hidden",
            api_visibility="private",
        )

    def no_models(self) -> str:
        """What to do where there is no model; "" where there is one."""
        if self.registry.found().models:
            return ""
        return self.say(
            "还没有模型：用 MODEL_DIR=模型目录 bash run.sh chat 启动，或把模型放进 model/；"
            "不带 MODEL_DIR 启动会先做一个演示模型。",
            "No model yet: start with MODEL_DIR=DIRECTORY bash run.sh chat, or put one into "
            "model/; without MODEL_DIR that command makes a demo model first.",
        )

    def line(self, first: str | Callable[[], str] = "", most: int = 4) -> gr.Textbox:
        """A place for a line, or a few, that say how things stand, or at `first` what to do."""
        return gr.Textbox(
            first,
            show_label=False,
            container=False,
            interactive=False,
            lines=1,
            max_lines=most,
            elem_classes="quiet",
        )

    def most_tokens(self) -> gr.Slider:
        """How long an answer may become."""
        label = self.say("最长（max_tokens）", "at most (max_tokens)")
        return gr.Slider(16, MOST_TOKENS, 640, step=16, label=label)

    def speed(self, reply: Reply) -> str:
        """How fast an answer came, and how it ended, in one line."""
        if reply.error:
            return self.say("出错：", "error: ") + reply.error
        if reply.first_s is None:
            return self.say("等待第一个字 …", "waiting for the first word …")
        parts = [self.say(f"首字 {reply.first_s:.2f} 秒", f"first words {reply.first_s:.2f} s")]
        if reply.tokens_per_s:
            parts.append(f"{reply.tokens_per_s:,.1f} token/s")
        if reply.tokens:
            parts.append(f"{reply.tokens} token")
        if reply.finish == "length":
            parts.append(self.say("到达长度上限", "cut at its longest"))
        if reply.left_out:
            zh = f"最早的 {reply.left_out} 轮放不下，没有发送"
            parts.append(self.say(zh, f"the oldest {reply.left_out} turns did not fit, not sent"))
        return " · ".join(parts)

    def failed(self, error: object) -> gr.Error:
        """An error to be raised for the reader: as text, though Gradio would show it as HTML."""
        return gr.Error(html.escape(str(error)), duration=20, print_exception=False)


def text_block(title: str, text: str) -> Markup:
    """A titled piece of text, all of it escaped."""
    return Markup('<div class="piece"><b>{}</b><pre>{}</pre></div>').format(title, text)


def joined(parts: Sequence[Markup], empty: str) -> Markup:
    """Pieces below one another, or a word for none."""
    return Markup("").join(parts) if parts else Markup('<p class="quiet">{}</p>').format(empty)
