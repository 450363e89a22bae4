"""What a job is: every flag that decides its result, so that only the same job is gone on with."""

import dataclasses
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from dataclasses import Field


class Flags(Protocol):
    """A config dataclass."""

    __dataclass_fields__: ClassVar[dict[str, "Field[Any]"]]


def identity_of(config: Flags, *, ignoring: AbstractSet[str]) -> dict[str, object]:
    """Collect the flags of a config, without those that do not decide the result."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.name not in ignoring
    }
