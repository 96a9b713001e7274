"""What every check of the preflight returns, and the recorded facts that the checks use."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

State = Literal["ok", "fail", "unknown", "note"]

# Judge's limits, base image, devices, workloads and measurements, each with its source.
FACTS: dict[str, Any] = json.loads(
    Path(__file__).with_name("facts.json").read_text(encoding="utf-8")
)


@dataclass(frozen=True)
class Line:
    """One line of the table: what was looked at, its figure, the limit, what is left, and why.

    state: `fail` loses the submission, `unknown` could not be looked at, `note` has no limit.
    """

    area: str
    what: str
    state: State
    figure: str
    limit: str = ""
    margin: str = ""
    why: str = ""

    def as_json(self) -> dict[str, str]:
        """The line's fields."""
        return asdict(self)


def at_most(area: str, what: str, value: float, limit: float, unit: str, why: str) -> Line:
    """A line that fails when `value` is above `limit`. Units: "s", "B", or a plural noun."""
    state: State = "ok" if value <= limit else "fail"
    return Line(
        area,
        what,
        state,
        amount(value, unit),
        amount(limit, unit),
        ("+" if value <= limit else "-") + amount(abs(limit - value), unit),
        why,
    )


def amount(value: float, unit: str) -> str:
    """A number for people: seconds with one decimal when small, bytes as MB or GB."""
    if unit == "B":
        return f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.2f} MB"
    if unit == "s":
        return f"{value:.1f} s" if value < 100 else f"{value:.0f} s"
    return f"{value:g} {unit}"


def measured(name: str) -> float:
    """A recorded measurement."""
    return float(FACTS["measured"][name]["value"])


def assumed(name: str) -> float:
    """An assumption; the table names it."""
    return float(FACTS["assumed"][name]["value"])


def download_seconds(size: float) -> float:
    """Seconds for `size` bytes at the judge's 100 Mbit/s, with the network factor."""
    return size * 8 / FACTS["judge"]["line_bits_per_s"] * assumed("network_factor")
