"""report.html: one file for any browser or phone, nothing loaded from elsewhere. Its only script is
report_filter.js, which the page allows by its hash.

Built from what summary.json and answers.jsonl hold, so that it can be built again from them.
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.html_page import template
from common.language import either, language
from common.question_kinds import kind_of
from judging import charts
from judging.differences import LONGEST_TEXT, differences
from judging.report_words import NAMES

FILTER = Path(__file__).with_name("report_filter.js")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)*", re.ASCII)
WORST_SHOWN = 20  # open at once; the others fold away
_COMMON_TOKENS = 15


def render(told: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """The page. `told` as `report.summary` gives it, `rows` as `report.answer_rows`."""
    sets = []
    for testset in told["testsets"]:
        members = [row for row in rows if row["testset"] == testset["name"]]
        ranked = sorted(members, key=lambda row: (row["score"] - row["ceiling"], row["chinese"]))
        sets.append(
            testset
            | {
                "missed": _common(members, "missed"),
                "stray": _common(members, "stray"),
                "charts": _charts(members),
                "worst": [_compared(row) for row in ranked[:WORST_SHOWN]],
                "others": [_compared(row) for row in ranked[WORST_SHOWN:]],
            }
        )
    script = FILTER.read_text(encoding="utf-8")
    return template(Path(__file__).with_name("report.html.j2")).render(
        told=told,
        sets=sets,
        longest=LONGEST_TEXT,
        either=either,
        language=language(),
        names=NAMES,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        kinds=list(dict.fromkeys(row["kind"] for each in sets for row in _items(each))),
        sections=list(dict.fromkeys(row["section"] for each in sets for row in _items(each))),
    )


def whole_words(text: str, tokens: Sequence[str]) -> list[str]:
    """The judge's tokens as the words of a text that they come from: it cuts `threadIdx.x` into
    two tokens, of which a reader would not know the second. Tokens of one word in a row show it
    once."""
    homes: dict[str, str] = {}
    for word in _IDENTIFIER.findall(text):
        for token in re.findall("[a-z0-9]+", word.lower()):
            homes.setdefault(token, word)
    # A token that is a word of its own as well is that word.
    words = re.findall(r"(?<![\w.>:])[A-Za-z0-9]+(?![\w.:])", text)
    homes |= {word.lower(): word for word in reversed(words)}
    found: list[str] = []
    for token in tokens:
        word = homes.get(token, token)
        if not found or word != found[-1] or word.lower() == token:
            found.append(word)
    return found


def _items(each: dict[str, Any]) -> list[dict[str, Any]]:
    return [*each["worst"], *each["others"]]


def _compared(row: dict[str, Any]) -> dict[str, Any]:
    reference, answer = differences(row["reference"], row["answer"])
    kind = kind_of(row["question"])
    return row | {
        "reference_pieces": reference,
        "answer_pieces": answer,
        "missed": whole_words(row["reference"], row["missed"]),
        "stray": whole_words(row["answer"], row["stray"]),
        "kind": either(kind.zh, kind.en),
    }


def _common(rows: Sequence[dict[str, Any]], field: str) -> list[tuple[str, int]]:
    """The words of most questions, and of how many: an answer that says one word fifty times is one
    question."""
    source = "reference" if field == "missed" else "answer"
    words = Counter(
        word for row in rows for word in dict.fromkeys(whole_words(row[source], row[field]))
    )
    return words.most_common(_COMMON_TOKENS)


def _charts(rows: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """Charts as data addresses: an SVG file each, so that their element ids cannot clash."""
    drawn = [
        (either("得分分布", "How the scores are spread"), charts.score_distribution(rows)),
        (either("得分与长度", "Score against length"), charts.score_against_length(rows)),
    ]
    return [
        {
            "title": title,
            "source": "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode(),
        }
        for title, svg in drawn
    ]
