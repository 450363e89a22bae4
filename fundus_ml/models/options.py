"""What a user may ask of the arithmetic of a network; imports nothing that takes time."""

from fundus_ml.errors import InputError

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


def check_precision(precision: str) -> None:
    """Refuse a name that is none of :data:`PRECISIONS`, before any work is done.

    Raises:
        InputError: It is none.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision}: allowed: {', '.join(PRECISIONS)}")
