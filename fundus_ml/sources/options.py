"""Which releases a user may name; imports nothing that takes time."""

from fundus_ml.errors import InputError

NOT_HEALTHY = "not healthy"
"""Reason for which an eye is refused that a release does not call healthy."""
SOURCES = ("synthetic", "odir", "brset", "mbrset", "papila", "folder")


def check_source(source: str) -> None:
    """Refuse a release that nothing here reads.

    Raises:
        InputError: ``source`` is none of :data:`SOURCES`.
    """
    if source not in SOURCES:
        raise InputError(f"source={source}: allowed: {', '.join(SOURCES)}")
