"""Hyperparameter studies: Optuna proposes, every trial is a nested run, the best is handed back."""

import logging
import math
import warnings
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Literal

import matplotlib.pyplot as plt
import optuna
from optuna.exceptions import ExperimentalWarning, TrialPruned
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as drawing

from tracking.errors import TrackingError
from tracking.runs import Run, failure_reason, start_run
from tracking.stores import initialise_database, studies_uri

SearchSpace = Mapping[str, Mapping[str, Any]]
"""Per parameter either ``{"low": 1e-5, "high": 1e-1, "log": True}`` (``log`` and ``step`` may be
left out; two whole numbers give whole numbers) or ``{"choices": ["adamw", "sgd"]}``."""

_logger = logging.getLogger(__name__)

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Trial:
    """What an objective is given: it asks for parameters and reports how it goes.

    Attributes:
        number: Position in the study, from 0.
        run: The nested run of this trial.
    """

    def __init__(self, trial: optuna.Trial, run: Run) -> None:
        """Wrap Optuna's ``trial``, recorded in ``run``."""
        self._trial = trial
        self.number = trial.number
        self.run = run

    def suggest(self, space: SearchSpace) -> dict[str, Any]:
        """Draw one value for every parameter of ``space`` and record them.

        Raises:
            TrackingError: An entry of ``space`` is neither a range nor a list of choices.
        """
        check_space(space)
        drawn = {name: _draw(self._trial, name, entry) for name, entry in space.items()}
        self.run.log_parameters(drawn)
        return drawn

    def report(self, value: float, epoch: int) -> None:
        """Record the objective as it stands after ``epoch``.

        Raises:
            TrialPruned: The study sees no hope in this trial; let it pass.
        """
        self.run.log_metrics({"objective": value}, epoch)
        self._trial.report(value, epoch)
        if self._trial.should_prune():
            raise TrialPruned


def check_space(space: SearchSpace) -> None:
    """Refuse a search space that cannot be drawn from, before any trial begins.

    Raises:
        TrackingError: An entry is neither a range nor a list of choices.
    """
    for name, entry in space.items():
        if not _drawable(entry):
            raise TrackingError(
                f"search space of {name!r} is {entry!r}; must be low and high, with log or step "
                "if wanted, or a list of choices"
            )


def open_study(
    name: str,
    storage: str = "",
    *,
    seed: int,
    direction: Literal["maximize", "minimize"] = "maximize",
    pruner: optuna.pruners.BasePruner | None = None,
) -> optuna.Study:
    """Open a study by name, creating it when new; any number of processes may share it.

    Args:
        name: The study.
        storage: SQLAlchemy address of its own database; ``optuna.db`` in this folder when empty.
        seed: Of the sampler; a study that goes on draws anew, not what it drew at first. Processes
            that begin a study together need different ones.
        direction: ``maximize`` or ``minimize``.
        pruner: Which trials to stop early; those below the median after 5 trials and 1 report
            when omitted.
    """
    uri = studies_uri(storage)
    # Trials report through ``on_trial``, not through a log line of Optuna's each.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    initialise_database(uri, lambda: optuna.storages.RDBStorage(uri))
    study = optuna.create_study(
        study_name=name,
        storage=optuna.storages.RDBStorage(uri),
        direction=direction,
        pruner=pruner or optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
        load_if_exists=True,
    )
    begun = len(study.get_trials(deepcopy=False))
    study.sampler = optuna.samplers.TPESampler(seed=seed + begun)
    return study


def run_trials(
    study: optuna.Study,
    objective: Callable[[Trial], float],
    *,
    trials: int,
    timeout: float | None = None,
    on_trial: Callable[[FrozenTrial], None] | None = None,
) -> None:
    """Run trials, one nested run each, until the study holds ``trials`` finished ones.

    Trials that other processes or an earlier call finished count, so a study that was killed is
    resumed by calling again. A trial that fails is recorded with its reason and the study goes on.

    Args:
        study: From :func:`open_study`.
        objective: Asks its trial for parameters, reports by epoch, returns the final value.
        trials: How many finished trials the study holds in the end.
        timeout: Seconds after which no further trial begins.
        on_trial: Called after each trial, for a progress bar.
    """
    end = math.inf if timeout is None else monotonic() + timeout
    while monotonic() < end and _finished(study) < trials:
        number = _run_trial(study, objective)
        if on_trial is not None:
            on_trial(study.trials[number])


def best_parameters(study: optuna.Study) -> dict[str, Any]:
    """Hand back the parameters of the best complete trial.

    Raises:
        TrackingError: No trial was completed.
    """
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        states = ", ".join(trial.state.name for trial in study.trials) or "none begun"
        raise TrackingError(
            f"study {study.study_name!r} has no complete trial ({states}); see the tag failure of "
            "its runs"
        )
    return dict(study.best_params)


def log_study(study: optuna.Study, run: Run) -> None:
    """Store the study on ``run``: its trials, and pictures of history and importance.

    Importance is drawn from the second complete trial on, if parameters and values vary at all.
    """
    frame = study.trials_dataframe(attrs=("number", "value", "state", "params"))
    run.log_text(frame.to_csv(index=False), "study/trials.csv")
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        return
    _log_picture(run, study, drawing.plot_optimization_history, "study/history.png")
    if len({trial.value for trial in complete}) > 1:
        _log_picture(run, study, drawing.plot_param_importances, "study/importance.png")


def _run_trial(study: optuna.Study, objective: Callable[[Trial], float]) -> int:
    proposed = study.ask()
    state, value = TrialState.FAIL, None
    try:
        with start_run(f"trial-{proposed.number}", {"study": study.study_name}) as run:
            try:
                value = float(objective(Trial(proposed, run)))
                if math.isnan(value):
                    value = None
                    raise TrackingError("the objective returned nan; must be a number")
                state = TrialState.COMPLETE
                run.log_metrics({"value": value})
            except TrialPruned:
                state = TrialState.PRUNED
            finally:
                run.set_tags({"state": state.name})
    except Exception as error:  # noqa: BLE001 - one trial's failure is data, not the study's end
        _logger.warning("trial %d failed: %s", proposed.number, failure_reason(error))
    finally:
        study.tell(proposed, value, state)
    return proposed.number


def _finished(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=FINISHED))


def _draw(trial: optuna.Trial, name: str, entry: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if "choices" in entry:
        return trial.suggest_categorical(name, entry["choices"])
    if isinstance(entry["low"], int) and isinstance(entry["high"], int):
        return trial.suggest_int(name, **entry)
    return trial.suggest_float(name, **entry)


def _drawable(entry: object) -> bool:
    match entry:
        case {"choices": [_, *_], **others}:
            return not others
        case {"low": int() | float() as low, "high": int() | float() as high, **others}:
            return low <= high and others.keys() <= {"log", "step"}
    return False


def _log_picture(
    run: Run, study: optuna.Study, draw: Callable[[optuna.Study], Any], path: str
) -> None:
    with warnings.catch_warnings():
        # Optuna calls all its matplotlib drawings experimental; nothing here depends on their API.
        warnings.simplefilter("ignore", ExperimentalWarning)
        axes = draw(study)
    run.log_figure(axes.figure, path)
    plt.close(axes.figure)
