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

    An empty file means "no system message". Raises OSError when `override` cannot be read, and
    ValueError for a file that is not UTF-8: read as something else it would be nonsense.
    """
    own = model_dir / SYSTEM_PROMPT_FILE if model_dir is not None else None
    path = override or (own if own is not None and own.is_file() else None)
    if path is None:
        return SYSTEM_PROMPT
    try:
        return path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8; save it as UTF-8 (请存为 UTF-8)") from error


def write_system_prompt(model_dir: Path, system_prompt: str) -> None:
    """Let a model directory carry the system prompt that it was trained with. Raises OSError."""
    (model_dir / SYSTEM_PROMPT_FILE).write_text(system_prompt + "\n", encoding="utf-8")


def messages_for(
    question: str,
    system_prompt: str = SYSTEM_PROMPT,
    history: Sequence[tuple[str, str]] = (),
) -> list[dict[str, str]]:
    """Chat messages of one question: system (left out when empty), earlier turns, user.

    `history` holds (user, assistant) turns, the oldest first.
    """
    said = [("system", system_prompt)] if system_prompt else []
    for user, assistant in history:
        said += [("user", user), ("assistant", assistant)]
    return [{"role": role, "content": text} for role, text in [*said, ("user", question)]]


def render_prompts(
    tokenizer: Any,
    questions: Sequence[str],
    system_prompt: str = SYSTEM_PROMPT,
    history: Sequence[tuple[str, str]] = (),
) -> list[str]:
    """Prompt texts of questions, each after the same turns, ready for the answer to follow; see
    messages_for and render_talks."""
    talks = [messages_for(each, system_prompt, history) for each in questions]
    return render_talks(tokenizer, talks)


def render_talks(tokenizer: Any, talks: Sequence[list[dict[str, str]]]) -> list[str]:
    """Prompt texts of talks (chat messages, the last one a user's), ready for the answer to follow.

    Thinking is off: Qwen3's template then appends an empty think block; templates without the
    switch ignore it. Raises ValueError when the tokenizer has no chat template.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError(
            "the tokenizer has no chat template: copy chat_template.jinja (or a "
            "tokenizer_config.json with chat_template) of the base model into the model directory"
        )
    if not talks:
        return []
    return tokenizer.apply_chat_template(
        list(talks), tokenize=False, add_generation_prompt=True, enable_thinking=False
    )


def tokenize_prompts(tokenizer: Any, prompts: Sequence[str]) -> list[list[int]]:
    """Token ids of rendered prompts, one call of the fast tokenizer for all.

    The template has already written every special token, so none is added.
    """
    if not prompts:
        return []
    return tokenizer(list(prompts), add_special_tokens=False)["input_ids"]


def turn_ends(tokenizer: Any) -> list[int]:
    """Ids of the added token that the chat template writes behind an answer; [] without one.

    A model of another tool may have learned it, while its files name the base's end alone.
    """
    from jinja2 import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        return []
    answer = "答" * 8
    talk = [*messages_for("问", ""), {"role": "assistant", "content": answer}]
    try:
        text = tokenizer.apply_chat_template(talk, tokenize=False, enable_thinking=False)
    except TemplateError:  # one for questions alone; it names no end, and need not to be served
        return []
    after = text.rpartition(answer)[2].lstrip()
    ids = tokenizer(after, add_special_tokens=False)["input_ids"] if after else []
    return [token for token in ids[:1] if token in tokenizer.added_tokens_decoder]


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
    tokenizer: Any,
    questions: Sequence[str],
    system_prompt: str = SYSTEM_PROMPT,
    history: Sequence[tuple[str, str]] = (),
) -> dict[int, list[int]]:
    """Token ids of the prompts whose questions spell control tokens (`<|im_end|>`, `<think>`).

    By index, only of the questions concerned (all, where the system prompt or an earlier turn
    spells one); see talk_ids.
    """
    control = _control_tokens(tokenizer)
    if control is None:
        return {}
    before = [system_prompt, *(text for turn in history for text in turn)]
    always = any(map(control.search, before))
    return {
        index: _literal_talk(tokenizer, control, messages_for(question, system_prompt, history))
        for index, question in enumerate(questions)
        if always or control.search(question)
    }


def talk_ids(tokenizer: Any, talks: Sequence[list[dict[str, str]]]) -> list[list[int]]:
    """Token ids of rendered talks; control tokens that a message spells are text in it.

    Rendered and tokenized in one go they would end the message, or speak for the assistant; so
    such a name is cut after its first character, and the pieces are tokenized one by one.
    """
    ids = tokenize_prompts(tokenizer, render_talks(tokenizer, talks))
    control = _control_tokens(tokenizer)
    for index, talk in enumerate(talks if control else ()):
        if any(control.search(message["content"]) for message in talk):
            ids[index] = _literal_talk(tokenizer, control, talk)
    return ids


def text_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of plain texts, such as answers, with no control token among them."""
    ids = tokenize_prompts(tokenizer, texts)
    control = _control_tokens(tokenizer)
    for index, text in enumerate(texts if control else ()):
        if control.search(text):
            mark = _unused_mark(text)
            ids[index] = _joined_ids(tokenizer, _cut(control, text, mark), mark)
    return ids


def _control_tokens(tokenizer: Any) -> "re.Pattern[str] | None":
    """What finds the names of the tokenizer's added tokens in a text; None when it has none."""
    names = [name for name in tokenizer.get_added_vocab() if name.strip()]
    return (
        re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))))
        if names
        else None
    )


def _literal_talk(
    tokenizer: Any, control: "re.Pattern[str]", talk: Sequence[dict[str, str]]
) -> list[int]:
    mark = _unused_mark("".join(message["content"] for message in talk))
    cut = [
        {"role": message["role"], "content": _cut(control, message["content"], mark)}
        for message in talk
    ]
    (rendered,) = render_talks(tokenizer, [cut])
    return _joined_ids(tokenizer, rendered, mark)


def _unused_mark(text: str) -> str:
    """A private-use character that the text does not have, of all 137,468 of them."""
    held = set(text)
    for first, last in ((0xE000, 0xF8FF), (0xF0000, 0xFFFFD), (0x100000, 0x10FFFD)):
        for mark in map(chr, range(first, last + 1)):
            if mark not in held:
                return mark
    raise ValueError("the text holds every private-use character of Unicode")


def _cut(control: "re.Pattern[str]", text: str, mark: str) -> str:
    """The text with the mark inside every name of a control token."""
    while found := control.search(text):
        # Once more after each cut: what is left must not spell another one.
        cut = found.start() + 1
        text = text[:cut] + mark + text[cut:]
    return text


def _joined_ids(tokenizer: Any, text: str, mark: str) -> list[int]:
    pieces = tokenize_prompts(tokenizer, [piece for piece in text.split(mark) if piece])
    return [token for piece in pieces for token in piece]
