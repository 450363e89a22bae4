"""Replace flags of a config by the best values that a ``tune`` run found."""

import json
from typing import Protocol, TypeVar

from experiments.running.flag_values import check_values, with_values
from experiments.running.flags import Config
from fundus_ml.errors import InputError, first_line
from tracking.runs import Run
from tracking.stores import fetch

TUNED_FOR = "tuned_for"
"""Key of a file of tuned values: the entry point whose flags they are."""
CHOSEN_FROM = "chosen_from"
"""Key of a file of tuned values: among how many trials, on which split, they did best."""


class TunableConfig(Config, Protocol):
    """A config that names a file of tuned values."""

    @property
    def tuned(self) -> str:
        """JSON file or address, or nothing."""


C = TypeVar("C", bound=TunableConfig)


def with_tuned(config: C, run: Run, *, entry_point: str) -> C:
    """Return ``config`` with the values of its ``tuned`` file, or as it is without one.

    The values used are kept on the run as ``tuned_parameters.json`` and as tags ``tuned.lr`` …,
    since MLflow lets no parameter be written twice; the tag ``settings_chosen_from`` says among how
    many trials they did best.

    Raises:
        InputError: The file is missing, no JSON object, was tuned for another entry point, names an
            unknown flag, or a value that the flag refuses.
    """
    if not config.tuned:
        return config
    named = f"tuned={config.tuned}"
    try:
        found = json.loads(fetch(config.tuned).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{named}: not a readable JSON file ({first_line(error)})") from error
    chosen_from = f"an unknown number, by {config.tuned}"
    if isinstance(found, dict):
        chosen_from = found.pop(CHOSEN_FROM, chosen_from)
        if (whom := found.pop(TUNED_FOR, entry_point)) != entry_point:
            raise InputError(f"{named}: was tuned for {whom}, not for {entry_point}")
    values = check_values(config, found, named=named)
    replaced = with_values(config, values, named=named)
    run.log_json(values, "tuned_parameters.json")
    run.set_tags({"settings_chosen_from": str(chosen_from)})
    run.set_tags({f"tuned.{name}": str(value) for name, value in values.items()})
    return replaced
