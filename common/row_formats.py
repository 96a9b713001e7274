"""The layouts in which a row holds a question and its answer, or a talk of several turns.

Each layout says which fields it needs and reads them into the same `Talk`; a new one is an entry
of LAYOUTS. Fields that add to a question (`input`, `history`, `system`) count in every layout.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from common.column_names import column_roles
from common.language import either
from common.pairs import Pair, Place
from common.row_talks import (
    MASKS,
    WEIGHTS,
    RowError,
    Talk,
    learned,
    one_system,
    read_history,
    read_messages,
    text_of,
    turn_of,
    unlearned,
    unread_fields,
)


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


# Fields with a meaning in every layout; a pair's `extra` holds the others.
_COMMON = (
    *("input", "history", "system", "id", "group", "section", "rephrasings", "wordings"),
    "asked",
)
# Neither asked nor learned, and no loss: what our own files say beside a pair (data/records.py,
# judging/report.py, chat/ratings.py), and what data sets say about a row.
_ASIDE = {
    *("kind", "source", "book", "path", "span", "chunk", "passages", "evidence", "style", "weight"),
    *("loss", "testset", "file", "finish_reason", "model", "time", "rating", "note", "judge"),
    *("origin", "dataset", "split", "category", "subject", "topic", "type", "language", "lang"),
    *("difficulty", "tags", "url", "title", "author", "date", "created_at", "version", "index"),
    *("where", "characters", "seconds", "metadata", "meta", "uuid", "question_id"),
    *("序号", "编号", "章节", "难度", "类型", "来源", "备注"),
}
_SECTIONS = ("section", "章节")
_BAD_ANSWER = ("label", "kto_tag")  # KTO's mark of an answer that is not to be given
_NO = ("false", "no", "0", "0.0")
_YES = ("true", "yes", "1", "1.0")


def pairs_of(row: Any, file: str, spot: str) -> tuple[list[Pair], list[str]]:
    """The pairs of one row, one a turn, and what is to be said about it. Raises RowError."""
    if not isinstance(row, Mapping):
        kind = type(row).__name__
        raise RowError(
            f"应是带 question 和 answer 的对象，而不是 {kind}",
            f"expected an object with question and answer, got {kind}",
        )
    row = _plain_names(row)
    layout, answer = _layout(row)
    talk = layout.read(row, layout.key, answer)
    turns = talk.turns
    if len(turns) == 1 and not (turns[0].user and turns[0].assistant):
        return [], [f"{_empty(turns[0].user)}{either('，不用', ', left out')}"]
    for number, turn in enumerate(turns, 1):
        if not (turn.user and turn.assistant):
            raise RowError(f"{either(f'第 {number} 轮：', f'turn {number}: ')}{_empty(turn.user)}")
    bad = [name for name in _BAD_ANSWER if _says(row.get(name), _NO)]
    good = [name for name in _BAD_ANSWER if _says(row.get(name), _YES)]
    used = {layout.key, answer, *_COMMON, *bad, *good}
    notes = []
    if unread := [*unread_fields(row, used | _ASIDE), *talk.unread]:
        names = ", ".join(dict.fromkeys(unread))
        notes.append(either(f"这些字段不问也不学：{names}", f"neither asked nor learned: {names}"))
    if talk.pending:
        notes.append(either("最后一轮没有回答，不用", "the last user turn has no answer, left out"))
    if bad:
        talk = unlearned(talk)
        notes.append(
            either(
                "标为坏回答（label 或 kto_tag 为 false 或 0），只读不学",
                "marked as a bad answer (label or kto_tag is false or 0): not learned",
            )
        )
    common = {
        "section": next((row[n] for n in _SECTIONS if isinstance(row.get(n), str)), ""),
        "system": talk.system,
        "id": _name(row, "id"),
        "group": _name(row, "group"),
        "extra": {name: value for name, value in row.items() if name not in used},
    }
    turns = talk.turns
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
    return pairs, notes


def _empty(question: str) -> str:
    if question:
        return either("答案是空的", "the answer is empty")
    return either("问题是空的", "the question is empty")


def _says(value: Any, words: Collection[str]) -> bool:
    """Whether a boolean, number or text is one of the words; None and "" say nothing."""
    return isinstance(value, int | float | str) and str(value).strip().lower() in words


def _plain_names(row: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """The row with its fields' names as the layouts have them (Question, " answer", 题目, q), where
    it has such fields and none of the layouts'."""
    if any(layout.key in row for layout in LAYOUTS):
        return row
    plain = {str(name).strip().casefold(): value for name, value in row.items()}
    if any(layout.key in plain for layout in LAYOUTS) and len(plain) == len(row):
        return plain
    # Names as in tables and CSV, where they leave no doubt; input and target are Firefly's.
    names, roles = list(row), column_roles(map(str, row))
    asked = roles.questions or [n for n, name in enumerate(names) if name == "input"]
    said = roles.answers or [n for n, name in enumerate(names) if name == "target"]
    if len(asked) != 1 or len(said) != 1:
        return row
    names[asked[0]], names[said[0]] = "question", "answer"
    return dict(zip(names, row.values(), strict=True)) if len({*names}) == len(names) else row


def _layout(row: Mapping[str, Any]) -> tuple[Layout, str]:
    """The row's layout and its answer field. Raises RowError for none, or for two that differ."""
    fitting = [(layout, name) for layout in LAYOUTS if (name := layout.answer_of(row))]
    if not fitting:
        raise RowError(_why_none(row))
    layout, answer = fitting[0]
    if len(fitting) > 1:
        talks = [other.read(row, other.key, name) for other, name in fitting]
        if any(talk.turns != talks[0].turns for talk in talks):
            names = [f"{other.key}/{name}" for other, name in fitting]
            raise RowError(
                f"两种写法说的不一样（{'、'.join(names)}），请只留一种",
                f"two layouts that say different things ({' and '.join(names)}): keep one of them",
            )
    return layout, answer


def _why_none(row: Mapping[str, Any]) -> str:
    """What keeps the row from fitting any layout."""
    for layout in LAYOUTS:
        found = [name for name in layout.answers if name in row]
        if layout.key in row and (row[layout.key] is None or found):
            name = layout.key if row[layout.key] is None else found[0]
            return either(
                f"{name}：应是文字，而不是 NoneType", f"{name}: expected text, got NoneType"
            )
        if layout.key in row:
            return either(
                f"{layout.key} 旁边没有 {' 或 '.join(layout.answers)}",
                f"{' or '.join(layout.answers)}: missing beside {layout.key}",
            )
        if found:
            return either(
                f"{found[0]} 旁边没有 {layout.key}", f"{layout.key}: missing beside {found[0]}"
            )
    return either(
        f"既没有 question 和 answer，也没有 messages；认得的有：{KNOWN}",
        f"found neither question and answer nor messages; known: {KNOWN}",
    )


def _read_flat(row: Mapping[str, Any], key: str, answer: str) -> Talk:
    """One question beside its answer; `input` stands below the question, `history` before it."""
    below = _optional_text(row, "input")
    question = _with_input(_text(row, key), below)
    before = read_history(row.get("history"))
    last = turn_of(question, _answer(row, answer), learned(row))
    own = one_system(before.system, _optional_text(row, "system"))
    others = (_with_input(text, below) for text in _other_wordings(row))
    return Talk((*before.turns, last), own, _distinct(others, question), unread=before.unread)


def _read_talk(row: Mapping[str, Any], key: str, answer: str) -> Talk:
    """A list of messages with roles, OpenAI's or sharegpt's."""
    talk = read_messages(row[key], key)
    if not talk.turns:
        raise RowError(
            f"{key}：应有一条 user 和它后面的一条 assistant",
            f"{key}: expected a user turn and an assistant turn after it",
        )
    if not learned(row):
        talk = unlearned(talk)
    before = read_history(row.get("history"))
    return replace(
        talk,
        turns=(*before.turns, *talk.turns),
        system=one_system(talk.system, before.system, _optional_text(row, "system")),
        rephrasings=_distinct(_other_wordings(row), talk.turns[-1].user),
        unread=(*before.unread, *talk.unread),
    )


def _other_wordings(row: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for name in ("rephrasings", "wordings"):
        texts = row.get(name)
        if texts in (None, ""):
            continue
        if not isinstance(texts, list):
            kind = type(texts).__name__
            raise RowError(
                f"{name}：应是文字的列表，而不是 {kind}",
                f"{name}: expected a list of texts, got {kind}",
            )
        found += [text_of(text, name) for text in texts]
    return found


def _distinct(wordings: Iterable[str], question: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in wordings if text and text != question))


def _asked(row: Mapping[str, Any], question: str) -> str:
    """The question alone, of a row with passages before it (`data build --with-passages`)."""
    asked = _optional_text(row, "asked")
    if not question.endswith(asked):
        raise RowError(
            "asked：应是问题本身，user 那一条要以它结尾",
            "asked: the question alone, with which the user's turn must end",
        )
    return asked


def _with_input(question: str, below: str) -> str:
    return f"{question}\n{below}".strip() if below else question


def _text(row: Mapping[str, Any], name: str) -> str:
    return text_of(row[name], name)


def _answer(row: Mapping[str, Any], name: str) -> str:
    """An answer's text; a number is its digits."""
    value = row[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if number else _text(row, name)


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
    Layout("prompt", ("completion", "response"), _read_flat),
    Layout("问题", ("参考答案", "标准答案", "答案", "回答"), _read_flat),
)
# Fields that change what a row asks or teaches, in one layout or in all.
USED_FIELDS = frozenset(
    (*_COMMON, *_SECTIONS, *_BAD_ANSWER, *WEIGHTS, *MASKS)
    + tuple(name for each in LAYOUTS for name in (each.key, *each.answers))
)
KNOWN = (
    "messages, conversations, question/answer, query/response, instruction/output, "
    "prompt/completion"
)
