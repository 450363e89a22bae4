"""Recipes: values of flags in a file, for what is known to work."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypeVar

import yaml

from experiments.running.console import remark
from experiments.running.flag_values import check_values, with_values
from experiments.running.flags import Config
from experiments.running.places import user_path
from fundus_ml.errors import InputError, first_line
from tracking.runs import Run

RECIPES = Path(__file__).parents[1] / "recipes"


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
    kept = _kept(config, given)
    mixed = _mixed(config, given, kept)
    decided = {name: getattr(mixed, name) for name in given}
    run.set_tags({f"recipe.{name}": str(value) for name, value in decided.items()})
    if kept:
        remark(
            f"recipe={config.recipe}: flags that keep their own value: {', '.join(sorted(kept))}"
        )
    return mixed


def in_recipe(config: C) -> C:
    """Return ``config`` as :func:`with_recipe` does, before there is a run.

    Raises:
        InputError: As :func:`with_recipe`.
    """
    if not config.recipe:
        return config
    given = _read(config)
    return _mixed(config, given, _kept(config, given))


def _mixed(config: C, given: Mapping[str, object], kept: set[str]) -> C:
    chosen = {name: value for name, value in given.items() if name not in kept}
    return with_values(config, chosen, named=f"recipe={config.recipe}")


def _kept(config: RecipeConfig, given: Mapping[str, object]) -> set[str]:
    """Flags of a recipe that keep their own value, which is not their default."""
    usual = {field.name: field.default for field in dataclasses.fields(config)}
    return {name for name in given if getattr(config, name) != usual[name]}


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
    return check_values(config, values, named=f"recipe={config.recipe}")
