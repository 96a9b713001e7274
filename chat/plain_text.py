"""A text as the browser shows it though it takes it for HTML: nothing in it is a tag.

What begins a tag or an entity gets an invisible WORD JOINER behind it, which HTML then reads as
text. Entities instead would be seen by whoever edits a message. Code between fences (```) is set
in a fixed width; its fences stay to be seen. `written` undoes both: a text has no tags of its own,
each `<` of it has a joiner behind it.
"""

import re

JOINER = "\u2060"
CODE, CODE_END = '<pre class="code">', "</pre>"
FENCED = re.compile(r"^[ ]*```.*?(?:^[ ]*```[ ]*$\n?|\Z)", re.MULTILINE | re.DOTALL)


def shown(text: str, code: bool = False) -> str:
    """A text for the browser, which takes it as HTML and shows it as it is.

    code: set what stands between fences, or behind a fence that is still open, as code.
    """
    text = re.sub("[<&]", rf"\g<0>{JOINER}", text)
    return FENCED.sub(rf"{CODE}\g<0>{CODE_END}", text) if code else text


def written(text: str) -> str:
    """The text that `shown` was given."""
    return text.replace(CODE, "").replace(CODE_END, "").replace(JOINER, "")
