"""What a user may ask of an adversarial training; imports nothing that takes time."""

import math

from fundus_ml.errors import InputError

METHODS = ("pgd", "fast", "free", "trades")


def check_method(method: str, *, beta: float, replays: int) -> None:
    """Refuse a method of adversarial training that there is not, or a number of it.

    Raises:
        InputError: ``method`` is none of :data:`METHODS`, or a number is outside its range.
    """
    if method not in METHODS:
        raise InputError(f"method={method}: allowed: {', '.join(METHODS)}")
    if not 0 <= beta < math.inf:
        raise InputError(f"beta={beta}: must be a finite number, 0 or more")
    if replays < 1:
        raise InputError(f"replays={replays}: must be at least 1")


def check_margin(margin: float) -> None:
    """Refuse a margin of the catastrophic-overfitting monitor that is no share.

    Raises:
        InputError: It is not above 0 and below 1.
    """
    if not 0 < margin < 1:
        raise InputError(
            f"overfitting_monitor={margin}: must be above 0 and below 1, or 0 for none"
        )


def check_eps_warmup(eps_warmup: float, *, epochs: int) -> None:
    """Refuse a warm-up that would never end.

    Raises:
        InputError: It is not from 0 to ``epochs``.
    """
    if not 0 <= eps_warmup <= epochs:
        raise InputError(f"eps_warmup={eps_warmup}: must be from 0 to epochs={epochs}")
