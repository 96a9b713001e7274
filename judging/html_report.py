"""report.html: one file for any browser or phone, nothing loaded from elsewhere, no script.

Built from what summary.json and answers.jsonl hold, so that it can be built again from them.
"""

import base64
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from common.language import either, language
from judging import charts
from judging.differences import LONGEST_TEXT, differences

WORST_SHOWN = 20  # open at once; the others fold away
_COMMON_TOKENS = 15


def render(told: dict[str, Any], rows: Sequence[dict[str, Any]]) -> str:
    """The page. `told` as `report.summary` gives it, `rows` as `report.answer_rows`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
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
    template = environment.get_template("report.html.j2")
    return template.render(
        told=told, sets=sets, longest=LONGEST_TEXT, either=either, language=language()
    )


def _compared(row: dict[str, Any]) -> dict[str, Any]:
    reference, answer = differences(row["reference"], row["answer"])
    return row | {"reference_pieces": reference, "answer_pieces": answer}


def _common(rows: Sequence[dict[str, Any]], field: str) -> list[tuple[str, int]]:
    return Counter(token for row in rows for token in row[field]).most_common(_COMMON_TOKENS)


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
