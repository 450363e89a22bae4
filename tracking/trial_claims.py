"""Which worker runs which trial: every claim is made under the study's lock.

A study is whole when it holds as many begun trials as were asked for. A trial whose worker died is
recorded as failed and begun again as another trial of the same values; the dead one does not
count. A trial that failed by itself keeps its reason, counts, and is not begun again.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread

import optuna
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.samplers import TPESampler
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from tracking.search_spaces import distributions
from tracking.stores import initialise_tracking
from tracking.studies import Study
from tracking.study_locks import locked

MOST_RETRIES = 3
"""How often a trial is begun again before it is taken for what kills its workers."""
FAILURE = "failure"
RUN_ID = "run_id"
LOST = "its worker died"
_SEEDS = 2**32
"""Seeds that Optuna's generator takes."""

_logger = logging.getLogger(__name__)


def claim(study: Study, trials: int) -> optuna.Trial | None:
    """Begin the next trial of a study that is to hold ``trials``; None when all are begun.

    What a dead worker left is begun again before anything new. The values are drawn and stored
    before another worker draws. Draws come from a tree-structured
    Parzen estimator over all parameters together that takes trials still running for bad ones, so
    that workers keep apart.

    Source:
        Bergstra et al. 2011, NeurIPS; Watanabe 2023, arXiv:2304.11127.
    """
    with locked(study.uri, study.name):
        retry_lost(study)
        rows = study.rows()
        begun = [row for row in counted(rows) if row.state is not TrialState.WAITING]
        if len(begun) >= trials:
            return None
        if not _waiting(rows):
            study.optuna.enqueue_trial({})
        return _begin(study, _next(_waiting(study.rows())))


def counted(rows: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Leave out the trials of dead workers that were begun again, or wait to be."""
    again = {number for row in rows for number in row.system_attrs.get("retry_history", ())}
    return [row for row in rows if row.number not in again]


def finished(study: Study) -> int:
    """Count the trials that are over, each trial of a dead worker together with its retry."""
    return sum(row.state.is_finished() for row in counted(study.rows()))


def retry_lost(study: Study) -> None:
    """Fail the trials whose workers give no sign of life, and queue each once more.

    Under the study's lock. Whatever is failed without a reason was interrupted, so a worker that
    dies in here leaves nothing that the next one does not find.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        fail_stale_trials(study.optuna)
        retry = RetryHeartbeatStaleTrialCallback(max_retry=MOST_RETRIES)
    for row in counted(study.rows()):
        tried = len(row.system_attrs.get("retry_history", ()))
        if is_lost(row) and tried < MOST_RETRIES:
            _logger.warning("trial %d: %s; it is begun again", row.number, LOST)
            _close_run(row)
            retry(study.optuna, row)


def is_lost(row: FrozenTrial) -> bool:
    """Whether a trial ended because its worker did."""
    return row.state is TrialState.FAIL and FAILURE not in row.user_attrs


@contextmanager
def signs_of_life(study: Study, number: int) -> Iterator[None]:
    """Tell the other workers every ``study.heartbeat`` seconds that this one is at work."""
    trial_id, stop = _trial_id(study, number), Event()

    def beat() -> None:
        while not stop.wait(study.heartbeat):
            try:
                study.storage.record_heartbeat(trial_id)
            except (StorageInternalError, SQLAlchemyError) as error:
                _logger.warning("trial %d: no sign of life stored: %s", number, error)

    study.storage.record_heartbeat(trial_id)
    thread = Thread(target=beat, name=f"trial-{number}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _waiting(rows: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [row for row in rows if row.state is TrialState.WAITING]


def _next(waiting: Sequence[FrozenTrial]) -> FrozenTrial:
    """Choose the oldest retry, else the oldest trial.

    A retry queues behind the starts of its study. Taken in its turn it would find the study whole.
    """
    return min(waiting, key=lambda row: ("retry_history" not in row.system_attrs, row.number))


def _begin(study: Study, row: FrozenTrial) -> optuna.Trial:
    """Begin a waiting trial and draw its values; ``Study.ask`` would begin the oldest one."""
    trial_id = _trial_id(study, row.number)
    # A sign of life before it begins: whoever dies in between leaves a trial seen to be stale.
    study.storage.record_heartbeat(trial_id)
    assert study.storage.set_trial_state_values(trial_id, TrialState.RUNNING)
    # A study remembers the trials of its last draw; one opened anew reads them all.
    opened = optuna.load_study(
        study_name=study.name,
        storage=study.storage,
        sampler=TPESampler(
            seed=(study.seed + row.number) % _SEEDS, multivariate=True, constant_liar=True
        ),
        pruner=study.optuna.pruner,
    )
    opened.get_trials(deepcopy=False)
    trial = optuna.Trial(opened, trial_id)
    for name, distribution in distributions(study.space).items():
        _suggest(trial, name, distribution)
    return trial


def _suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
    match distribution:
        case CategoricalDistribution():
            trial.suggest_categorical(name, distribution.choices)
        case IntDistribution():
            trial.suggest_int(
                name,
                distribution.low,
                distribution.high,
                step=distribution.step,
                log=distribution.log,
            )
        case FloatDistribution():
            trial.suggest_float(
                name,
                distribution.low,
                distribution.high,
                step=distribution.step,
                log=distribution.log,
            )


def _trial_id(study: Study, number: int) -> int:
    study_id = study.storage.get_study_id_from_name(study.name)
    return int(study.storage.get_trial_id_from_study_id_trial_number(study_id, number))


def _close_run(row: FrozenTrial) -> None:
    """End the runs that a dead worker left open, as far as the tracking store knows them."""
    if RUN_ID not in row.user_attrs:
        return
    client = initialise_tracking()
    try:
        nested = client.get_run(row.user_attrs[RUN_ID])
        if nested.info.status != "RUNNING":
            return
        client.set_tag(nested.info.run_id, "state", row.state.name)
        for run_id in (nested.info.run_id, nested.data.tags.get(MLFLOW_PARENT_RUN_ID)):
            if run_id is not None:
                client.set_tag(run_id, FAILURE, f"{LOST}; trial {row.number} is begun again")
                client.set_terminated(run_id, "KILLED")
    except MlflowException as error:
        _logger.warning("trial %d: its run cannot be closed: %s", row.number, error)
