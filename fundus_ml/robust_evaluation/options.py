"""Which attacks an attack suite holds, and how hard each tries; imports nothing that takes time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fundus_ml.attacks.options import check_ball, per_value_rms
from fundus_ml.errors import InputError, refuse_outside
from fundus_ml.models.options import check_precision

GREY_LEVELS = 255
LEAST_GREY_LEVELS = 0.5
"""Smallest radius that the gate asks about, per-value RMS: a network that was never made robust
passes at a fifth of it, and a change below half a grey level rounds away in an 8-bit picture."""

ATTACKS: Mapping[str, str] = MappingProxyType(
    {
        "fgsm": "one step of length eps",
        "pgd-20": "20 projected gradient steps from the image",
        "pgd-100": "100 projected gradient steps from the image",
        "apgd-ce": "steps of their own length up the cross-entropy",
        "apgd-margin": "steps of their own length up the logit",
        "square": "squares of one colour by chance, no gradient",
    }
)
"""Every attack of the attack suite; the order is that of tables and legends."""


@dataclass(frozen=True, kw_only=True)
class AttackSuite:
    """Which attacks, and how hard each tries.

    Attributes:
        constraint: ``l2`` or ``linf``.
        eps: Budgets, each above 0.
        attacks: Names among :data:`ATTACKS`.
        attack_steps: Attack steps of both APGD, and of the search for the smallest change.
        restarts: Restarts of both APGD, from random points of the ball.
        queries: Queries of Square.
        distances: Whether the smallest change that flips each eye is searched for.
        leave_solved: An eye that is named wrongly is attacked no further. The worst-case accuracy
            is the same then, and whatever ranks eyes or moves the threshold too good.
        batch_size: Eyes per pass.
        precision: Precision of the attacks' passes; what counts is scored in fp32.
        seed: Seed of random starts and of Square.

    Raises:
        InputError: A field is outside its range.
    """

    constraint: str
    eps: Sequence[float]
    attacks: Sequence[str] = tuple(ATTACKS)
    attack_steps: int = 100
    restarts: int = 3
    queries: int = 1000
    distances: bool = True
    leave_solved: bool = False
    batch_size: int = 32
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for eps in self.eps:
            check_ball(self.constraint, eps)
        if not self.eps or min(self.eps) == 0:
            raise InputError("eps: an attack suite needs a budget, each above 0")
        if unknown := set(self.attacks) - set(ATTACKS):
            raise InputError(f"attacks={unknown.pop()}: allowed: {', '.join(ATTACKS)}")
        refuse_outside(self, at_least=dict.fromkeys(("attack_steps", "restarts", "queries"), 1))
        check_precision(self.precision)


def grey_levels(constraint: str, eps: float, *, size: int) -> float:
    """Per-value RMS of a budget in grey levels of an 8-bit picture.

    Args:
        constraint: ``l2`` or ``linf``.
        eps: Radius; pixels lie in [0, 1].
        size: Side of the square images, pixels.
    """
    return GREY_LEVELS * per_value_rms(constraint, eps, size=size)


def radius_of(constraint: str, levels: float, *, size: int) -> float:
    """Budget whose per-value RMS is so many grey levels; the inverse of :func:`grey_levels`."""
    return levels / grey_levels(constraint, 1.0, size=size)


def check_gate_radius(constraint: str, eps: float, *, size: int) -> None:
    """Refuse a radius so small that standing it says nothing.

    Raises:
        InputError: It is below :data:`LEAST_GREY_LEVELS`; the line says which radius is enough.
    """
    levels = grey_levels(constraint, eps, size=size)
    if levels < LEAST_GREY_LEVELS:
        enough = radius_of(constraint, LEAST_GREY_LEVELS, size=size)
        raise InputError(
            f"eps={eps:g}: {levels:.2g} grey levels per value (RMS) at {size} px, below which the "
            f"gate asks nothing: at least {LEAST_GREY_LEVELS} (eps {enough:.3g}); gate=false asks "
            "none and gives no alias"
        )
