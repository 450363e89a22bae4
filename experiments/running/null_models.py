"""What may stand for nothing: a network that never learned the true answer, nor did what it is of.

A network trained on shuffled labels from a start that knew the true ones still tells them apart:
its pictures show what it remembers. One that learned another real label is a null model of its own
kind, and its start may have learned that label only.
"""

from collections.abc import Sequence

from fundus_ml.data.options import OTHER_LABELS, SHUFFLED, TRUE
from fundus_ml.errors import InputError
from fundus_ml.modulation.null_distribution import null_conditions
from tracking.exposure import made_from
from tracking.registry import ModelVersion

UNLABELLED = ("vicreg", "average")
"""Recipes that learn no labels: an average is judged by the versions it is the average of."""


def check_null_model(version: ModelVersion, *, named: str) -> None:
    """Refuse a null model that learned true labels, or that comes from one that did.

    Raises:
        InputError: With the version that learned them, or that is gone so that nobody can say.
    """
    labels = learned_labels(version)
    if labels == TRUE:
        others = ", ".join(OTHER_LABELS)
        raise InputError(f"{named}: was not trained with labels={SHUFFLED} (or {others})")
    check_null_start(version, labels=labels, named=named)


def check_null_start(version: ModelVersion, *, labels: str, named: str) -> None:
    """Refuse a start of a null model that learned other labels than it, as did any ancestor.

    Args:
        version: The start.
        labels: What the null model learns: ``shuffled`` or another real label.
        named: Flag and value, for the message.

    Raises:
        InputError: As :func:`check_null_model`.
    """
    for uri, found in made_from(version).items():
        if found is None:
            raise InputError(f"{named}: comes from {uri}, which is not in the registry any more")
        learned = learned_labels(found)
        if found.tags.get("recipe") in UNLABELLED or learned == labels:
            continue
        itself = "learned" if found == version else f"comes from {uri}, which learned"
        raise InputError(
            f"{named}: {itself} {learned} labels, which a null model must never have seen; start "
            f"from a version that was trained with labels={labels}, or from weights"
        )


def check_own_starts(versions: Sequence[ModelVersion], *, flag: str) -> None:
    """Refuse one start of several null models where it learned labels: they would be alike.

    Raises:
        InputError: A version that learned labels stands twice, or two come from one that did.
    """
    seen: dict[str, str] = {}
    for version in versions:
        for uri, found in made_from(version).items():
            if found is None or found.tags.get("recipe") in UNLABELLED:
                continue
            if uri in seen:
                raise InputError(
                    f"{flag}={version.uri}: null models that share {uri}, which learned labels, "
                    "are one null model several times; name a start of its own for each"
                )
        seen |= dict.fromkeys(made_from(version), version.uri)


def learned_labels(version: ModelVersion) -> str:
    """Say which labels a version learned; versions that do not say learned the true ones."""
    return version.tags.get("labels", TRUE)


def conditions_of(versions: Sequence[ModelVersion]) -> list[str]:
    """Name the condition of each null model by what it learned, numbered where several learned it.

    Only those of shuffled labels are pooled into a null distribution.
    """
    learned = [learned_labels(version) for version in versions]
    names = {
        labels: iter(
            null_conditions(learned.count(labels))
            if labels == SHUFFLED
            else other_conditions(labels, learned.count(labels))
        )
        for labels in learned
    }
    return [next(names[labels]) for labels in learned]


def other_conditions(labels: str, networks: int) -> list[str]:
    """Name the conditions of networks that learned another real label: ``eye model``, numbered."""
    if networks == 1:
        return [f"{labels} model"]
    return [f"{labels} model {number}" for number in range(1, networks + 1)]
