"""Search spaces in files: what ``tune`` draws from, and the values it tries first."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.running.flag_values import NEVER_GIVEN
from experiments.running.flags import Config
from experiments.running.places import user_path
from fundus_ml.errors import InputError
from tracking.search_spaces import SearchSpace, check_space, extremes, outside

DEFAULTS = Path(__file__).parents[1] / "search_spaces"
START = "start"
FIXED = NEVER_GIVEN | {
    "epochs",
    "seed",
    "contrast",
    "labels",
    "method",
    "replicates",
    "attack_engine",
    "train_people",
    "bootstrap",
    "gate",
    "register_as",
    "checkpoints",
    "checkpoint_minutes",
}
"""The budget, what makes trials comparable, and flags that a trial does not read."""


@dataclass(frozen=True, kw_only=True)
class SpaceFile:
    """One file of a search space.

    Attributes:
        path: Where it lies.
        space: Range or choices by parameter.
        starts: Values known to be good, tried before any are drawn.
    """

    path: Path
    space: SearchSpace
    starts: list[dict[str, Any]]


def read_space(path: str, config: Config, *, default: str) -> SpaceFile:
    """Read a search space and hold it to the flags of the training it is for.

    Args:
        path: JSON file; the project's own one when empty.
        config: The training; each end of each range must be a value it accepts.
        default: Name of the project's own file: ``train`` or ``robustify``.

    Raises:
        InputError: The file is no JSON object, names what is no training parameter, or a value of
            it is refused by the training.
        TrackingError: An entry is neither a range nor a list of choices.
    """
    file = user_path(path) if path else DEFAULTS / f"{default}.json"
    content = _object(file)
    starts = content.pop(START, [])
    known = {field.name for field in dataclasses.fields(config)} - FIXED
    if not content or not set(content) <= known:
        raise InputError(f"space={file}: must be an object with keys among {sorted(known)}")
    check_space(content)
    for name, value in extremes(content):
        _accepted(file, config, {name: value})
    if not isinstance(starts, list) or not all(isinstance(start, dict) for start in starts):
        raise InputError(f"space={file}: {START} must be a list of objects")
    for start in starts:
        if beyond := outside(content, start):
            raise InputError(f"space={file}: {START} lies outside the space with {beyond}")
    return SpaceFile(path=file, space=content, starts=starts)


def own_values(space: SearchSpace, config: Config) -> dict[str, Any]:
    """Hand back what the flags say about the parameters of the space."""
    return {name: getattr(config, name) for name in space}


def _object(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"space={file}: not a readable JSON file ({error})") from error
    if not isinstance(content, dict):
        raise InputError(f"space={file}: must be an object of parameters")
    return content


def _accepted(file: Path, config: Config, values: dict[str, Any]) -> None:
    try:
        dataclasses.replace(config, **values)
    except (InputError, TypeError) as error:
        raise InputError(f"space={file}: {error}") from error
