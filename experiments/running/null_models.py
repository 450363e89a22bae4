"""What may stand for nothing: a network that never learned the true answer, nor did what it is of.

A network trained on shuffled labels from a start that knew the true ones still tells them apart:
its pictures show what it remembers.
"""

from fundus_ml.data.options import SHUFFLED, TRUE
from fundus_ml.errors import InputError
from tracking.exposure import made_from
from tracking.registry import ModelVersion

UNLABELLED = ("vicreg", "average")
"""Recipes that learn no labels: an average is judged by the versions it is the average of."""


def check_null_model(version: ModelVersion, *, named: str) -> None:
    """Refuse a null model that learned true labels, or that comes from one that did.

    Raises:
        InputError: With the version that learned them, or that is gone so that nobody can say.
    """
    if version.tags.get("labels") != SHUFFLED:
        raise InputError(f"{named}: was not trained with labels=shuffled")
    check_null_start(version, named=named)


def check_null_start(version: ModelVersion, *, named: str) -> None:
    """Refuse a start of a null model that learned true labels, whichever of its ancestors did.

    Raises:
        InputError: As :func:`check_null_model`.
    """
    for uri, found in made_from(version).items():
        if found is None:
            raise InputError(f"{named}: comes from {uri}, which is not in the registry any more")
        if found.tags.get("recipe") in UNLABELLED or found.tags.get("labels", TRUE) == SHUFFLED:
            continue
        itself = "learned" if found == version else f"comes from {uri}, which learned"
        raise InputError(
            f"{named}: {itself} true labels, which a null model must never have seen; start from "
            "a version that was trained with labels=shuffled, or from weights"
        )
