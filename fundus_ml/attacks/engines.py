"""Who makes the adversarial images: our own PGD, or the library `robustness`."""

from collections.abc import Callable

from torch import Tensor

from fundus_ml.attacks.options import NATIVE, check_engine
from fundus_ml.attacks.projected_gradient import pgd


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
