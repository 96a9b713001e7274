"""The list of cut answers: what was found, what was lost, and no text."""

import json
from pathlib import Path

from bench.runaway import COLUMNS, as_json, look_at

WORDS = {word: i for i, word in enumerate(("1", "2", "3", *"abcdefghijklmnopqrstuvwxyz"))}


class Letters:
    """A tokenizer of letters and three digits."""

    def get_vocab(self) -> dict[str, int]:
        return WORDS

    def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": [WORDS[letter] for letter in text]}

    def decode(self, ids: list[int]) -> str:
        return "".join(list(WORDS)[token] for token in ids)


def test_each_cut_is_told_with_its_period_and_what_it_lost() -> None:
    beginning = "thequickbrownfoxjumpsoverthelazydog"
    # A long text without repetition: no two letters follow each other twice the same way far on.
    long = "".join(chr(97 + (i * i + i // 7) % 26) for i in range(140))
    other = "".join(chr(97 + (i * i * i + i // 3) % 26) for i in range(90))
    rows = [
        {"answer": beginning, "source": "a"},
        {"answer": beginning + "loops" * 40, "source": "b", "reference": beginning},
        {"answer": long + "z" + long + other, "source": "b"},
    ]
    figures = look_at(rows, Letters())
    assert figures["answers"] == {"a": 1, "b": 2} and figures["cut_by_source"] == {"b": 2}
    loop, copy = (dict(zip(COLUMNS, cut, strict=True)) for cut in figures["cuts"])
    assert (loop["found"], loop["period"], loop["verdict"]) == ("exact", 5, "repeats")
    assert loop["kept"] == len(beginning) + 5 and loop["tokens"] == len(beginning) + 200
    assert loop["score"] is not None
    assert (copy["found"], copy["verdict"]) == ("copied", "says more")
    assert copy["new_runs"] >= 24 and copy["kept"] <= len(long) + 1
    assert figures["end_in_a_loop"] == {"before": 1, "after": 0}


def test_the_file_holds_a_line_for_each_cut_and_no_text(tmp_path: Path) -> None:
    figures = look_at([{"answer": "secret" * 40}], Letters())
    text = as_json({"note": "n", **figures})
    assert json.loads(text)["cuts"] == figures["cuts"] and "secret" not in text
