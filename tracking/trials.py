"""Trials: a worker takes them one by one, each a nested run, until the study is whole."""

import logging
import math
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import optuna
from optuna.exceptions import TrialPruned, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from tracking.errors import TrackingError
from tracking.runs import Run, failure_reason, start_run
from tracking.studies import Study
from tracking.trial_claims import FAILURE, RUN_ID, claim, signs_of_life

POLL_SECONDS = 5.0
"""Longest pause between two looks at what other workers are still running."""

ALIKE = 3
"""Trials that fail for one and the same reason before any other ends: the next would too."""

TAKEN = (
    "gave no sign of life for too long and was given to another worker; what it found here is "
    "dropped"
)

_logger = logging.getLogger(__name__)


class Trial:
    """What an objective is given: its parameters, its run, and whom to tell how it goes.

    Attributes:
        number: Position in the study, from 0.
        parameters: One value for every parameter of the space.
        run: The nested run of this trial.
    """

    def __init__(self, trial: optuna.Trial, run: Run) -> None:
        """Wrap Optuna's ``trial``, recorded in ``run``."""
        self._trial = trial
        self.number = trial.number
        self.parameters: Mapping[str, Any] = MappingProxyType(dict(trial.params))
        self.run = run

    def report(self, value: float, epoch: int, *, last: bool = False) -> None:
        """Record the objective as it stands after ``epoch``.

        Args:
            value: Value of the objective.
            epoch: Counted from 1.
            last: Nothing is left to save: the trial is complete, however it compares.

        Raises:
            TrialPruned: The study sees no hope in this trial; let it pass.
        """
        self.run.log_metrics({"objective": value}, epoch)
        self._trial.report(value, epoch)
        hopeless = self._trial.should_prune()  # keeps the value at a rung, for later trials
        if hopeless and not last:
            raise TrialPruned


def run_trials(
    study: Study,
    objective: Callable[[Trial], float],
    *,
    trials: int,
    timeout: float | None = None,
    on_trial: Callable[[FrozenTrial], None] | None = None,
) -> None:
    """Run trials, one nested run each, until the study holds ``trials`` finished ones.

    Trials of other processes and of earlier calls count, so a study that was killed is resumed by
    calling again. Where others still run the last ones, this waits for them: should one die, its
    trial is run here. A trial that fails is recorded with its reason and the study goes on.

    Args:
        study: From :func:`tracking.studies.open_study`.
        objective: Reports by epoch, returns the final value.
        trials: How many finished trials the study holds in the end.
        timeout: Seconds after which no further trial begins; the one under way is finished.
        on_trial: Called after each trial, for a progress bar.

    Raises:
        TrackingError: The study's first three trials or more all failed for the same reason.
    """
    end = math.inf if timeout is None else time.monotonic() + timeout
    while time.monotonic() < end:
        claimed = claim(study, trials)
        if claimed is not None:
            finished = _run_trial(study, objective, claimed)
            if on_trial is not None:
                on_trial(finished)
            if finished.state is TrialState.FAIL:
                _stop_where_all_fail(study)
        elif any(row.state is TrialState.RUNNING for row in study.rows()):
            time.sleep(min(POLL_SECONDS, study.heartbeat, max(0.0, end - time.monotonic())))
        else:
            return


def _run_trial(
    study: Study, objective: Callable[[Trial], float], claimed: optuna.Trial
) -> FrozenTrial:
    state, value = TrialState.FAIL, None
    try:
        with (
            signs_of_life(study, claimed.number),
            start_run(f"trial-{claimed.number}", claimed.params) as run,
        ):
            run.set_tags({"study": study.name, "trial": str(claimed.number)})
            claimed.set_user_attr(RUN_ID, run.run_id)
            try:
                value = _finite(objective(Trial(claimed, run)))
                state = TrialState.COMPLETE
                run.log_metrics({"value": value})
            except TrialPruned:
                state = TrialState.PRUNED
            finally:
                run.set_tags({"state": state.name})
    except UpdateFinishedTrialError:
        _logger.warning("trial %d %s", claimed.number, TAKEN)
    except Exception as error:  # noqa: BLE001 - one trial's failure is data, not the study's end
        _keep_reason(claimed, failure_reason(error))
    finally:
        # An interrupted trial is told without a reason, and so begun again by whoever comes next.
        told = study.optuna.tell(claimed, value, state, skip_if_finished=True)
    if told.state is not state:
        _logger.warning("trial %d %s", claimed.number, TAKEN)
    return told


def _stop_where_all_fail(study: Study) -> None:
    ended = [row for row in study.rows() if row.state.is_finished()]
    reasons = {row.user_attrs.get(FAILURE) for row in ended}
    if len(ended) >= ALIKE and all(row.state is TrialState.FAIL for row in ended):
        (reason, *others) = reasons
        if reason is not None and not others:
            raise TrackingError(f"all {len(ended)} trials failed, the search stops: {reason}")


def _keep_reason(claimed: optuna.Trial, reason: str) -> None:
    _logger.warning("trial %d failed: %s", claimed.number, reason)
    try:
        claimed.set_user_attr(FAILURE, reason)
    except UpdateFinishedTrialError:
        _logger.warning("trial %d %s", claimed.number, TAKEN)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise TrackingError(f"the objective returned {value}; must be a finite number")
    return float(value)
