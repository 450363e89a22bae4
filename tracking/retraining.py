"""The best of a study trained once more, by one of its workers and only once."""

from collections.abc import Callable, Mapping
from typing import Any

from tracking.registry import find_version
from tracking.runs import Run
from tracking.stores import initialise_tracking
from tracking.studies import Study, best_trial
from tracking.study_locks import locked
from tracking.trial_claims import finished
from tracking.versions import ModelVersion

RETRAINED = "retrained"
SETTINGS_CHOSEN_FROM = "settings_chosen_from"
"""Tag of a version: among how many its settings did best, and on which split."""


def compared(study: Study) -> str:
    """Say among how many trials the best was found; trials judge on validation alone."""
    return f"{finished(study)} trials of study {study.name} on val"


def retrain_once(
    study: Study,
    train: Callable[[Mapping[str, Any]], ModelVersion],
    *,
    run: Run,
    **how: str | int,
) -> str:
    """Train with the best values, unless another worker does so or it has been done.

    Args:
        study: From :func:`tracking.studies.open_study`.
        train: Takes the best values, registers a version and hands it back. The version and its
            logged model get the tags ``study``, ``trial`` and ``settings_chosen_from``.
        run: Run of the worker; tagged with what was decided.
        how: What else tells one retraining from another, such as its epochs.

    Returns:
        One line that says what was done, with the version.
    """
    best = best_trial(study)
    wanted = {"trial": best.number, **how}
    with locked(study.uri, f"retrain {study.name}", wait=False) as mine:
        done = study.optuna.user_attrs.get(RETRAINED, {})
        if not mine:
            said = f"another worker retrains trial {best.number}"
        elif wanted.items() <= done.items() and find_version(
            done["version"], done.get("model_id", "")
        ):
            said = f"trial {best.number} was retrained before: {done['version']}"
        else:
            version = train(best.params)
            credit = {"study": study.name, "trial": str(best.number)}
            _credit(version, credit | {SETTINGS_CHOSEN_FROM: compared(study)})
            made = {"version": version.uri, "model_id": version.model_id}
            study.optuna.set_user_attr(RETRAINED, wanted | made)
            said = f"trial {best.number} retrained: {version.uri}"
    run.set_tags({RETRAINED: said})
    return said


def _credit(version: ModelVersion, tags: Mapping[str, str]) -> None:
    client = initialise_tracking()
    for key, value in tags.items():
        client.set_model_version_tag(version.name, str(version.version), key, value)
    client.set_logged_model_tags(version.model_id, dict(tags))
