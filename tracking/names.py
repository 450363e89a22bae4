"""One rule for the names of registered models, and what is registered under them."""

import re
from collections.abc import Sequence

import mlflow
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

from tracking.errors import TrackingError
from tracking.stores import initialise_tracking

LONGEST_NAME = 100
"""MLflow takes 256 characters and file systems 255 bytes, with what is put behind the name."""
NAME_PATTERN = rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}"
NAME_RULE = (
    f"1 to {LONGEST_NAME} characters out of A-Z, a-z, 0-9, '-', '_' and '.', the first no dot"
)
_NAME = re.compile(NAME_PATTERN)
_LISTED = 20


def check_model_name(name: str, *, flag: str = "register_as") -> None:
    """Refuse a name under which no model can be registered and found again.

    Args:
        name: The name of a registered model.
        flag: What the user set to it, for the line that refuses it.

    Raises:
        TrackingError: It breaks :data:`NAME_RULE`.
    """
    if _NAME.fullmatch(name) is None:
        raise TrackingError(f"{flag}={_shown(name)}: must be {NAME_RULE}")


def registered_names() -> list[str]:
    """Return the names of all registered models, sorted."""
    initialise_tracking()
    return sorted(model.name for model in mlflow.search_registered_models())


def versions_of(name: str) -> list[RegisteredVersion]:
    """Return all versions of a registered model, oldest first.

    Raises:
        TrackingError: ``name`` breaks :data:`NAME_RULE`; a quote in it would end the filter.
    """
    check_model_name(name, flag="name")
    initialise_tracking()
    found = mlflow.search_model_versions(filter_string=f"name = '{name}'")
    return sorted(found, key=lambda version: int(version.version))


def listed(names: Sequence[str]) -> str:
    """Put the first twenty names into one line; ``none yet`` where there is none."""
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return (", ".join(names[:_LISTED]) or "none yet") + more


def _shown(name: str) -> str:
    return repr(name) if len(name) <= LONGEST_NAME else f"{name[:20]!r}… ({len(name)} characters)"
