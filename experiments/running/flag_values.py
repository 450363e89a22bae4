"""Values of flags that a file gives: a recipe, or what a search found to do best."""

import dataclasses
from difflib import get_close_matches
from typing import TypeVar

from experiments.running.flags import Config, parse
from fundus_ml.errors import InputError

NEVER_GIVEN = frozenset({"recipe", "dataset", "model", "tuned", "verbose"})
"""Flags that no file decides: what is worked on, and where the values come from."""
C = TypeVar("C", bound=Config)


def check_values(config: Config, values: object, *, named: str) -> dict[str, object]:
    """Hand back the values of a file as flags of ``config``.

    Args:
        config: Whose flags they are.
        values: What the file holds.
        named: Flag and file, which begin the message.

    Raises:
        InputError: Not plain values by name, or an unknown name.
    """
    allowed = sorted({field.name for field in dataclasses.fields(config)} - NEVER_GIVEN)
    if not isinstance(values, dict) or not all(
        isinstance(value, str | int | float) for value in values.values()
    ):
        raise InputError(f"{named}: must be flags and their values")
    for name in values:
        if name not in allowed:
            near = get_close_matches(str(name), allowed, 3, cutoff=0.5)
            hint = f"near it: {', '.join(near)}" if near else f"allowed: {', '.join(allowed)}"
            raise InputError(f"{named}: unknown key {name}; {hint}")
    return dict(values)


def with_values(config: C, values: dict[str, object], *, named: str) -> C:
    """Replace flags, each read as it would be from the command line.

    Raises:
        InputError: A flag refuses its value.
    """
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    own = {name: getattr(config, name) for name in usual}
    flags = {name: value for name, value in own.items() if value != usual[name]} | values
    try:
        return parse(type(config), _as_arguments(flags), name="recipe")
    except InputError as error:
        raise InputError(f"{named}: {error}") from error


def _as_arguments(flags: dict[str, object]) -> list[str]:
    text = {name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in flags.items()}  # fmt: skip
    return [part for name, value in text.items() for part in (f"--{name}", value)]
