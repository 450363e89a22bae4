"""What a classifier scores, clean and under attack, with intervals clustered by person."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from fundus_ml.attacks.engines import attack_by
from fundus_ml.attacks.step_sizes import StepSize, step_length
from fundus_ml.attacks.threat_models import ThreatModel
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.evaluation.calibration import UNCALIBRATED, Calibration
from fundus_ml.evaluation.metrics import MEASURES, clustered_measures
from fundus_ml.models.options import check_precision
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_auroc
from fundus_ml.statistics.numerals import plain
from fundus_ml.training.prediction import Perturb, predict

CLEAN = "none"
"""The attack, and its constraint, of an unchanged image."""
LEVELS: Mapping[str, str] = MappingProxyType({"eye": "", "person": "_per_person"})
"""What a measure counts, and how its name ends."""
BOUNDS = ("", "_low", "_high")
"""How the names of a value and of the ends of its interval end."""
HEADLINE = (
    "auroc", "auroc_low", "auroc_high", "auroc_per_person", "auprc", "balanced_accuracy",
    "ece_calibrated",
)  # fmt: skip
"""What runs are compared by: columns of :func:`scores` without an attack."""
ROBUST_HEADLINE = ("auroc", "auroc_low", "auroc_high", "balanced_accuracy")
"""The same under attack."""


def predictions(
    model: nn.Module,
    dataset: FundusDataset,
    *,
    constraint: str,
    eps: Sequence[float],
    attack_steps: int,
    step_size: StepSize,
    batch_size: int,
    precision: str = "auto",
    attack_engine: str = "native",
    on_step: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Score every eye clean and after an untargeted PGD attack at each budget.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        dataset: Eyes to score.
        constraint: ``l2`` or ``linf``.
        eps: Budgets, each scored once; 0 is the clean image and always comes first.
        attack_steps: PGD steps.
        step_size: Length of one step, or ``auto``.
        batch_size: Eyes per pass.
        precision: Precision of the attack's passes; clean scores are fp32.
        attack_engine: Who attacks: ``native`` or ``robustness``.
        on_step: Called with (eyes done, eyes in all), over all budgets.

    Returns:
        One row per budget and eye: ``image_id patient_id person_group split label attack
        constraint eps logit prob``; clean rows have neither attack nor constraint: ``none``.

    Raises:
        InputError: A budget is negative, or ``constraint``, ``precision``, ``attack_engine`` or a
            step is refused.
    """
    check_precision(precision)
    attacks = {
        budget: _attack(
            budget,
            attack_engine=attack_engine,
            constraint=constraint,
            attack_steps=attack_steps,
            step_size=step_size,
            precision=precision,
        )
        for budget in (0.0, *eps)
    }
    scored = []
    for place, (budget, perturb) in enumerate(attacks.items()):

        def advance(done: int, total: int, place: int = place) -> None:
            if on_step is not None:
                on_step(place * total + done, len(attacks) * total)

        logit = predict(
            model,
            dataset,
            batch_size=batch_size,
            precision="fp32",
            perturb=perturb,
            on_step=advance,
        )
        identity = dataset.frame[["image_id", "patient_id", "person_group", "split", "label"]]
        scored.append(
            identity.reset_index(drop=True).assign(
                attack=CLEAN if perturb is None else "pgd",
                constraint=CLEAN if perturb is None else constraint,
                eps=budget,
                logit=logit.numpy(),
                prob=torch.sigmoid(logit).numpy(),
            )
        )
    return pd.concat(scored, ignore_index=True)


def check_measurable(dataset: FundusDataset, *, resamples: int, seed: int = 0) -> None:
    """Refuse eyes whose AUROC would have no interval, before any work goes into scoring them.

    Raises:
        InputError: One sex only, or so few people that resamples often lack one.
    """
    people = per_person(dataset.frame.assign(logit=0.0), of_eyes=dataset.contrast.of_eyes)
    if min(len(np.unique(dataset.labels)), people["label"].nunique()) < 2:  # noqa: PLR2004
        raise InputError("holds one class only, both are needed")
    for judged in (dataset.frame, people):
        labels = judged["label"].to_numpy()
        clustered_auroc(labels, labels, judged["person_group"], resamples=resamples, seed=seed)


def check_calibratable(dataset: FundusDataset) -> None:
    """Refuse eyes to which neither temperature nor threshold can be fitted.

    Raises:
        InputError: They are of one class only.
    """
    if len(np.unique(dataset.labels)) < 2:  # noqa: PLR2004 (two classes)
        raise InputError("holds one class only, both are needed")


def per_person(eyes: pd.DataFrame, *, of_eyes: bool = False) -> pd.DataFrame:
    """Take a person's logit to be the mean over their eyes.

    Args:
        eyes: Columns ``person_group label logit``, one row per eye.
        of_eyes: Both eyes of a person may differ, as in a finding.

    Returns:
        ``person_group label logit``, one row per person; those whose eyes disagree are left out,
        for they have no label, or, with ``of_eyes``, have a row for either label.
    """
    if of_eyes:
        both = eyes.groupby(["person_group", "label"], sort=False)["logit"].mean()
        return both.reset_index()
    people = eyes.groupby("person_group", sort=False)
    table = people.agg(label=("label", "min"), other=("label", "max"), logit=("logit", "mean"))
    known = table[table["label"] == table["other"]]
    return known.reset_index()[["person_group", "label", "logit"]]


def scores(
    predicted: pd.DataFrame,
    *,
    resamples: int,
    seed: int,
    calibration: Calibration = UNCALIBRATED,
    of_eyes: bool = False,
) -> pd.DataFrame:
    """Turn :func:`predictions` into one row of measures per budget.

    Args:
        predicted: Rows as :func:`predictions` returns them.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.
        calibration: Temperature and threshold, fitted on other eyes; the same for eyes and people.
        of_eyes: As in :func:`per_person`.

    Returns:
        ``attack constraint eps eyes people contradicting majority`` and, for each of
        :data:`fundus_ml.evaluation.metrics.MEASURES` per eye and, ending in ``_per_person``,
        per person: its value, ``_low`` and ``_high``. ``majority`` is the accuracy of always
        naming the commoner class; ``contradicting`` counts the people of both classes, whom
        only the measures per eye hold.
    """
    rows = []
    for (attack, constraint, eps), eyes in predicted.groupby(
        ["attack", "constraint", "eps"], sort=False
    ):
        people = per_person(eyes, of_eyes=of_eyes)
        second = eyes["label"].mean()
        row = {
            "attack": attack,
            "constraint": constraint,
            "eps": eps,
            "eyes": len(eyes),
            "people": eyes["person_group"].nunique(),
            "contradicting": eyes["person_group"].nunique() - people["person_group"].nunique(),
            "majority": max(second, 1 - second),
        }
        for ending, judged in zip(LEVELS.values(), (eyes, people), strict=True):
            found = clustered_measures(
                judged["label"],
                judged["logit"],
                judged["person_group"],
                calibration=calibration,
                resamples=resamples,
                seed=seed,
            )
            row |= flat(found, ending=ending)
        rows.append(row)
    return pd.DataFrame(rows)


def flat(found: Mapping[str, Interval], *, ending: str = "") -> dict[str, float]:
    """Spread intervals over columns ``auroc auroc_low auroc_high auprc`` and so on."""
    return {
        f"{name}{ending}{bound}": value
        for name, interval in found.items()
        for bound, value in zip(BOUNDS, astuple(interval), strict=True)
    }


def long_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Turn a table of :func:`scores` into one row per attack, level and measure.

    Returns:
        ``attack constraint eps per measure value low high count``; ``per`` is ``eye`` or
        ``person``, and ``count`` how many of them.
    """
    rows = [
        {key: row[key] for key in ("attack", "constraint", "eps")}
        | {"per": per, "measure": measure}
        | {
            name: row[f"{measure}{ending}{bound}"]
            for name, bound in zip(("value", "low", "high"), BOUNDS, strict=True)
        }
        | {"count": row["eyes"] if per == "eye" else row["people"] - row["contradicting"]}
        for row in table.to_dict("records")
        for per, ending in LEVELS.items()
        for measure in MEASURES
    ]
    return pd.DataFrame(rows)


def clean_auroc(table: pd.DataFrame) -> Interval:
    """Pick the AUROC without an attack out of a table of :func:`scores`."""
    row = table[table["attack"] == CLEAN].iloc[0]
    return Interval.of(row, "auroc")


def headline(table: pd.DataFrame, *, split: str) -> dict[str, float]:
    """Pick what runs and versions are compared by; every measure stands in :func:`long_scores`.

    Returns:
        :data:`HEADLINE` of clean eyes as ``test/auroc`` and so on; where there were attacks
        :data:`ROBUST_HEADLINE` at the largest budget, as ``test/robust_auroc``.
    """
    clean = table[table["attack"] == CLEAN]
    metrics = {f"{split}/{name}": float(clean[name].iloc[0]) for name in HEADLINE}
    attacked = table[table["attack"] != CLEAN].sort_values("eps")
    if len(attacked):
        largest = attacked.iloc[-1]
        metrics |= {f"{split}/robust_{name}": float(largest[name]) for name in ROBUST_HEADLINE}
    return metrics


def score_of(rows: pd.DataFrame, measure: str, *, eps: float = 0, per: str = "eye") -> Interval:
    """Read one measure back from rows of :func:`long_scores`.

    Args:
        rows: One or more budgets.
        measure: One of :data:`fundus_ml.evaluation.metrics.MEASURES`.
        eps: Budget of the attack; 0 is the score of clean eyes.
        per: eye or person.

    Raises:
        InputError: No such row.
    """
    near = np.isclose(rows["eps"].astype(float), eps)
    found = rows[near & rows["measure"].eq(measure) & rows["per"].eq(per)]
    if found.empty:
        raise InputError(f"scores hold no {measure} per {per} at eps {plain(eps)}")
    return Interval(*(float(found[column].iloc[0]) for column in ("value", "low", "high")))


def _attack(
    eps: float,
    *,
    attack_engine: str,
    constraint: str,
    attack_steps: int,
    step_size: StepSize,
    precision: str,
) -> Perturb | None:
    attack = attack_by(attack_engine)
    if eps == 0:
        return None
    threat = ThreatModel(constraint=constraint, eps=eps)
    length = step_length(step_size, eps=eps, attack_steps=attack_steps)

    def perturb(
        model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> Tensor:
        return attack(
            model,
            images,
            labels,
            threat=threat,
            step_size=length,
            attack_steps=attack_steps,
            precision=precision,
            generator=generator,
        )

    return perturb
