"""Flags as values: what identifies a job, and what the steps of a job take over from it."""

import dataclasses
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

if TYPE_CHECKING:
    from dataclasses import Field


class Flags(Protocol):
    """A config dataclass."""

    __dataclass_fields__: ClassVar[dict[str, "Field[Any]"]]


C = TypeVar("C", bound=Flags)


def identity_of(config: Flags, *, ignoring: AbstractSet[str]) -> dict[str, object]:
    """Collect the flags of a config, without those that do not decide the result."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name not in ignoring
    }


def adopted(config: Flags, config_class: type[C], **own: object) -> C:
    """Make the config of a step from the flags of the same name in the config of the whole.

    Args:
        config: Flags of the whole.
        config_class: Class of the step's config.
        own: Flags of the step that have another value, or no namesake.
    """
    names = {field.name for field in dataclasses.fields(config)}
    shared = [each.name for each in dataclasses.fields(config_class) if each.name in names]
    return config_class(**{name: getattr(config, name) for name in shared} | own)
