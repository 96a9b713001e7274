"""The one place where a question becomes a prompt, in training as in serving.

A model answers best when it is asked in exactly the words it was trained with, so `train/`
renders its rows with these functions, and a test compares the token ids of both sides with the
tokenizer's own chat template.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SYSTEM_PROMPT = (
    "你是一位教材答疑助手。请依据教材直接、准确地回答问题："
    "写明主语，使用教材中的术语、英文名称、标识符和数字；"
    "问题要求代码时给出核心代码；不写出处，不写多余的话。"
)

# A model directory may carry the system prompt that it was trained with; serving then uses it.
SYSTEM_PROMPT_FILE = "system_prompt.txt"


def system_prompt_for(model_dir: Path | None, override: Path | None = None) -> str:
    """The system prompt in force: `override`, else the model directory's own, else SYSTEM_PROMPT.

    An empty file means "no system message". Raises OSError when `override` cannot be read.
    """
    if override is not None:
        return override.read_text(encoding="utf-8").strip()
    if model_dir is not None and (model_dir / SYSTEM_PROMPT_FILE).is_file():
        return (model_dir / SYSTEM_PROMPT_FILE).read_text(encoding="utf-8").strip()
    return SYSTEM_PROMPT


def write_system_prompt(model_dir: Path, system_prompt: str) -> None:
    """Let a model directory carry the system prompt that it was trained with. Raises OSError."""
    (model_dir / SYSTEM_PROMPT_FILE).write_text(system_prompt + "\n", encoding="utf-8")


def messages_for(question: str, system_prompt: str = SYSTEM_PROMPT) -> list[dict[str, str]]:
    """Chat messages of one question: system (left out when empty), then user."""
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return [*system, {"role": "user", "content": question}]


def render_prompts(
    tokenizer: Any, questions: Sequence[str], system_prompt: str = SYSTEM_PROMPT
) -> list[str]:
    """Prompt texts, ready for the answer to follow.

    Thinking is off: Qwen3's template then appends an empty think block; templates without the
    switch ignore it. Raises ValueError when the tokenizer has no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "the tokenizer has no chat template: copy chat_template.jinja (or a "
            "tokenizer_config.json with chat_template) of the base model into the model directory"
        )
    if not questions:
        return []
    return tokenizer.apply_chat_template(
        [messages_for(question, system_prompt) for question in questions],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )


def tokenize_prompts(tokenizer: Any, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids of rendered prompts, one call of the fast tokenizer for all.

    The template has already written every special token, so none is added.
    """
    if not prompts:
        return []
    return tokenizer(list(prompts), add_special_tokens=False)["input_ids"]


def shorten_middle(ids: list[int], limit: int) -> list[int]:
    """At most `limit` token ids: the middle goes, since a prompt's ends carry the roles."""
    if len(ids) <= limit:
        return ids
    head = limit // 2
    tail = limit - head
    return ids[:head] + ids[len(ids) - tail :]


# More characters than any token of a question has, but for runs of one character.
LONGEST_TOKEN = 64


def shorten_text(text: str, tokens: int) -> str:
    """A text of no more characters than `tokens` tokens could need: the middle goes."""
    limit = tokens * LONGEST_TOKEN
    if len(text) <= limit:
        return text
    head = limit // 2
    return text[:head] + text[len(text) - (limit - head) :]


def literal_prompts(
    tokenizer: Any, questions: Sequence[str], system_prompt: str = SYSTEM_PROMPT
) -> dict[int, list[int]]:
    """Token ids of the prompts whose questions spell control tokens (`<|im_end|>`, `<think>`).

    There they are text like any other. Rendered and tokenized in one go they would end the
    question, or speak for the assistant; so such a name is cut after its first character, and the
    pieces are tokenized one by one. By index, only of the questions concerned.
    """
    names = [name for name in tokenizer.get_added_vocab() if name.strip()]
    if not names:
        return {}
    control = re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
    concerned = [index for index, question in enumerate(questions) if control.search(question)]
    literal = {}
    for index in concerned:
        question = questions[index]
        mark = next(m for m in map(chr, range(0xE000, 0xF8FF)) if m not in question + system_prompt)
        while found := control.search(question):
            # Once more after each cut: what is left must not spell another one.
            cut = found.start() + 1
            question = question[:cut] + mark + question[cut:]
        (rendered,) = render_prompts(tokenizer, [question], system_prompt)
        pieces = tokenize_prompts(tokenizer, [piece for piece in rendered.split(mark) if piece])
        literal[index] = [token for piece in pieces for token in piece]
    return literal
