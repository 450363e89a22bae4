"""Replace flags of a config by the best values that a ``tune`` run found."""

import dataclasses
import json
from pathlib import Path
from typing import Protocol, TypeVar

from experiments.parameters import Config
from fundus_ml.errors import InputError


class TunableConfig(Config, Protocol):
    """A config that names a file of tuned values."""

    @property
    def tuned(self) -> str:
        """JSON file, or nothing."""


C = TypeVar("C", bound=TunableConfig)


def with_tuned(config: C) -> C:
    """Return ``config`` with the values of its ``tuned`` file, or as it is without one.

    Raises:
        InputError: The file is missing, no JSON object, or names an unknown parameter.
    """
    if not config.tuned:
        return config
    path = Path(config.tuned).expanduser()
    try:
        values = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"tuned={path}: not a readable JSON file ({error})") from error
    known = {field.name for field in dataclasses.fields(config)}
    if not isinstance(values, dict) or not set(values) <= known:
        raise InputError(f"tuned={path}: must be an object with keys among {sorted(known)}")
    return dataclasses.replace(config, **values)
