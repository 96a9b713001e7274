"""Gradio's chatbot with messages as text: it would show them as (sanitized) HTML.

Code such as `kernel<<<grid, block>>>` would lose its brackets, and a model's <img> be fetched. So
what begins a tag or an entity gets an invisible WORD JOINER behind it on its way to the browser,
which HTML then reads as text, and loses it on its way back. Entities instead would be seen by
whoever edits a message.
"""

import re
from typing import Any

import gradio as gr

JOINER = "\u2060"

# What is copied, by its buttons or from a selection, goes out as it was written.
COPY_AS_WRITTEN = """
<script>
(() => {
  const written = text => text.replaceAll("\\u2060", "");
  document.addEventListener("copy", event => {
    const text = String(getSelection());
    if (text === written(text)) return;
    event.clipboardData.setData("text/plain", written(text));
    event.preventDefault();
  });
  const clipboard = navigator.clipboard;
  if (!clipboard) return;
  const write = clipboard.writeText.bind(clipboard);
  clipboard.writeText = text => write(written(text));
})();
</script>
"""


def shown(text: str) -> str:
    """A text for the browser, which takes it as HTML and shows it as it is."""
    return re.sub("[<&]", rf"\g<0>{JOINER}", text)


def written(text: str) -> str:
    """The text that `shown` was given."""
    return text.replace(JOINER, "")


class PlainChatbot(gr.Chatbot):
    """A gr.Chatbot whose messages are text."""

    is_template = True  # the browser draws it as a Chatbot

    def postprocess(self, value: Any) -> Any:
        """Messages for the browser."""
        told = super().postprocess(value)
        for message in told.root:
            for part in message.content:
                if part.type == "text":
                    part.text = shown(part.text)
        return told

    def preprocess(self, payload: Any) -> Any:
        """Messages from the browser, as they were written."""
        for message in payload.root if payload else []:
            for part in message.content:
                if part.type == "text":
                    part.text = written(part.text)
        return super().preprocess(payload)


class PlainChatInterface(gr.ChatInterface):
    """A gr.ChatInterface for it."""

    def _edit_message(self, history: Any, edit_data: gr.EditData) -> Any:
        edit_data.value = written(str(edit_data.value))
        return super()._edit_message(history, edit_data)
