"""Search spaces: which parameters a study draws, from where, and what it begins with."""

from collections.abc import Mapping
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from tracking.errors import TrackingError

SearchSpace = Mapping[str, Mapping[str, Any]]
"""Per parameter either ``{"low": 1e-5, "high": 1e-1, "log": True}`` (``log`` and ``step`` may be
left out; two whole numbers give whole numbers) or ``{"choices": ["adamw", "sgd"]}``."""


def check_space(space: SearchSpace) -> None:
    """Refuse a search space that cannot be drawn from, before any trial begins.

    Raises:
        TrackingError: An entry is neither a range nor a list of choices, or ranges over nothing
            that its ``log`` or ``step`` allows.
    """
    for name, entry in space.items():
        if not _drawable(entry):
            raise TrackingError(
                f"search space of {name!r} is {entry!r}; must be low and high, with log or step "
                "if wanted, or a list of choices"
            )
        try:
            _distribution(entry)
        except ValueError as error:
            raise TrackingError(f"search space of {name!r} is {entry!r}; {error}") from None


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Say the space in Optuna's words."""
    return {name: _distribution(entry) for name, entry in space.items()}


def outside(space: SearchSpace, values: Mapping[str, Any]) -> dict[str, Any]:
    """Hand back those ``values`` that ``space`` could never draw, unknown names included."""
    return {
        name: value
        for name, value in values.items()
        if name not in space or not _holds(space[name], value)
    }


def extremes(space: SearchSpace) -> list[tuple[str, Any]]:
    """List every choice and both ends of every range, each with its parameter's name."""
    return [
        (name, value)
        for name, entry in space.items()
        for value in entry.get("choices", (entry.get("low"), entry.get("high")))
    ]


def _distribution(entry: Mapping[str, Any]) -> BaseDistribution:
    if "choices" in entry:
        return CategoricalDistribution(entry["choices"])
    if isinstance(entry["low"], int) and isinstance(entry["high"], int):
        return IntDistribution(**entry)
    return FloatDistribution(**entry)


def _holds(entry: Mapping[str, Any], value: object) -> bool:
    if "choices" in entry:
        return value in entry["choices"]
    return isinstance(value, int | float) and bool(entry["low"] <= value <= entry["high"])


def _drawable(entry: object) -> bool:
    match entry:
        case {"choices": [_, *_], **others}:
            return not others
        case {"low": int() | float() as low, "high": int() | float() as high, **others}:
            return low <= high and others.keys() <= {"log", "step"}
    return False
