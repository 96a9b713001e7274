"""Gradio's chatbot with messages as text: it would show them as (sanitized) HTML.

Code such as `kernel<<<grid, block>>>` would lose its brackets, and a model's <img> be fetched. So
each message goes to the browser by `plain_text.shown` and comes back by `plain_text.written`.
"""

from typing import Any

import gradio as gr
from gradio.context import get_blocks_context

from chat.plain_text import shown, written

# What is copied, by its buttons or from a selection, goes out as it was written.
COPY_AS_WRITTEN = """
<script>
(() => {
  const written = text => text.replaceAll('<pre class="code">', "").replaceAll("</pre>", "")
    .replaceAll("\\u2060", "");
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


class PlainChatbot(gr.Chatbot):
    """A gr.Chatbot whose messages are text."""

    is_template = True  # the browser draws it as a Chatbot

    def postprocess(self, value: Any) -> Any:
        """Messages for the browser."""
        told = super().postprocess(value)
        for message in told.root:
            for part in message.content:
                if part.type == "text":
                    # Not in a question: whoever edits it would see the tags.
                    part.text = shown(part.text, code=message.role == "assistant")
        return told

    def preprocess(self, payload: Any) -> Any:
        """Messages from the browser, as they were written."""
        for message in payload.root if payload else []:
            for part in message.content:
                if part.type == "text":
                    part.text = written(part.text)
        return super().preprocess(payload)


class PlainChatInterface(gr.ChatInterface):
    """A gr.ChatInterface for it, whose answers all can be stopped; `idle` is for their end."""

    def idle(self) -> Any:
        """The textbox as it is when nothing is answered: Gradio leaves its placeholder empty."""
        hint = self.textbox.placeholder
        return gr.update(submit_btn=True, stop_btn=False, interactive=True, placeholder=hint)

    def _setup_events(self) -> None:
        super()._setup_events()
        # Gradio has no button that stops the answer to an edited question.
        root = get_blocks_context()
        assert root is not None
        answers = [
            each.get_config()
            for each in root.fns.values()
            if getattr(each.fn, "__name__", "") == "_submit_fn"
        ]
        more: dict[str, Any] = {"queue": False, "api_visibility": "private"}
        self.chatbot.edit(
            lambda: gr.update(submit_btn=False, stop_btn=True), None, self.textbox, **more
        )
        self.textbox.stop(
            lambda talk: (talk, talk, self.idle()),
            self.chatbot,
            [self.chatbot_state, self.chatbot_value, self.textbox],
            cancels=answers,
            **more,
        )

    def _edit_message(self, history: Any, edit_data: gr.EditData) -> Any:
        edit_data.value = written(str(edit_data.value))
        return super()._edit_message(history, edit_data)
