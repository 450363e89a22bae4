"""How a network is measured: scored, logged, shown and held against the floor, always alike."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from numpy.typing import ArrayLike
from torch import nn

from experiments.protocol.floor import against_floor, audit_of
from experiments.protocol.session import progress, show
from fundus_ml.attacks import StepSize, ThreatModel, step_length
from fundus_ml.dataset import FundusDataset
from fundus_ml.evaluation import CLEAN, clean_auroc, named_metrics, predictions, scores
from fundus_ml.figures import auroc_by_eps, roc_figure
from fundus_ml.statistics import Interval
from tracking.runs import Run


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How a network is measured; without budgets it is measured clean only."""

    constraint: str = "l2"
    """Ball of the attack: l2 or linf."""
    eps: Sequence[float] = ()
    """Budgets of the attack with commas between them; the clean score is always there."""
    attack_steps: int = 20
    """Steps of the attack."""
    step_size: StepSize = "auto"
    """Length of one attack step; auto is 2.5·eps/attack_steps."""
    batch_size: int = 32
    """Eyes per pass."""
    precision: str = "auto"
    """Of the attack's passes: auto, fp32 or bf16; scores are fp32."""
    bootstrap: int = 2000
    """Resamples of people behind each interval."""
    seed: int = 0
    """Of the bootstrap."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        for eps in self.eps:
            ThreatModel(constraint=self.constraint, eps=eps)
            step_length(self.step_size, eps=eps, attack_steps=self.attack_steps)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a network scored.

    Attributes:
        predicted: One row per eye and attack.
        table: One row of measures per attack.
        metrics: Every measure under the name that runs and versions keep.
    """

    predicted: pd.DataFrame
    table: pd.DataFrame
    metrics: dict[str, float]


def measure_split(
    run: Run, model: nn.Module, dataset: FundusDataset, *, split: str, measure: Measure, name: str
) -> Measured:
    """Score a split clean and attacked, log tables and figures, say how it stands to the floor.

    Args:
        run: Gets the table and the figures; the metrics are handed back.
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        dataset: The whole dataset, on whose audit the floor rests.
        split: The part to score.
        measure: How to measure.
        name: What the figures call the network.
    """
    with progress(split, "eye") as on_step:
        predicted = predictions(
            model,
            dataset.split(split),
            constraint=measure.constraint,
            eps=measure.eps,
            attack_steps=measure.attack_steps,
            step_size=measure.step_size,
            batch_size=measure.batch_size,
            precision=measure.precision,
            on_step=on_step,
        )
    table = scores(predicted, resamples=measure.bootstrap, seed=measure.seed)
    run.log_table(table, "scores.json")
    curves, intervals = _curves(predicted, table)
    run.log_figure(roc_figure(curves, intervals), "roc.png")
    if len(table) > 1:
        by_eps = auroc_by_eps(_by_eps(table, name), constraint=measure.constraint)
        run.log_figure(by_eps, "auroc_by_eps.png")
    show(table)
    audit = audit_of(dataset)
    sys.stdout.write(against_floor(clean_auroc(table), audit) + "\n")
    metrics = named_metrics(table, split=split) | {"shortcut_floor": audit.floor}
    return Measured(predicted=predicted, table=table, metrics=metrics)


def _curves(
    predicted: pd.DataFrame, table: pd.DataFrame
) -> tuple[dict[str, tuple[ArrayLike, ArrayLike]], dict[str, Interval]]:
    curves: dict[str, tuple[ArrayLike, ArrayLike]] = {}
    intervals: dict[str, Interval] = {}
    for row in table.to_dict("records"):
        name = "clean" if row["attack"] == CLEAN else f"PGD, eps {row['eps']:g}"
        eyes = predicted[(predicted["eps"] == row["eps"]) & (predicted["attack"] == row["attack"])]
        curves[name] = (eyes["label"].to_numpy(), eyes["logit"].to_numpy())
        intervals[name] = Interval(row["auroc"], row["auroc_low"], row["auroc_high"])
    return curves, intervals


def _by_eps(table: pd.DataFrame, model: str) -> pd.DataFrame:
    columns = {"auroc_low": "low", "auroc_high": "high"}
    return table.rename(columns=columns)[["eps", "auroc", "low", "high"]].assign(model=model)
