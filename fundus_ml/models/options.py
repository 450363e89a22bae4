"""What a user may ask of a network; imports nothing that takes time."""

from fundus_ml.errors import InputError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
LAST = "last"
MULTISCALE = "multiscale"
GRID = "grid"
ATTENTION = "attention"
BAG = "bag"
HEADS = (LAST, MULTISCALE, GRID, ATTENTION, BAG)
LEVEL_HEADS = (MULTISCALE, GRID)
"""Heads that read several levels of resolution, pooled."""
MAP_HEADS = (ATTENTION, BAG)
"""Heads that read a map of features, and say where their evidence lies."""
BACKBONE = "backbone"
"""Value of ``freeze`` that holds all but the head and the last layer."""


def check_precision(precision: str) -> None:
    """Refuse a name that is none of :data:`PRECISIONS`, before any work is done.

    Raises:
        InputError: It is none.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision}: allowed: {', '.join(PRECISIONS)}")


def check_head(head: str, dropout: float) -> None:
    """Refuse a head that is none of :data:`HEADS`, or a share it cannot drop.

    Raises:
        InputError: It is none, or ``dropout`` is outside [0, 1) or has nothing to act on.
    """
    if head not in HEADS:
        raise InputError(f"head={head}: allowed: {', '.join(HEADS)}")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout={dropout}: must be 0 or more and below 1")
    if dropout and head == LAST:
        raise InputError(
            f"dropout={dropout}: head={head} drops nothing; pass head={', '.join(HEADS[1:-1])} or "
            f"{HEADS[-1]}"
        )
