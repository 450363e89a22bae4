"""Signs that a network hides its gradient instead of being robust."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from fundus_ml.robust_evaluation.attack_suite import GRADIENT_ATTACKS
from fundus_ml.robust_evaluation.options import ATTACKS
from fundus_ml.robust_evaluation.running import Attacked
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_mean

NO_BUDGET = float("inf")
"""Stands as the budget of what was asked without one."""
STALLED = 0.01
"""Largest share of the eyes that five times the steps may flip where steps are said to stall."""
TOLERANCES: Mapping[str, float] = MappingProxyType(
    {
        "gradient_vanishes": 0.02,
        "unbounded_survives": 0.01,
        "loss_flat": 0.05,
        "one_step_stronger": 0.02,
        "steps_stall": 0.05,
        "losses_disagree": 0.02,
        "black_box_stronger": 0.02,
        "larger_budget_weaker": 0.02,
    }
)
"""What the lower end of a sign's interval must lie above before it is raised."""
SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "gradient_vanishes": "of {eyes} eyes have no gradient of the cross-entropy in float32, so "
        "that attacks which follow it stand still",
        "unbounded_survives": "of {eyes} eyes keep their name under any change at all, which no "
        "attack that works would leave",
        "loss_flat": "of {eyes} eyes lie where no gradient attack made the loss rise",
        "one_step_stronger": "of {eyes} eyes more fall to one step than to many, so that the many "
        "lose their way",
        "steps_stall": "of {eyes} eyes stand against 100 steps, which flip no more than 20 do, and "
        "fall to another attack in the same ball",
        "losses_disagree": "of {eyes} eyes more fall along the logit than along the cross-entropy, "
        "whose gradients point the same way unless one has vanished",
        "black_box_stronger": "of {eyes} eyes fall to squares drawn by chance and to no gradient",
        "larger_budget_weaker": "of {eyes} eyes fall to gradients in the ball before and not in "
        "this one, which holds it",
    }
)
"""What each share is a share of; ``eyes`` are those named rightly unchanged."""


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One sign of gradient masking, raised or not.

    Attributes:
        name: One of :data:`TOLERANCES`.
        eps: Budget; inf where there was none.
        measured: Share of eyes with its 95 % interval.
        tolerance: What the lower end may not lie above.
        eyes: How many eyes were asked.
        held: Whether whatever else the sign needs holds too.
    """

    name: str
    eps: float
    measured: Interval
    tolerance: float
    eyes: int
    held: bool = True

    @property
    def raised(self) -> bool:
        """Whether the whole interval lies above the tolerance."""
        return self.held and self.measured.low > self.tolerance

    @property
    def brief(self) -> str:
        """Name and figures."""
        budget = "" if self.eps == NO_BUDGET else f" at eps {self.eps:g}"
        return f"{self.name}{budget} {self.measured:.1%}"

    def __str__(self) -> str:
        """Write the sign as a sentence with its figures."""
        return f"{self.brief} {SENTENCES[self.name].format(eyes=self.eyes)}"


def masking_signs(attacked: Attacked, *, resamples: int, seed: int) -> list[Sign]:
    """Ask an attack suite for every sign of gradient masking that its attacks can show.

    A sign is raised by the lower end of an interval clustered by person, so that few eyes raise
    none by luck. A robust network whose attacks have converged shows none: that more steps or
    queries gain nothing is no sign unless something else in the same ball gains more.

    Args:
        attacked: What an attack suite found.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        Those without a budget first, then budget by budget; none where no eye is named rightly.

    Source:
        Athalye et al. 2018, arXiv:1802.00420; Carlini et al. 2019, arXiv:1902.06705.
        The tolerances and the intervals are ours.
    """
    probes = attacked.probes.set_index("image_id")
    right = (probes["logit"] > 0) == (probes["label"] > 0)
    asked = probes[right]
    if asked.empty:
        return []

    def share_of(values: pd.Series) -> Interval:
        people = asked["person_group"]
        return clustered_mean(values.astype(float), people, resamples=resamples, seed=seed)

    def sign(name: str, eps: float, values: pd.Series, *, held: bool = True) -> Sign:
        tolerance, eyes = TOLERANCES[name], len(asked)
        share = share_of(values)
        return Sign(name=name, eps=eps, measured=share, tolerance=tolerance, eyes=eyes, held=held)

    signs = [
        sign("gradient_vanishes", NO_BUDGET, asked["ce_gradient"] == 0),
        sign("unbounded_survives", NO_BUDGET, _margins(asked, asked["unbounded"]) <= 0),
    ]
    attacks = attacked.predicted[attacked.predicted["attack"].isin(ATTACKS)]
    before: pd.Series | None = None
    for eps in sorted(attacks["eps"].unique()):
        logits = attacks[attacks["eps"] == eps].pivot_table(
            index="image_id", columns="attack", values="logit"
        )
        margins = logits.loc[asked.index].apply(lambda logit: _margins(asked, logit))
        for name, values in _shares(asked, margins, before).items():
            held = True
            if name == "steps_stall":
                held = share_of(_gain(margins <= 0)).high <= STALLED
            signs.append(sign(name, float(eps), values, held=held))
        before = _standing(margins <= 0, GRADIENT_ATTACKS)
    return signs


def raised_names(signs: Sequence[Sign]) -> str:
    """Names of the signs that are up, with commas between them; ``none`` where none is."""
    names = dict.fromkeys(sign.name for sign in signs if sign.raised)
    return ",".join(names) or "none"


def signs_table(signs: Sequence[Sign]) -> pd.DataFrame:
    """One row per sign: ``sign eps value low high tolerance eyes raised means``."""
    return pd.DataFrame(
        [
            {"sign": sign.name, "eps": sign.eps if np.isfinite(sign.eps) else None}
            | asdict(sign.measured)
            | {
                "tolerance": sign.tolerance,
                "eyes": sign.eyes,
                "raised": sign.raised,
                "means": str(sign),
            }
            for sign in signs
        ],
        columns=["sign", "eps", "value", "low", "high", "tolerance", "eyes", "raised", "means"],
    )


def _shares(
    asked: pd.DataFrame, margins: pd.DataFrame, before: pd.Series | None
) -> dict[str, pd.Series]:
    """What each sign that these attacks can show averages over the eyes."""
    stands = margins <= 0
    shares: dict[str, pd.Series] = {}
    gradients = [name for name in GRADIENT_ATTACKS if name in stands]
    if not gradients:
        return shares
    unchanged = _margins(asked, asked["logit"])
    shares["loss_flat"] = margins[gradients].max(axis=1) <= unchanged
    many = next((name for name in gradients if name.startswith("pgd")), None)
    if many is not None and "fgsm" in stands:
        shares["one_step_stronger"] = _fewer(stands[many], stands["fgsm"])
    others = [
        name for name in ATTACKS if name in stands and name not in ("fgsm", "pgd-20", "pgd-100")
    ]
    if {"pgd-20", "pgd-100"} <= set(stands) and others:
        shares["steps_stall"] = stands["pgd-100"] & ~_standing(stands, others)
    if {"apgd-ce", "apgd-margin"} <= set(stands):
        shares["losses_disagree"] = _fewer(stands["apgd-ce"], stands["apgd-margin"])
    if "square" in stands:
        shares["black_box_stronger"] = _standing(stands, gradients) & ~stands["square"]
    if before is not None:
        shares["larger_budget_weaker"] = _standing(stands, gradients) & ~before
    return shares


def _gain(stands: pd.DataFrame) -> pd.Series:
    """What 100 steps flip beyond 20."""
    return _fewer(stands["pgd-20"], stands["pgd-100"])


def _fewer(first: pd.Series, second: pd.Series) -> pd.Series:
    """1 where an eye stands against the first alone, -1 against the second alone."""
    return first.astype(float) - second.astype(float)


def _standing(stands: pd.DataFrame, attacks: Sequence[str]) -> pd.Series:
    """Who stands against every one of the attacks that were run."""
    return stands[[name for name in attacks if name in stands]].all(axis=1)


def _margins(eyes: pd.DataFrame, logit: pd.Series) -> pd.Series:
    """Logits the way they should go: above 0 an eye is named wrongly."""
    return logit * (1 - 2 * eyes["label"])
