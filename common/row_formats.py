"""The layouts in which a row holds a question and its answer, or a talk of several turns.

Each layout says which fields it needs and reads them into the same `Talk`; a new one is an entry
of LAYOUTS. Fields that add to a question (`input`, `history`, `system`) count in every layout.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from common.pairs import Pair, Place


class RowError(ValueError):
    """A row that cannot be used; the message names the field and the reason."""


@dataclass(frozen=True)
class Turn:
    """What a user said and what the assistant is to answer; `learn`: its weight is not 0."""

    user: str
    assistant: str
    learn: bool = True


@dataclass(frozen=True)
class Talk:
    """What one row holds. `rephrasings` are of the last question, `pending` has no answer."""

    turns: tuple[Turn, ...]
    system: str = ""
    rephrasings: tuple[str, ...] = ()
    pending: str = ""


@dataclass(frozen=True)
class Layout:
    """One way to write a row: the field that names it, the fields one of which it needs beside."""

    key: str
    answers: tuple[str, ...]
    read: Callable[[Mapping[str, Any], str, str], Talk]

    def answer_of(self, row: Mapping[str, Any]) -> str | None:
        """The field that makes the row one of this layout, or None; a filled one goes first."""
        if row.get(self.key) is None:
            return None
        present = [name for name in self.answers if row.get(name) is not None]
        return next((name for name in present if row[name] != ""), next(iter(present), None))


_ROLES = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "chatgpt", "model"), "assistant"),
}
# Fields with a meaning in every layout; a pair's `extra` holds the others.
_COMMON = (
    *("input", "history", "system", "id", "group", "section", "rephrasings", "wordings"),
    "asked",
)
_UNREAD = ("images", "image", "videos", "audios", "tools")  # what a text model never gets to see
# An empty think block is how templates with thinking switched off begin an answer.
_EMPTY_THINK = re.compile(r"\A<think>(\s*)</think>\s*")


def pairs_of(row: Any, file: str, spot: str) -> tuple[list[Pair], list[str]]:
    """The pairs of one row, one a turn, and what is to be said about it. Raises RowError."""
    if not isinstance(row, Mapping):
        raise RowError(f"expected an object with question and answer, got {type(row).__name__}")
    layout, answer = _layout(row)
    talk = layout.read(row, layout.key, answer)
    turns = talk.turns
    if len(turns) == 1 and not (turns[0].user and turns[0].assistant):
        missing = "answer" if turns[0].user else "question"
        return [], [f"{spot}: the {missing} is empty, left out"]
    for number, turn in enumerate(turns, 1):
        if not (turn.user and turn.assistant):
            missing = "answer" if turn.user else "question"
            raise RowError(f"turn {number}: the {missing} is empty")
    warnings = [f"{spot}: {name} cannot be read here" for name in _UNREAD if row.get(name)]
    if talk.pending:
        warnings.append(f"{spot}: the last user turn has no answer, left out")
    used = {layout.key, answer, *_COMMON}
    common = {
        "section": row["section"] if isinstance(row.get("section"), str) else "",
        "system": talk.system,
        "id": _name(row, "id"),
        "group": _name(row, "group"),
        "extra": {name: value for name, value in row.items() if name not in used},
    }
    said = tuple((turn.user, turn.assistant) for turn in turns)
    pairs = [
        Pair(
            turn.user,
            turn.assistant,
            history=said[:number],
            rephrasings=talk.rephrasings if number == len(turns) - 1 else (),
            learn=turn.learn,
            asked=_asked(row, turn.user) if number == len(turns) - 1 else "",
            place=Place(file, spot, number + 1 if len(turns) > 1 else 0),
            **common,
        )
        for number, turn in enumerate(turns)
    ]
    return pairs, warnings


def _layout(row: Mapping[str, Any]) -> tuple[Layout, str]:
    """The row's layout and its answer field. Raises RowError for none, or for two that differ."""
    fitting = [(layout, name) for layout in LAYOUTS if (name := layout.answer_of(row))]
    if not fitting:
        for layout in LAYOUTS:
            if layout.key in row and row[layout.key] is None:
                raise RowError(f"{layout.key}: expected text, got NoneType")
            found = [name for name in layout.answers if name in row]
            if layout.key in row and found:
                raise RowError(f"{found[0]}: expected text, got NoneType")
            if layout.key in row:
                raise RowError(f"{' or '.join(layout.answers)}: missing beside {layout.key}")
            if found:
                raise RowError(f"{layout.key}: missing beside {found[0]}")
        raise RowError(f"found neither question and answer nor messages; known: {KNOWN}")
    layout, answer = fitting[0]
    if len(fitting) > 1:
        talks = [other.read(row, other.key, name) for other, name in fitting]
        if any(talk.turns != talks[0].turns for talk in talks):
            names = " and ".join(f"{other.key}/{name}" for other, name in fitting)
            raise RowError(f"two layouts that say different things ({names}): keep one of them")
    return layout, answer


def _read_flat(row: Mapping[str, Any], key: str, answer: str) -> Talk:
    """One question beside its answer; `input` stands below the question, `history` before it."""
    below = _optional_text(row, "input")
    question = _with_input(_text(row, key), below)
    before, system = _read_history(row.get("history"))
    last = _turn(question, _text(row, answer), _learn(row))
    own = _one_system(system, _optional_text(row, "system"))
    others = (_with_input(text, below) for text in _other_wordings(row))
    return Talk((*before, last), own, _distinct(others, question))


def _read_talk(row: Mapping[str, Any], key: str, answer: str) -> Talk:
    """A list of messages with roles, OpenAI's or sharegpt's."""
    turns, system, pending = _messages(row[key], key)
    if not turns:
        raise RowError(f"{key}: expected a user turn and an assistant turn after it")
    before, earlier = _read_history(row.get("history"))
    system = _one_system(system, earlier, _optional_text(row, "system"))
    if row.get("weight") is not None or row.get("loss") is not None:
        learn = _learn(row)
        turns = tuple(replace(turn, learn=turn.learn and learn) for turn in turns)
    others = _distinct(_other_wordings(row), turns[-1].user)
    return Talk((*before, *turns), system, others, pending)


def _other_wordings(row: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name in ("rephrasings", "wordings"):
        texts = row.get(name)
        if texts in (None, ""):
            continue
        if not isinstance(texts, list):
            raise RowError(f"{name}: expected a list of texts, got {type(texts).__name__}")
        found += [_text_of(text, name) for text in texts]
    return found


def _distinct(wordings: Iterable[str], question: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in wordings if text and text != question))


def _read_history(value: Any) -> tuple[tuple[Turn, ...], str]:
    """(turns, system) of [[user, assistant], …], or of messages that end with an answer."""
    if value in (None, "", []):
        return (), ""
    if isinstance(value, list) and all(isinstance(each, Mapping) for each in value):
        turns, system, pending = _messages(value, "history")
        if pending:
            raise RowError("history: its last turn has no answer")
        return turns, system
    if not isinstance(value, list) or not all(
        isinstance(each, Sequence) and not isinstance(each, str) and len(each) == 2
        for each in value
    ):
        raise RowError("history: expected a list of [user, assistant]")
    turns = tuple(_turn(*(_text_of(text, "history") for text in each)) for each in value)
    return turns, ""


def _messages(value: Any, key: str) -> tuple[tuple[Turn, ...], str, str]:
    """(turns, system, user turn without an answer). Raises RowError for any other order."""
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise RowError(f"{key}: expected a list of objects with role and content")
    turns: list[Turn] = []
    system: str | None = None
    user: str | None = None
    for number, each in enumerate(value, 1):
        where = f"{key}, message {number}"
        said = each.get("role", each.get("from"))
        role = _ROLES.get(said) if isinstance(said, str) else None
        if role is None:
            raise RowError(f"{where}: role {said!r} cannot be learned or asked here")
        text = _content(each, where)
        if role == "system":
            if number > 1:
                raise RowError(f"{where}: a system message stands first, or not at all")
            system = text
        elif role == "user":
            if user is not None:
                raise RowError(f"{where}: two user turns in a row; join them into one")
            user = text
        elif user is None:
            raise RowError(f"{where}: an assistant turn without a user turn before it")
        else:
            turns.append(_turn(user, text, _learn(each)))
            user = None
    return tuple(turns), system or "", user or ""


def _content(message: Mapping[str, Any], where: str) -> str:
    """The text of a message, whose parts may be listed as OpenAI does."""
    name = "content" if "content" in message else "value"
    if message.get("tool_calls") or message.get("function_call"):
        raise RowError(f"{where}: a tool call cannot be learned here")
    content = message.get(name)
    if isinstance(content, list):
        texts = [
            part.get("text")
            for part in content
            if isinstance(part, Mapping) and part.get("type", "text") == "text"
        ]
        if len(texts) < len(content) or not all(isinstance(text, str) for text in texts):
            raise RowError(f"{where}: {name} has parts that are no text")
        content = "".join(texts)
    if not isinstance(content, str):
        raise RowError(f"{where}: {name}: expected text, got {type(content).__name__}")
    return content.strip()


def _turn(user: str, assistant: str, learn: bool = True) -> Turn:
    return Turn(user, _without_empty_think(user, assistant), learn)


def _without_empty_think(question: str, answer: str) -> str:
    """The answer without the empty block that the prompt ends with anyway."""
    block = _EMPTY_THINK.match(answer)
    about_tags = "<think>" in question or "</think>" in question
    if block is None or (about_tags and "\n" not in block[1]):
        return answer
    return answer[block.end() :]


def _asked(row: Mapping[str, Any], question: str) -> str:
    """The question alone, of a row with passages before it (`data build --with-passages`)."""
    asked = _optional_text(row, "asked")
    if not question.endswith(asked):
        raise RowError("asked: the question alone, with which the user's turn must end")
    return asked


def _learn(row: Mapping[str, Any]) -> bool:
    """False where `weight` is 0 or `loss` is false. Raises RowError for a weight between."""
    for name in ("weight", "loss"):
        value = row.get(name)
        if value in (None, ""):
            continue
        wanted = {"0": 0, "1": 1, "true": 1, "false": 0}
        value = wanted.get(value.strip().lower(), value) if isinstance(value, str) else value
        if value not in (0, 1):
            raise RowError(f"{name}: expected 0 or 1, got {value!r}")
        if not value:
            return False
    return True


def _one_system(*given: str) -> str:
    different = list(dict.fromkeys(filter(None, given)))
    if len(different) > 1:
        raise RowError("system: two system messages that differ; keep one")
    return different[0] if different else ""


def _with_input(question: str, below: str) -> str:
    return f"{question}\n{below}".strip() if below else question


def _text(row: Mapping[str, Any], name: str) -> str:
    return _text_of(row[name], name)


def _text_of(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise RowError(f"{name}: expected text, got {type(value).__name__}")
    return value.strip()


def _optional_text(row: Mapping[str, Any], name: str) -> str:
    return "" if row.get(name) is None else _text(row, name)


def _name(row: Mapping[str, Any], name: str) -> str:
    """An id or group: text, or a number as text."""
    value = row.get(name)
    return "" if value is None else str(value)


# In this order they are tried. Of a question's answers the first present counts: the rows of a
# report (answers.jsonl) hold a reference and beside it a model's answer.
LAYOUTS = (
    Layout("messages", ("messages",), _read_talk),
    Layout("conversations", ("conversations",), _read_talk),
    Layout("conversation", ("conversation",), _read_talk),
    Layout("question", ("reference", "answer"), _read_flat),
    Layout("query", ("response",), _read_flat),
    Layout("instruction", ("output",), _read_flat),
    Layout("问题", ("参考答案", "标准答案", "答案", "回答"), _read_flat),
)
KNOWN = "messages, conversations, question/answer, query/response, instruction/output"
