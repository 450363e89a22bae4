"""How ``--help`` is laid out: the flags of the entry point first, those it shares by subject."""

import dataclasses
import inspect
from argparse import Action
from collections.abc import Iterable, Mapping
from typing import Literal, get_args, get_origin

from jsonargparse import DefaultHelpFormatter


def help_formatter(config_class: type, words: Mapping[object, str]) -> type[DefaultHelpFormatter]:
    """Make the formatter of one entry point.

    Args:
        config_class: Its flags. Those it declares itself come first; those of each class it takes
            on follow under the first line of that class's docstring.
        words: What a type of flag takes, in words.
    """
    declared = _declared(config_class)
    taken = {field.name: _taken(field.type, words) for field in dataclasses.fields(config_class)}

    class ByClass(DefaultHelpFormatter):
        """Sections by the class that declares a flag."""

        def add_arguments(self, actions: Iterable[Action]) -> None:
            """Begin a section wherever another class has declared what follows."""
            sections: dict[type, list[Action]] = {owner: [] for owner in config_class.__mro__}
            for action in actions:
                sections[declared.get(action.dest, config_class)].append(action)
            for owner, shown in sections.items():
                self.end_section()
                self.start_section(_first_line(owner))  # one without flags is not shown
                super().add_arguments(sorted(shown, key=lambda action: not action.required))

        def _get_type_str(self, action: Action) -> str | None:
            return taken.get(action.dest)

    return ByClass


def usage(name: str, config_class: type) -> str:
    """Write the command with the flags that must be given."""
    required = [
        f"--{field.name} {field.name.upper()}"
        for field in dataclasses.fields(config_class)
        if field.default is field.default_factory is dataclasses.MISSING
    ]
    return " ".join([f"python -m experiments.{name}", *required, "[--FLAG VALUE ...]"])


def _declared(config_class: type) -> dict[str, type]:
    """Tell which class declares each flag; the last one that says anything of it."""
    found: dict[str, type] = {}
    for owner in reversed(config_class.__mro__):
        found |= dict.fromkeys(inspect.get_annotations(owner), owner)
    return {field.name: found[field.name] for field in dataclasses.fields(config_class)}


def _first_line(owner: type) -> str:
    return (inspect.getdoc(owner) or "").partition("\n")[0].rstrip(".").replace("`", "")


def _taken(kind: object, words: Mapping[object, str]) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(map(str, get_args(kind)))
    return words.get(kind, "text")
