"""Replace flags of a config by the best values that a ``tune`` run found."""

import dataclasses
import json
from typing import Protocol, TypeVar

from experiments.running.flags import Config
from fundus_ml.errors import InputError
from tracking.runs import Run
from tracking.stores import fetch

CHOSEN_FROM = "chosen_from"
"""Key of a file of tuned values: among how many trials, on which split, they did best."""


class TunableConfig(Config, Protocol):
    """A config that names a file of tuned values."""

    @property
    def tuned(self) -> str:
        """JSON file or address, or nothing."""


C = TypeVar("C", bound=TunableConfig)


def with_tuned(config: C, run: Run) -> C:
    """Return ``config`` with the values of its ``tuned`` file, or as it is without one.

    The values used are kept on the run as ``tuned_parameters.json`` and as tags ``tuned.lr`` …,
    since MLflow lets no parameter be written twice; the tag ``settings_chosen_from`` says among how
    many trials they did best.

    Raises:
        InputError: The file is missing, no JSON object, or names an unknown parameter.
    """
    if not config.tuned:
        return config
    try:
        values = json.loads(fetch(config.tuned).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"tuned={config.tuned}: not a readable JSON file ({error})") from error
    known = {field.name for field in dataclasses.fields(config)}
    if not isinstance(values, dict) or not set(values) <= known | {CHOSEN_FROM}:
        raise InputError(f"tuned={config.tuned}: must be an object with keys among {sorted(known)}")
    chosen_from = values.pop(CHOSEN_FROM, f"an unknown number, by {config.tuned}")
    run.log_json(values, "tuned_parameters.json")
    run.set_tags({"settings_chosen_from": str(chosen_from)})
    run.set_tags({f"tuned.{name}": str(value) for name, value in values.items()})
    return dataclasses.replace(config, **values)
