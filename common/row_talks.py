"""Talks of one row: OpenAI's and sharegpt's messages, and the history before a question."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from common.language import BilingualError, either


class RowError(BilingualError, ValueError):
    """A row that cannot be used; the message names the field and the reason."""


@dataclass(frozen=True)
class Turn:
    """What a user said and what the assistant is to answer; `learn`: its weight is not 0."""

    user: str
    assistant: str
    learn: bool = True


@dataclass(frozen=True)
class Talk:
    """What one row holds. `rephrasings` are of the last question, `pending` has no answer.

    `unread` are fields of its messages that hold text and are neither asked nor learned.
    """

    turns: tuple[Turn, ...]
    system: str = ""
    rephrasings: tuple[str, ...] = ()
    pending: str = ""
    unread: tuple[str, ...] = ()


_ROLES = {
    **dict.fromkeys(("system", "developer", "系统"), "system"),
    **dict.fromkeys(("user", "human", "用户"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatgpt", "model", "助手"), "assistant"),
}
# An empty think block is how templates with thinking switched off begin an answer.
_EMPTY_THINK = re.compile(r"\A<think>(\s*)</think>\s*")
# How trainers mark one message as not to be learned: OpenAI, ms-swift, axolotl.
WEIGHTS = ("weight", "loss", "loss_scale", "train_on_turn")
_MESSAGE_WEIGHTS = (*WEIGHTS, "train", "training")
# Which parts are learned, marked in a way that is not read: learning all would be something else.
MASKS = ("loss_mask", "loss_masks", "train_mask", "train_detail", "training_detail")
INVISIBLE = (
    # At a text's ends, where nobody sees them.
    "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)


@dataclass
class _Reading:
    turns: list[Turn] = field(default_factory=list)
    system: str | None = None
    user: str | None = None
    unread: list[str] = field(default_factory=list)


def read_messages(value: Any, key: str) -> Talk:
    """A list of messages with roles. Raises RowError for an order that no talk has."""
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise RowError(
            f"{key}：应是带 role 和 content 的对象的列表",
            f"{key}: expected a list of objects with role and content",
        )
    value = [each for message in value for each in _in_two(message)]
    found = _Reading()
    for number, each in enumerate(value, 1):
        _take(found, each, either(f"{key} 第 {number} 条", f"{key}, message {number}"), number)
    unread = tuple(dict.fromkeys(found.unread))
    return Talk(tuple(found.turns), found.system or "", (), found.user or "", unread)


def _in_two(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A turn of {"human": …, "assistant": …} as two messages; any other message as it is."""
    if set(message) != {"human", "assistant"}:
        return [message]
    return [{"role": role, "content": text} for role, text in sorted(message.items())[::-1]]


def _take(found: _Reading, message: Mapping[str, Any], where: str, number: int) -> None:
    said = message.get("role", message.get("from"))
    role = _ROLES.get(said.strip().lower()) if isinstance(said, str) else None
    if said is None:
        names = ", ".join(map(str, message)) or "{}"
        raise RowError(
            f"{where}：应有 role 和 content（或 from 和 value），而不是 {names}",
            f"{where}: expected role and content (or from and value), got {names}",
        )
    if role is None:
        raise RowError(
            f"{where}：角色 {said!r} 在这里不能学也不能问",
            f"{where}: role {said!r} cannot be learned or asked here",
        )
    text, name = _content(message, where)
    found.unread += unread_fields(message, {"role", "from", name, "name", *_MESSAGE_WEIGHTS})
    if role == "system":
        if number > 1:
            raise RowError(
                f"{where}：system 只能在最前面，或者没有",
                f"{where}: a system message stands first, or not at all",
            )
        found.system = text
    elif role == "user":
        if found.user is not None:
            raise RowError(
                f"{where}：连着两条 user，请合成一条",
                f"{where}: two user turns in a row; join them into one",
            )
        found.user = text
    elif found.user is None:
        raise RowError(
            f"{where}：assistant 之前没有 user",
            f"{where}: an assistant turn without a user turn before it",
        )
    else:
        found.turns.append(turn_of(found.user, text, learned(message, _MESSAGE_WEIGHTS)))
        found.user = None


def _content(message: Mapping[str, Any], where: str) -> tuple[str, str]:
    """(text, field) of a message, whose parts may be listed as OpenAI does."""
    if message.get("tool_calls") or message.get("function_call"):
        raise RowError(
            f"{where}：工具调用在这里不能学", f"{where}: a tool call cannot be learned here"
        )
    name = "content" if "content" in message else "value"
    if "content" in message and message.get("value") not in (None, message["content"]):
        raise RowError(
            f"{where}：content 和 value 说的不一样，请只留一个",
            f"{where}: content and value say different things; keep one",
        )
    content = message.get(name)
    if isinstance(content, list):
        texts = [
            part.get("text")
            for part in content
            if isinstance(part, Mapping) and part.get("type", "text") == "text"
        ]
        if len(texts) < len(content) or not all(isinstance(text, str) for text in texts):
            raise RowError(
                f"{where}：{name} 里有不是文字的部分", f"{where}: {name} has parts that are no text"
            )
        content = "".join(texts)
    if not isinstance(content, str):
        raise RowError(f"{where}{either('：', ': ')}{_expected_text(name, content)}")
    return bare(content), name


def read_history(value: Any) -> Talk:
    """Earlier turns: [[user, assistant], …], or messages that end with an answer."""
    if value in (None, "", []):
        return Talk(())
    if isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        talk = read_messages(value, "history")
        if talk.pending:
            raise RowError("history：最后一轮没有回答", "history: its last turn has no answer")
        return talk
    if not isinstance(value, list) or not all(
        isinstance(each, Sequence) and not isinstance(each, str) and len(each) == 2
        for each in value
    ):
        raise RowError(
            "history：应是 [用户, 助手] 的列表", "history: expected a list of [user, assistant]"
        )
    return Talk(tuple(turn_of(*(text_of(text, "history") for text in each)) for each in value))


def turn_of(user: str, assistant: str, learn: bool = True) -> Turn:
    """A turn, its answer without the empty think block that the prompt ends with anyway."""
    about_tags = "<think>" in user or "</think>" in user
    while block := _EMPTY_THINK.match(assistant):  # tools that convert twice write it twice
        if about_tags and "\n" not in block[1]:
            break
        assistant = assistant[block.end() :]
    return Turn(user, assistant, learn)


def learned(row: Mapping[str, Any], names: Sequence[str] = WEIGHTS) -> bool:
    """False where a weight is 0 or `loss` is false. Raises RowError for a weight between, and for
    a mask of parts."""
    if masked := next((name for name in MASKS if row.get(name)), None):
        raise RowError(
            f"{masked}：这种标记不读；请给不学的那条 assistant 写 weight: 0",
            f"{masked}: not read; give each assistant message that is not to be learned weight: 0",
        )
    for name in names:
        value = row.get(name)
        if value in (None, ""):
            continue
        wanted = {"0": 0, "1": 1, "true": 1, "false": 0}
        value = wanted.get(value.strip().lower(), value) if isinstance(value, str) else value
        if value not in (0, 1):
            raise RowError(
                f"{name}：应是 0 或 1，而不是 {value!r}", f"{name}: expected 0 or 1, got {value!r}"
            )
        if not value:
            return False
    return True


def unlearned(talk: Talk) -> Talk:
    """The same talk, no answer of which is learned."""
    return replace(talk, turns=tuple(replace(turn, learn=False) for turn in talk.turns))


def one_system(*given: str) -> str:
    """The system message. Raises RowError for two that differ."""
    different = list(dict.fromkeys(filter(None, given)))
    if len(different) > 1:
        raise RowError(
            "system：有两条不同的系统提示，请只留一条",
            "system: two system messages that differ; keep one",
        )
    return different[0] if different else ""


def unread_fields(row: Mapping[str, Any], known: set[str]) -> list[str]:
    """Names of other fields that hold text, or a list or object with some."""
    return [
        str(name)
        for name, value in row.items()
        if name not in known and (isinstance(value, str | list | dict) and value)
    ]


def text_of(value: Any, name: str) -> str:
    """A text without white space and invisible marks at its ends. Raises RowError for others."""
    if not isinstance(value, str):
        raise RowError(_expected_text(name, value))
    return bare(value)


def bare(text: str) -> str:
    """Without white space, byte order marks and zero-width characters at both ends; lines end in
    "\n", as in what is served."""
    stripped = text.replace("\r\n", "\n").strip()
    while stripped and (stripped[0] in INVISIBLE or stripped[-1] in INVISIBLE):
        stripped = stripped.strip(INVISIBLE).strip()
    return stripped


def _expected_text(name: str, value: Any) -> str:
    kind = type(value).__name__
    return either(f"{name}：应是文字，而不是 {kind}", f"{name}: expected text, got {kind}")
