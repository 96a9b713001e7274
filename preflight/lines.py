"""What every check of the preflight returns: lines of one table."""

from dataclasses import asdict, dataclass
from typing import Literal

from common.units import amount

State = Literal["ok", "fail", "warn", "unknown", "note"]


@dataclass(frozen=True)
class Line:
    """One line of the table: what was checked, its figure, its limit, the margin, and why.

    state: `fail` loses the submission, `warn` passes the judge's limits but most likely wastes the
    attempt, `unknown` could not be checked, `note` has no limit.
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
    """A line that fails when `value` is above `limit`. Units as in `amount`."""
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
