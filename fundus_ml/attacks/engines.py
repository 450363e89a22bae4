"""Who makes the adversarial images: our own PGD, or the library `robustness`."""

from collections.abc import Callable

from torch import Tensor

from fundus_ml.attacks.projected_gradient import pgd
from fundus_ml.errors import InputError

NATIVE = "native"
ENGINES = (NATIVE, "robustness")


def check_engine(attack_engine: str) -> None:
    """Refuse a name that is none of :data:`ENGINES`, before any work is done.

    Raises:
        InputError: It is none.
    """
    if attack_engine not in ENGINES:
        raise InputError(f"attack_engine={attack_engine}: allowed: {', '.join(ENGINES)}")


def attack_by(attack_engine: str) -> Callable[..., Tensor]:
    """Choose :func:`fundus_ml.attacks.pgd` or what is called in the same way.

    Raises:
        InputError: No such engine.
    """
    check_engine(attack_engine)
    if attack_engine == NATIVE:
        return pgd
    from fundus_ml.attacks.robustness_engine import (  # noqa: PLC0415 (needs the library)
        robustness_pgd,
    )

    return robustness_pgd
