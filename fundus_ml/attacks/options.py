"""What a user may ask of an attack; imports nothing that takes time."""

import math
from typing import Literal, get_args

from fundus_ml.errors import InputError

CONSTRAINTS = ("l2", "linf")
Loss = Literal["margin", "ce"]
LOSSES = get_args(Loss)
Decay = Literal["none", "linear"]
DECAYS = get_args(Decay)
NATIVE = "native"
ENGINES = (NATIVE, "robustness")


def check_ball(constraint: str, eps: float) -> None:
    """Refuse a ball that no image can be moved in.

    Raises:
        InputError: ``constraint`` is none of :data:`CONSTRAINTS`, or ``eps`` no finite number, 0 or
            more.
    """
    check_constraint(constraint)
    check_radius(eps)


def check_constraint(constraint: str) -> None:
    """Refuse a name that is none of :data:`CONSTRAINTS`.

    Raises:
        InputError: It is none.
    """
    if constraint not in CONSTRAINTS:
        raise InputError(f"constraint={constraint}: allowed: {', '.join(CONSTRAINTS)}")


def check_radius(eps: float) -> None:
    """Refuse a radius that is negative or not finite.

    Raises:
        InputError: It is.
    """
    if not 0 <= eps < float("inf"):
        raise InputError(f"eps={eps}: must be a finite number, 0 or more")


def per_value_rms(constraint: str, eps: float, *, size: int) -> float:
    """Root mean square change of one of the 3·size² values, for a budget spent in full.

    >>> per_value_rms("l2", 1.0, size=128) * 255  # grey levels
    1.1502...

    Args:
        constraint: ``l2`` or ``linf``.
        eps: Radius; pixels lie in [0, 1].
        size: Side of the square images, pixels.
    """
    return eps if constraint == "linf" else eps / math.sqrt(3 * size**2)


def check_engine(attack_engine: str) -> None:
    """Refuse a name that is none of :data:`ENGINES`, before any work is done.

    Raises:
        InputError: It is none.
    """
    if attack_engine not in ENGINES:
        raise InputError(f"attack_engine={attack_engine}: allowed: {', '.join(ENGINES)}")
