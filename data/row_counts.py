"""Why a build has so many rows: pairs times the wordings that each is asked in, in one sentence."""

from collections.abc import Sequence
from typing import Any

from common.language import either
from data.records import Pair


def row_counts(pairs: Sequence[Pair], asked: int, rows: Sequence[Pair]) -> dict[str, Any]:
    """How the train rows come about: `pairs` before paraphrasing, `asked` rows after it, and the
    `rows` that stayed when those near held-out and test questions were left out."""
    own = {(pair.group or pair.id, wording) for pair in pairs for wording in pair.wordings}
    originals = {(pair.group or pair.id, pair.question) for pair in pairs}
    kinds = [(row.group, row.question) for row in rows]
    as_asked = sum(kind in originals for kind in kinds)
    brought = sum(kind in own and kind not in originals for kind in kinds)
    return {
        "rows": len(rows),
        "pairs": len(pairs),
        "as_asked": as_asked,
        "wordings_brought": brought,
        "wordings_made": len(rows) - as_asked - brought,
        "left_out": asked - len(rows),
        "rows_a_pair": round(len(rows) / len(pairs), 2) if pairs else 0.0,
    }


def explained(counts: dict[str, Any]) -> str:
    """The sentence for the terminal and the report."""
    rows, pairs, left = counts["rows"], counts["pairs"], counts["left_out"]
    asked, brought, made = (
        counts[name] for name in ("as_asked", "wordings_brought", "wordings_made")
    )
    zh = (
        f"训练 {rows} 行来自 {pairs} 个问答，平均每个 {counts['rows_a_pair']:g} 行："
        f"原问法 {asked} 行 + 数据自带的别的问法 {brought} 行 + 按模板改写的问法 {made} 行"
    )
    en = (
        f"{rows} train rows come from {pairs} pairs, {counts['rows_a_pair']:g} rows a pair: "
        f"{asked} as asked + {brought} in other wordings that the data brought + "
        f"{made} in wordings made by templates"
    )
    if left:
        zh += f"；另有 {left} 行与验证题或测试题太近，没有用"
        en += f"; {left} more were too near to held-out or test questions and are left out"
    return either(
        zh + "。验证和校准每个问答一行（--wordings 0：训练也只用原问法）",
        en + ". Dev and calibration have one row a pair (--wordings 0: train too)",
    )
