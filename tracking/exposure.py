"""What a version has seen, itself or through the versions it was made from."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.exceptions import MlflowException

from tracking.datasets import datasets_read
from tracking.registry import find_version
from tracking.stores import initialise_tracking
from tracking.version_files import TRAINING_EYES, checked_copy, kept_digests
from tracking.versions import DatasetVersion, ModelVersion

UNKNOWN = ""
"""Digest of a version that says none, or that is not in the registry any more."""
_NO_SUCH_RUN = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class Making:
    """What the run that made a version recorded; all empty where there is no such run.

    Attributes:
        dataset: The dataset whose digest the version carries; None where the run names none.
        metrics: Last value of each.
        tags: Tags of the run.
    """

    dataset: DatasetVersion | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def made_from(version: ModelVersion) -> dict[str, ModelVersion | None]:
    """Follow a version back to everything it was made from.

    Returns:
        Each version found, by address, ``version`` first; None where it is not in the registry
        any more, also where another one has its name and number now.
    """
    found: dict[str, ModelVersion | None] = {version.uri: version}
    waiting = list(version.parents.items())
    while waiting:
        uri, model_id = waiting.pop(0)
        if uri not in found:
            found[uri] = parent = find_version(uri, model_id)
            waiting += [] if parent is None else parent.parents.items()
    return found


def datasets_seen(version: ModelVersion) -> dict[str, str]:
    """Tell which datasets a version and everything it was made from was trained on.

    Returns:
        The ``dataset_digest`` of each version of :func:`made_from`, by address; :data:`UNKNOWN`
        where none is known.
    """
    return {
        uri: UNKNOWN if found is None else found.tags.get("dataset_digest", UNKNOWN)
        for uri, found in made_from(version).items()
    }


def making_of(version: ModelVersion) -> Making:
    """Read what the run that made a version recorded."""
    try:
        run = initialise_tracking().get_run(version.run_id)
    except MlflowException as error:
        if error.error_code not in _NO_SUCH_RUN:
            raise
        return Making()
    digest = version.tags.get("dataset_digest", UNKNOWN)
    dataset = next((each for each in datasets_read(run) if each.digest == digest), None)
    return Making(dataset, dict(run.data.metrics), dict(run.data.tags))


def download_training_eyes(version: ModelVersion, into: Path) -> Path | None:
    """Copy the table of the eyes that a version learned from into a folder.

    Returns:
        The copy; None where the version was registered without one.

    Raises:
        TrackingError: The file is not the one that was registered.
    """
    if TRAINING_EYES not in (kept_digests(version) or {}):
        return None
    with checked_copy(version, (TRAINING_EYES,)) as copy:
        return Path(shutil.copy(copy / TRAINING_EYES, into))
