"""What a classifier scores, clean and under attack, with intervals clustered by person."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import nn

from fundus_ml.attacks import StepSize, ThreatModel, step_length
from fundus_ml.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.precision import check_precision
from fundus_ml.robust_training import PGDTraining
from fundus_ml.statistics import Interval, clustered_auroc, clustered_mean
from fundus_ml.training import Perturb, predict

CLEAN = "none"
"""The attack, and its constraint, of an unchanged image."""


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
        precision: Of the attack's passes; clean scores are fp32.
        on_step: Called with (eyes done, eyes in all), over all budgets.

    Returns:
        One row per budget and eye: ``image_id patient_id person_group split label attack
        constraint eps logit prob``; clean rows have neither attack nor constraint: ``none``.

    Raises:
        InputError: A budget is negative, or ``constraint``, ``precision`` or a step is refused.
    """
    check_precision(precision)
    attacks = {
        budget: _attack(constraint, budget, attack_steps, step_size, precision)
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
    if len(np.unique(dataset.labels)) < 2:  # noqa: PLR2004 (two sexes)
        raise InputError("holds one sex only, both are needed")
    people = dataset.frame["person_group"].to_numpy()
    clustered_auroc(dataset.labels, dataset.labels, people, resamples=resamples, seed=seed)


def scores(predicted: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Turn :func:`predictions` into one row of measures per budget.

    Args:
        predicted: Rows as :func:`predictions` returns them.
        resamples: Bootstrap resamples of people.
        seed: Of the bootstrap.

    Returns:
        ``attack constraint eps eyes people auroc auroc_low auroc_high accuracy accuracy_low
        accuracy_high majority``; ``majority`` is the accuracy of always naming the commoner sex.
    """
    rows = []
    for (attack, constraint, eps), eyes in predicted.groupby(
        ["attack", "constraint", "eps"], sort=False
    ):
        labels, people = eyes["label"].to_numpy(), eyes["person_group"].to_numpy()
        correct = (eyes["logit"].to_numpy() > 0) == (labels == 1)
        auroc = clustered_auroc(
            labels, eyes["logit"].to_numpy(), people, resamples=resamples, seed=seed
        )
        accuracy = clustered_mean(correct.astype(float), people, resamples=resamples, seed=seed)
        rows.append(
            {
                "attack": attack,
                "constraint": constraint,
                "eps": eps,
                "eyes": len(eyes),
                "people": len(np.unique(people)),
                "auroc": auroc.value,
                "auroc_low": auroc.low,
                "auroc_high": auroc.high,
                "accuracy": accuracy.value,
                "accuracy_low": accuracy.low,
                "accuracy_high": accuracy.high,
                "majority": max(labels.mean(), 1 - labels.mean()),
            }
        )
    return pd.DataFrame(rows)


def clean_auroc(table: pd.DataFrame) -> Interval:
    """Pick the AUROC without an attack out of a table of :func:`scores`."""
    row = table[table["attack"] == CLEAN].iloc[0]
    return Interval(float(row["auroc"]), float(row["auroc_low"]), float(row["auroc_high"]))


def named_metrics(table: pd.DataFrame, *, split: str) -> dict[str, float]:
    """Name the measures of :func:`scores` as runs and versions keep them.

    Returns:
        ``test_clean_auroc``, ``test_robust_auroc_eps_1`` and their ``_low`` and ``_high``,
        likewise ``accuracy``.
    """
    metrics = {}
    for row in table.to_dict("records"):
        clean = row["attack"] == CLEAN
        for measure in ("auroc", "accuracy"):
            for bound in ("", "_low", "_high"):
                name = f"{split}_{'clean' if clean else 'robust'}_{measure}"
                name += "" if clean else f"_eps_{row['eps']:g}"
                metrics[name + bound] = float(row[measure + bound])
    metrics[f"{split}_majority_accuracy"] = float(table["majority"].iloc[0])
    return metrics


def _attack(
    constraint: str, eps: float, attack_steps: int, step_size: StepSize, precision: str
) -> Perturb | None:
    if eps == 0:
        return None
    return PGDTraining(
        threat=ThreatModel(constraint=constraint, eps=eps),
        step_size=step_length(step_size, eps=eps, attack_steps=attack_steps),
        attack_steps=attack_steps,
        precision=precision,
    )
