"""Flags that name several things, with commas between them."""

from fundus_ml.errors import InputError


def comma_list(text: str, *, flag: str = "") -> list[str]:
    """Split a list with commas: spaces around a name are no part of it, empty names are none.

    Args:
        text: What was given.
        flag: Its flag, where at least one name is needed.

    Raises:
        InputError: ``flag`` is given and nothing is named.
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if flag and not found:
        raise InputError(f"{flag}={text}: names nothing")
    return found
