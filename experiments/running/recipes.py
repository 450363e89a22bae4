"""Recipes: values of flags in a file, for what is known to work."""

import dataclasses
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol, TypeVar

import yaml

from experiments.running.console import remark
from experiments.running.flags import Config, parse
from experiments.running.places import user_path
from fundus_ml.errors import InputError, first_line
from tracking.runs import Run

RECIPES = Path(__file__).parents[1] / "recipes"
NOT_IN_A_RECIPE = frozenset({"recipe", "dataset", "model", "tuned", "verbose"})


class RecipeConfig(Config, Protocol):
    """A config that names a recipe."""

    @property
    def recipe(self) -> str:
        """Name of one of the project's recipes, a YAML file, or nothing."""


C = TypeVar("C", bound=RecipeConfig)


def with_recipe(config: C, run: Run) -> C:
    """Return ``config`` with the values of its recipe where its own are the defaults.

    What the recipe decided is kept on the run as tags ``recipe.lr`` …, since MLflow lets no
    parameter be written twice.

    Raises:
        InputError: No such recipe, no YAML of plain values, an unknown flag, or a value that the
            flag refuses.
    """
    if not config.recipe:
        return config
    given = _read(config)
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    own = {name: getattr(config, name) for name in usual}
    kept = {name for name, value in own.items() if value != usual[name]}
    flags = {name: value for name, value in own.items() if name in kept}
    flags |= {name: value for name, value in given.items() if name not in kept}
    try:
        mixed = parse(type(config), _as_arguments(flags), name="recipe")
    except InputError as error:
        raise InputError(f"recipe={config.recipe}: {error}") from error
    decided = {name: getattr(mixed, name) for name in given}
    run.set_tags({f"recipe.{name}": str(value) for name, value in decided.items()})
    if overridden := sorted(kept & set(given)):
        remark(f"recipe={config.recipe}: flags that keep their own value: {', '.join(overridden)}")
    return mixed


def _read(config: RecipeConfig) -> dict[str, object]:
    own = RECIPES / f"{config.recipe}.yaml"
    file = own if own.is_file() else user_path(config.recipe)
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(path.stem for path in RECIPES.glob("*.yaml")))
        raise InputError(
            f"recipe={config.recipe}: no readable file ({first_line(error)}); the project's own "
            f"are {known}"
        ) from error
    except yaml.YAMLError as error:
        raise InputError(f"recipe={config.recipe}: not YAML ({first_line(error)})") from error
    allowed = {field.name for field in dataclasses.fields(config)} - NOT_IN_A_RECIPE
    plain = isinstance(values, dict) and all(
        isinstance(value, str | int | float) for value in values.values()
    )
    if not plain:
        raise InputError(f"recipe={config.recipe}: must be lines of flag: value")
    for name in values:
        if name not in allowed:
            near = get_close_matches(str(name), sorted(allowed), 3, cutoff=0.5)
            raise InputError(
                f"recipe={config.recipe}: unknown key {name}"
                + (
                    f"; near it: {', '.join(near)}"
                    if near
                    else f"; allowed: {', '.join(sorted(allowed))}"
                )
            )
    return dict(values)


def _as_arguments(flags: dict[str, object]) -> list[str]:
    text = {name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in flags.items()}  # fmt: skip
    return [part for name, value in text.items() for part in (f"--{name}", value)]
