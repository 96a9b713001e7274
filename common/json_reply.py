"""The JSON in a model's reply, whatever stands around it."""

import json
import re
from collections.abc import Iterator
from typing import Any

# LaTeX commands that begin like an escape of JSON (\b \f \n \r \t), by whole words.
_LATEX = (
    r"beta|bar|begin|binom|boldsymbol|bot|bullet|big[lr]?|Big[lr]?|frac|forall|flat|nabla|neq|notin"
    r"|neg|rho|rightarrow|right|rangle|rfloor|rceil|theta|times|textbf|textit|text|tau|tanh?|top|tilde"
    r"|triangle|tfrac|therefore"
)
_SHORT_LATEX = r"nu|ne|ni|not|to|rm|bf|tt"  # a line end and a word in code; LaTeX between $ only
_SINGLE = r"(?<!\\)((?:\\\\)*)\\"
_LATEX_ESCAPE = re.compile(rf"{_SINGLE}(?=(?:{_LATEX})(?![A-Za-z]))")
_SHORT_ESCAPE = re.compile(rf"{_SINGLE}(?=(?:{_SHORT_LATEX})(?![A-Za-z]))")
_NO_ESCAPE = re.compile(
    rf'{_SINGLE}(?![\\"/bfnrtu]|u[0-9a-fA-F]{{4}})|{_SINGLE}(?=u(?![0-9a-fA-F]{{4}}))'
)
_THOUGHTS_END = re.compile(r"</(?:think|thinking|thought|reasoning)>")
_THOUGHTS = re.compile(r"^\s*<(?:think|thinking|thought|reasoning)>.*", re.S)
_MATH = re.compile(r"\$[^$\n]{1,300}\$")


class ReplyError(ValueError):
    """A reply that is not the JSON that was asked for."""

    @property
    def reason(self) -> str:
        """The message without its details, to count by."""
        return str(self).split(" (")[0]


def with_escapes(text: str) -> str:
    r"""JSON text with its LaTeX escaped: a model that writes "$\frac{1}{2}$" means \frac, not a
    form feed."""
    text = _LATEX_ESCAPE.sub(r"\1\\\\", text)
    text = _MATH.sub(lambda match: _SHORT_ESCAPE.sub(r"\1\\\\", match[0]), text)
    return _NO_ESCAPE.sub(lambda match: (match[1] or match[2] or "") + r"\\", text)


def json_values(text: str) -> Iterator[Any]:
    """The JSON objects and arrays that stand in a text, outermost ones, in order."""
    # Not strict: code in a string often holds raw line ends.
    decoder = json.JSONDecoder(strict=False)
    position = 0
    while match := re.compile(r"[{\[]").search(text, position):
        try:
            value, position = decoder.raw_decode(text, match.start())
        except json.JSONDecodeError:
            position = match.start() + 1
            continue
        yield value


def without_thoughts(text: str) -> str:
    """What a reply says after its thoughts; nothing where they never end."""
    *_, said = _THOUGHTS_END.split(text)
    return _THOUGHTS.sub("", said)


def reply_json(text: str) -> list[Any]:
    """The JSON values of a reply, without its thoughts. Raises ReplyError where there is none."""
    whole, text = text, without_thoughts(text)
    if whole.strip() and not text.strip():
        raise ReplyError("nothing but thoughts (cut off before its answer)")
    if not text.strip():
        raise ReplyError("an empty reply")
    found = list(json_values(with_escapes(text)))
    if not found:
        raise ReplyError(f"broken JSON (begins {text.strip()[:60]!r})")
    return found
