"""From an answer's token ids to its text, once an answer."""

from collections.abc import Sequence
from typing import Any

# U+FFFD, which a decoder writes for bytes that are no character.
BROKEN = "\ufffd"


def answer_text(tokenizer: Any, token_ids: Sequence[int]) -> str:
    """The text of token ids, without control tokens and without half a character at its end.

    A character may take several tokens; an answer cut between two of them ends in broken bytes.
    """
    text = tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text.rstrip(BROKEN)
