"""Flags as values: what identifies a job, and what the steps of a job take over from it."""

import dataclasses
import hashlib
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from experiments.running.places import user_path

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


def file_digest(named: object) -> str:
    """SHA-256 of the file that a flag names; empty for any other value."""
    if not isinstance(named, str) or not named or not (path := user_path(named)).is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def weights_file(config: Flags) -> dict[str, object]:
    """Tell start weights in a file by their content too: another file may take their place."""
    digest = file_digest(getattr(config, "weights", ""))
    return {"weights_sha256": digest} if digest else {}


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
