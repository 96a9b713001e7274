"""The page: Gradio, one module a tab; the only part of the room that imports Gradio."""

import os

# Before Gradio is imported: it would report its use, and ask a hub for its newest version.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
