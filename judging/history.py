"""A new judgement against the earlier ones on the same questions: its base, and the last run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.intervals import difference
from common.language import either
from judging.conclusion import base_of
from judging.read_report import Report, ReportError, read_reports, same_questions
from judging.run_settings import changes, questions_of
from judging.verdicts import verdict


def against(told: dict[str, Any], rows: Sequence[dict[str, Any]], folder: Path) -> list[str]:
    """Better or worse than the base of a trained model and than the last run, a sentence each; none
    where the folder holds no judgement of the same questions.

    told, rows: of the new judgement, as judging/report.py makes them. Reports that cannot be read
    are none.
    """
    new = Report(folder, told, list(rows))
    earlier = [each for each in read_reports(folder)[0] if not each.failures]
    alike = [each for each in earlier if questions_of(each) == questions_of(new)]
    if new.failures or not alike:
        return []
    last, base = alike[-1], _judged(_base(told), alike)
    if base is last:
        return _told(either("基座", "its base"), new, base)
    said = _told(either("基座", "its base"), new, base) if base else []
    return [*said, *_told(either("上一次", "the last run"), new, last)]


def _base(told: dict[str, Any]) -> str | None:
    info = told.get("info")
    model = info.get("model") if isinstance(info, dict) else None
    return base_of(model.get("manifest")) if isinstance(model, dict) else None


def _judged(model: str | None, reports: Sequence[Report]) -> Report | None:
    """The newest report of a model directory."""
    wanted = Path(model).resolve() if model else None
    found = [each for each in reports if each.model_dir and each.model_dir.resolve() == wanted]
    return found[-1] if found else None


def _told(who: str, new: Report, before: Report) -> list[str]:
    try:
        first, second = same_questions([before, new])
    except ReportError:  # no question has a reference
        return []
    gap = difference([row["score"] for row in first], [row["score"] for row in second])
    changed = either("；", "; ").join(changes(new, before)) or either("无", "nothing")
    return [
        either(
            f"与{who}（{before.name}）相比：{verdict(gap)}。改了：{changed}",
            f"against {who} ({before.name}): {verdict(gap)}. Changed: {changed}",
        )
    ]
