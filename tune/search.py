"""The search: Optuna proposes settings, `measure` returns their score and speed, an SQLite file
keeps the trials, so that an interrupted search is resumed.

The defaults are measured first, then each setting's values one at a time, then what Optuna's TPE
sampler proposes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from tune.pareto import TrialResult, select
from tune.space import UNSET, Space, one_at_a_time, settings_of
from tune.trial import Measure, Outcome, TrialFailedError

# After so many proposals in a row that were measured before, the space counts as exhausted.
REPEATS = 20
# Runs of the selected settings and of the defaults before a gain counts as confirmed.
STARTS = 2
INTERRUPTED = "interrupted"
REPEATED = "the same as trial"


class Search:
    """A study in an SQLite file, for one model, one dev split and one set of fixed settings."""

    def __init__(
        self,
        file: Path,
        name: str,
        measure: Measure,
        may_lose: float = 0.0,
        at_least: float = 0.0,
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(
            study_name=name,
            storage=f"sqlite:///{file}",
            directions=["maximize", "maximize"],
            sampler=TPESampler(seed=0, multivariate=True),
            load_if_exists=True,
        )
        self._measure = measure
        self._may_lose, self._at_least = may_lose, at_least
        done = self._study.get_trials(states=[TrialState.COMPLETE])
        # The longest trial so far, earlier runs included: none starts with less time left.
        seconds = [t.user_attrs["seconds"] + t.user_attrs["start_seconds"] for t in done]
        self._longest = max(seconds, default=0.0)
        for trial in self._study.get_trials(states=[TrialState.RUNNING]):
            self._study.tell(trial.number, state=TrialState.FAIL)
            self._study.enqueue_trial(trial.params)

    @property
    def begun(self) -> bool:
        """Whether the defaults were measured, in this run or an earlier one."""
        return "space" in self._study.user_attrs

    def begin(self, make_space: Callable[[Outcome], Space]) -> None:
        """Measure the defaults and queue the one-at-a-time trials. Raises TrialFailedError when the
        defaults fail."""
        outcome = self._timed({}, "trial_000")
        space = make_space(outcome)
        self._study.add_trial(
            create_trial(
                values=[outcome.score, outcome.speed],
                params=dict.fromkeys(space, UNSET),
                distributions={n: CategoricalDistribution(v) for n, v in space.items()},
                user_attrs=_attributes(outcome),
            )
        )
        for values in one_at_a_time(space):
            self._study.enqueue_trial(values, skip_if_exists=True)
        self._study.set_user_attr("space", space)

    def run(self, until: float, on_trial: Callable[[TrialResult], None]) -> str:
        """Run trials until `until` (time.monotonic()), less the time that `confirm` needs; returns
        why it ended."""
        space: Space = self._study.user_attrs["space"]
        repeats = 0
        # One more trial, and in `confirm` the defaults and the selected settings, each as long as
        # the longest so far.
        while time.monotonic() + (1 + 2 * (STARTS - 1)) * self._longest < until:
            trial = self._study.ask()
            values = {name: trial.suggest_categorical(name, space[name]) for name in space}
            known = self._known(values, trial.number)
            if known is not None:
                trial.set_user_attr("reason", f"{REPEATED} {known}")
                self._study.tell(trial, state=TrialState.FAIL)
                repeats += 1
                if repeats == REPEATS:
                    return "no settings are left that were not tried"
                continue
            repeats = 0
            try:
                outcome = self._timed(settings_of(values), f"trial_{trial.number:03d}")
            except TrialFailedError as error:
                trial.set_user_attr("reason", str(error))
                self._study.tell(trial, state=TrialState.FAIL)
            else:
                for name, value in _attributes(outcome).items():
                    trial.set_user_attr(name, value)
                self._study.tell(trial, [outcome.score, outcome.speed])
            on_trial(next(row for row in self.rows() if row.number == trial.number))
        return "the time is up"

    def confirm(self, until: float) -> bool:
        """Run the selected settings and the defaults again, so that noise is not taken for a gain.
        Returns False when there was no time for it."""
        while True:
            rows = self.rows()
            best = select(rows, self._may_lose, self._at_least)
            todo = [r for r in (rows[0], best) if len(r.measured) < STARTS]
            if best.number == rows[0].number or not todo:
                return True
            if time.monotonic() + self._longest > until:
                return False
            row = todo[0]
            again = self._study.user_attrs.get("again", {})
            told = again.setdefault(str(row.number), [])
            try:
                outcome = self._timed(row.settings, f"trial_{row.number:03d}_again")
                told.append([outcome.score, outcome.speed])
            except TrialFailedError as error:
                if row.number == rows[0].number:
                    raise
                told.append(str(error))
            self._study.set_user_attr("again", again)

    def rows(self) -> list[TrialResult]:
        """All trials that were measured or failed; the defaults are the first."""
        again = self._study.user_attrs.get("again", {})
        done = self._study.get_trials(states=[TrialState.COMPLETE, TrialState.FAIL])
        rows = [_row(trial, again.get(str(trial.number), ())) for trial in done]
        # Repeats were not measured, and interrupted trials are queued again.
        return [r for r in rows if r.reason != INTERRUPTED and not r.reason.startswith(REPEATED)]

    def _timed(self, settings: dict[str, str], name: str) -> Outcome:
        began = time.monotonic()
        try:
            return self._measure(settings, name)
        finally:
            self._longest = max(self._longest, time.monotonic() - began)

    def _known(self, values: dict[str, Any], number: int) -> int | None:
        """The number of an earlier trial of the same settings that was measured or failed."""
        for trial in self._study.get_trials(states=[TrialState.COMPLETE, TrialState.FAIL]):
            counts = trial.state == TrialState.COMPLETE or trial.user_attrs.get("reason")
            if trial.number != number and trial.params == values and counts:
                return trial.number
        return None


def _attributes(outcome: Outcome) -> dict[str, Any]:
    told = asdict(outcome)
    return {name: told[name] for name in ("seconds", "start_seconds")}


def _row(trial: FrozenTrial, again: Sequence[Any]) -> TrialResult:
    row = TrialResult(trial.number, settings_of(trial.params))
    row.start_seconds = trial.user_attrs.get("start_seconds")
    if trial.state == TrialState.FAIL:
        row.reason = trial.user_attrs.get("reason", INTERRUPTED)
        return row
    row.measured = [(trial.values[0], trial.values[1])]
    for each in again:
        if isinstance(each, str):
            row.reason = f"run again: {each}"
        else:
            row.measured.append((each[0], each[1]))
    return row
