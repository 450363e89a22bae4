"""What this package raises for a user's mistake, and for a photograph that cannot be taken."""

import math
import unicodedata
from collections.abc import Collection, Mapping, Sequence

LARGEST_SEED = 2**32 - 1
"""What every generator in use takes."""


class InputError(ValueError):
    """A user's mistake, said in one line: what, which value, what is allowed."""


class Refused(InputError):  # noqa: N818 (says what happened to the photograph)
    """A photograph that is not taken.

    Attributes:
        reason: A short class, counted in reports: ``circle does not fit``.
        detail: What was seen on this one.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type["Refused"], tuple[str, str]]:
        """Rebuild from both texts, so that it survives the way back from a worker."""
        return type(self), (self.reason, self.detail)


def printable(text: str) -> str:
    """Put a blank for each control character, such as a line break, so that a line stays one."""
    return "".join(" " if unicodedata.category(sign) == "Cc" else sign for sign in text)


def listed(names: Sequence[str], *, shown: int = 3) -> str:
    """Write names for a message, the first ones and how many more.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d", "e"])
    ('a, b', 'a, b, c and 2 more')
    """
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest} more" if rest > 0 else "")


def refuse_outside(
    config: object,
    *,
    at_least: Mapping[str, float] | None = None,
    one_of: Mapping[str, Collection[str]] | None = None,
) -> None:
    """Refuse a config of which a field is out of range.

    Args:
        config: Holds the fields as attributes.
        at_least: Smallest value of each number; none may be infinite or no number.
        one_of: Choices of each word.

    Raises:
        InputError: The first field that is out of range, its value and the rule.
    """
    for name, least in (at_least or {}).items():
        value = getattr(config, name)
        if not least <= value < math.inf:
            raise InputError(f"{name}={value}: must be at least {least}")
    for name, allowed in (one_of or {}).items():
        word = getattr(config, name)
        if word not in allowed:
            raise InputError(f"{name}={word}: allowed: {', '.join(allowed)}")


def check_seed(seed: int) -> None:
    """Refuse a seed that some generator does not take: 0 to 4294967295 are taken by all.

    Raises:
        InputError: It lies outside.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"seed={seed}: must be from 0 to {LARGEST_SEED}")


def first_line(error: Exception) -> str:
    """What a library says of its failure, without the lines that explain it."""
    return str(error).partition("\n")[0]
