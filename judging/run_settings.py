"""What a judgement was of: model, data, book, settings, questions, and how two of them differ."""

from typing import Any

from common.language import either
from judging.read_report import Report

# Settings that say where, not how: two runs that differ in these alone are the same run.
_PLACES = {
    "model_dir",
    "port",
    "host",
    "api_token",
    "warmup_file",
    "compile_cache",
    "settings_file",
    "serve_mode",  # `mode` of the report tells it
    "retrieval_why",  # why, not what: RETRIEVAL_EXAMPLES tells that
}


def settings_of(report: Report) -> dict[str, Any]:
    """The service's settings as GET /info told them, without places and secrets."""
    info = report.summary.get("info")
    told = info.get("settings") if isinstance(info, dict) else None
    return {k: v for k, v in told.items() if k not in _PLACES} if isinstance(told, dict) else {}


def data_of(report: Report) -> str:
    """The data that the model was trained on, by its manifest; "" where it names none."""
    lines = report.summary.get("manifest_chain") or []
    named = [line.strip() for line in lines if line.strip().startswith("data:")]
    return named[0].removeprefix("data:").strip() if named else ""


def testsets_of(report: Report) -> str:
    """The test sets' names and numbers of questions, to be read."""
    return " + ".join(
        f"{t['name']} ({t.get('questions', '?')})" for t in report.summary["testsets"]
    )


def questions_of(report: Report) -> frozenset[tuple[str, str]]:
    """What makes two scores comparable: the same questions with the same references, whatever the
    file was called."""
    return frozenset((row["question"], row["reference"]) for row in report.rows)


def changes(report: Report, before: Report) -> list[str]:
    """What differs from another judgement: model, data, book, how it was asked, settings.

    A setting that one of them does not tell (an older or another service) is no difference.
    """
    found = [
        f"{then or '–'} → {now or '–'}"
        for then, now in (
            (_trained(before), _trained(report)),
            _books(before, report),
            (_asked(before), _asked(report)),
        )
        if then != now
    ]
    now, then = settings_of(report), settings_of(before)
    if not report.book and not before.book:  # without an index these do nothing
        now = {k: v for k, v in now.items() if not k.startswith("retrieval")}
    found += [
        f"{name.upper()}={then[name]} → {now[name]}"
        for name in sorted(now.keys() & then.keys())
        if now[name] != then[name]
    ]
    return found


def _trained(report: Report) -> str:
    """A model and the data that made it: one thing, not two."""
    data = data_of(report)
    return report.model + (f" ({data})" if data else "")


def _books(before: Report, report: Report) -> tuple[str, str]:
    """What each had at hand; of the same book how much of it stood there is told by the settings,
    and is no change of its own."""
    told = [one.summary.get("info") for one in (before, report)]
    found = [info.get("retrieval") if isinstance(info, dict) else None for info in told]
    names = [each.get("books") if isinstance(each, dict) else None for each in found]
    if names[0] and names[0] == names[1]:
        return names[0], names[1]
    return before.book or _no_book(), report.book or _no_book()


def _no_book() -> str:
    return either("不翻书", "no book at hand")


def _asked(report: Report) -> str:
    """Serial or batch, and what was not as the judge does it."""
    deviations = report.summary.get("deviations") or []
    return " ".join([str(report.summary.get("mode", "")), *map(str, deviations)]).strip()
