"""Hyperparameter studies: one name, one search space, any number of processes.

A study remembers what it is about (its space, the dataset, the metric, every fixed flag) and is
never continued with anything else: values of different questions would be compared.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    SuccessiveHalvingPruner,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from tracking.errors import TrackingError
from tracking.faults import first_line
from tracking.names import listed
from tracking.options import PRUNERS, Direction
from tracking.reachable import check_answers, check_writable
from tracking.search_spaces import SearchSpace, check_space, outside
from tracking.stores import refuse_missing, studies_uri
from tracking.study_locks import locked

SETTINGS = "settings"
SPACE_OF = "space of "
"""What stands before the name of a parameter among the settings of its study."""
MISSED_BEATS = 6
"""Signs of life a worker may miss before its trial is given to another."""
BUSY_SECONDS = 60
"""How long a writer waits for SQLite's other writers."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study as one worker holds it.

    Attributes:
        name: Name of the study.
        uri: SQLAlchemy address of its database.
        storage: The same, opened.
        optuna: Optuna's own object.
        space: What its trials draw from.
        seed: Seed of the draws; trial by trial they differ, and between workers they never repeat.
        heartbeat: Seconds between a worker's signs of life.
    """

    name: str
    uri: str
    storage: RDBStorage
    optuna: optuna.Study
    space: SearchSpace
    seed: int
    heartbeat: int

    def rows(self) -> list[FrozenTrial]:
        """Every trial, read anew: waiting, running and finished ones."""
        return list(self.optuna.get_trials(deepcopy=False))


def open_study(
    name: str,
    storage: str = "",
    *,
    space: SearchSpace,
    seed: int,
    settings: Mapping[str, object] | None = None,
    starts: Sequence[Mapping[str, Any]] = (),
    direction: Direction = "maximize",
    pruner: BasePruner | None = None,
    heartbeat: int = 30,
) -> Study:
    """Open a study by name, creating it when new; any number of processes may do so together.

    Args:
        name: The study.
        storage: SQLAlchemy address of its own database; as :func:`tracking.stores.studies_uri`.
        space: What its trials draw from.
        seed: Seed of the draws. Draw number ``n`` depends on it, on ``n`` and on the trials before
            it.
        settings: What else makes its trials comparable, by the names a user knows; JSON values.
        starts: Values to try before anything is drawn; what one leaves out is drawn.
        direction: ``maximize`` or ``minimize``.
        pruner: Which trials to stop early; none when omitted.
        heartbeat: Seconds between signs of life; after six without one a worker counts as dead.

    Raises:
        TrackingError: The space cannot be drawn from, a start lies outside it, the database cannot
            be opened, or the study was begun with another space or other settings.
    """
    check_space(space)
    for start in starts:
        if beyond := outside(space, start):
            raise TrackingError(f"start {json.dumps(start)}: outside the space: {beyond}")
    about: dict[str, object] = {f"{SPACE_OF}{key}": dict(entry) for key, entry in space.items()}
    about |= {**(settings or {}), "direction": direction}
    uri = studies_uri(storage)
    # Trials report through ``on_trial``, not through a log line of Optuna's each.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with locked(uri, name):
            rdb = _open_storage(uri, heartbeat)
            opened = optuna.create_study(
                study_name=name,
                storage=rdb,
                direction=direction,
                pruner=pruner or NopPruner(),
                load_if_exists=True,
            )
            _begin_or_compare(opened, json.loads(json.dumps(about)), starts)
    except (SQLAlchemyError, ImportError) as error:
        raise TrackingError(
            f"storage={make_url(uri).render_as_string()}: cannot be opened: {first_line(error)}"
        ) from error
    return Study(
        name=name, uri=uri, storage=rdb, optuna=opened, space=space, seed=seed, heartbeat=heartbeat
    )


def read_trials(name: str, storage: str = "") -> tuple[list[FrozenTrial], list[str]]:
    """Read the trials of a study and the names of what they draw; nothing is created.

    Args:
        name: The study.
        storage: As in :func:`open_study`.

    Raises:
        TrackingError: There is no such database, or no such study in it.
    """
    uri = studies_uri(storage)
    refuse_missing(uri, what="database of studies", variable="storage")
    check_studies(storage)
    rdb = _open_storage(uri, heartbeat=30)
    names = optuna.get_all_study_names(rdb)
    if name not in names:
        raise TrackingError(f"study={name}: not there; there is: {listed(sorted(names))}")
    study = optuna.load_study(study_name=name, storage=rdb)
    settings = study.user_attrs.get(SETTINGS, {})
    drawn = [key.removeprefix(SPACE_OF) for key in settings if key.startswith(SPACE_OF)]
    return list(study.get_trials(deepcopy=False)), drawn


def check_studies(storage: str = "") -> None:
    """Refuse a database of studies that does not answer or cannot be written.

    Args:
        storage: As in :func:`open_study`.

    Raises:
        TrackingError: It does not answer within ten seconds, is no database, or is locked or
            read-only.
    """
    uri = studies_uri(storage)
    check_answers(uri, what="storage")
    check_writable(uri, what="storage")


def make_pruner(name: str, *, epochs: int, prune_after: int = 0) -> BasePruner:
    """Choose by name which trials are stopped early.

    Args:
        name: ``hyperband`` and ``asha`` keep about a third at every rung, each three times as late
            as the one before, hyperband in several brackets of which some begin late; ``median``
            stops what lies below the median of earlier trials, after five of them; ``none`` stops
            nothing.
        epochs: What a whole trial takes.
        prune_after: Epochs that every trial gets: the first rung. 0 is a quarter of ``epochs``: the
            first epochs of a hard task order nothing but noise.

    Raises:
        TrackingError: ``name`` is none of :data:`PRUNERS`, or ``prune_after`` is negative.

    Source:
        Li et al. 2020, arXiv:1810.05934 (ASHA); Li et al. 2018, JMLR 18(185) (Hyperband).
    """
    if prune_after < 0:
        raise TrackingError(f"prune_after={prune_after}: must be 0 or more")
    first = prune_after or max(1, epochs // 4)
    if name == "hyperband":
        return HyperbandPruner(min_resource=first, max_resource=epochs, reduction_factor=3)
    if name == "asha":
        return SuccessiveHalvingPruner(min_resource=first, reduction_factor=3)
    if name == "median":
        return MedianPruner(n_startup_trials=5, n_warmup_steps=first)
    if name == "none":
        return NopPruner()
    raise TrackingError(f"pruner={name}: allowed: {', '.join(PRUNERS)}")


def best_trial(study: Study) -> FrozenTrial:
    """Hand back the best complete trial.

    Raises:
        TrackingError: No trial was completed.
    """
    rows = study.rows()
    if not any(trial.state is TrialState.COMPLETE for trial in rows):
        states = ", ".join(trial.state.name for trial in rows) or "none begun"
        raise TrackingError(
            f"study {study.name!r} has no complete trial ({states}); see the tag failure of its "
            "runs"
        )
    return study.optuna.best_trial


def _open_storage(uri: str, heartbeat: int) -> RDBStorage:
    sqlite = make_url(uri).get_backend_name() == "sqlite"
    options: dict[str, Any] = (
        {"connect_args": {"timeout": BUSY_SECONDS}} if sqlite else {"pool_pre_ping": True}
    )
    with warnings.catch_warnings():
        # Optuna calls its heartbeat experimental; what is used of it is tested here.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RDBStorage(
            uri,
            engine_kwargs=options,
            heartbeat_interval=heartbeat,
            grace_period=MISSED_BEATS * heartbeat,
        )


def _begin_or_compare(
    opened: optuna.Study, about: Mapping[str, Any], starts: Sequence[Mapping[str, Any]]
) -> None:
    """Store what a new study is about, or hold an old one to it; under the study's lock."""
    begun = opened.user_attrs.get(SETTINGS)
    if begun is None:
        if any(trial.state is not TrialState.WAITING for trial in opened.get_trials()):
            raise TrackingError(
                f"study={opened.study_name}: holds trials that were not begun here; give another "
                "name"
            )
        for start in starts:
            opened.enqueue_trial(dict(start), skip_if_exists=True)
        opened.set_user_attr(SETTINGS, about)  # last: a half-begun study is begun again
        return
    different = [
        f"{key} {_said(begun.get(key))}, now {_said(about.get(key))}"
        for key in dict.fromkeys([*begun, *about])
        if begun.get(key) != about.get(key)
    ]
    if different:
        raise TrackingError(
            f"study={opened.study_name}: was begun with {'; '.join(different)}; "
            "give the study another name, or ask for what it was begun with"
        )


def _said(value: object) -> str:
    return "not there" if value is None else json.dumps(value).strip('"')
