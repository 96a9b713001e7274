"""Gradio's chatbot with messages as text: it would show them as (sanitized) HTML.

Code such as `kernel<<<grid, block>>>` would lose its brackets, and a model's <img> be fetched. So
messages are escaped on their way to the browser and unescaped on their way back.
"""

import html
from typing import Any

import gradio as gr

# Its copy buttons copy what was sent to the browser.
COPY_AS_WRITTEN = """
<script>
(() => {
  const clipboard = navigator.clipboard;
  if (!clipboard) return;
  let inChat = false;
  document.addEventListener("click", e => { inChat = !!e.target.closest("#talk"); }, true);
  const write = clipboard.writeText.bind(clipboard);
  clipboard.writeText = text => write(inChat
    ? text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&") : text);
})();
</script>
"""


class PlainChatbot(gr.Chatbot):
    """A gr.Chatbot whose messages are text; `elem_id` must be "talk" for copying as written."""

    is_template = True  # the browser draws it as a Chatbot

    def postprocess(self, value: Any) -> Any:
        """Messages for the browser, escaped."""
        told = super().postprocess(value)
        for message in told.root:
            for part in message.content:
                if part.type == "text":
                    part.text = html.escape(part.text, quote=False)
        return told

    def preprocess(self, payload: Any) -> Any:
        """Messages from the browser, as they were written."""
        for message in payload.root if payload else []:
            for part in message.content:
                if part.type == "text":
                    part.text = html.unescape(part.text)
        return super().preprocess(payload)


class PlainChatInterface(gr.ChatInterface):
    """A gr.ChatInterface for it."""

    def _edit_message(self, history: Any, edit_data: gr.EditData) -> Any:
        edit_data.value = html.unescape(str(edit_data.value))
        return super()._edit_message(history, edit_data)
