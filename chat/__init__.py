"""Talk to models: vLLM's OpenAI server behind a thin gateway, and a Gradio page. See docs/chat.md.

None of it ships in the judge's image. It runs from `.venv-chat`; the engine runs from `.venv`.
"""
