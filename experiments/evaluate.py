"""Entry point ``evaluate``: what a registered version scores, clean and under attack.

Every eye of the split is scored clean and after an untargeted PGD attack at each budget. Measures
come with 95 % intervals clustered by person, and beside the accuracy of naming the commoner sex.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from numpy.typing import ArrayLike

from experiments.protocol.floor import against_floor, audit_of
from experiments.protocol.parameters import Numbers, StepLength, run_entry_point
from experiments.protocol.session import progress, read_dataset, read_model, show
from fundus_ml.attacks import ThreatModel, step_length
from fundus_ml.evaluation import (
    CLEAN,
    check_measurable,
    clean_auroc,
    named_metrics,
    predictions,
    scores,
)
from fundus_ml.figures import auroc_by_eps, roc_figure
from fundus_ml.statistics import Interval
from tracking.results import record_predictions
from tracking.runs import Run


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Flags of ``evaluate``."""

    dataset: str
    """Dataset folder, or several with commas between them."""
    model: str = "models:/fundus-sex@robust"
    """Registered version to measure."""
    split: str = "test"
    """Split to score: train, val or test."""
    constraint: str = "l2"
    """Ball of the attack: l2 or linf."""
    eps: Numbers = Numbers("3")  # noqa: RUF009 (immutable)
    """Budgets of the attack with commas between them; the clean score is always there."""
    attack_steps: int = 20
    """Steps of the attack."""
    step_size: StepLength = "auto"
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


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("evaluate", EvaluateConfig, evaluate, argv)


def evaluate(config: EvaluateConfig, run: Run) -> pd.DataFrame:
    """Score a split clean and attacked, record every prediction and the measures."""
    whole = read_dataset(run, config.dataset, context="evaluate")
    dataset = whole.split(config.split)
    check_measurable(dataset, resamples=config.bootstrap)
    classifier, version = read_model(run, config.model)
    with progress("evaluate", "eye") as on_step:
        predicted = predictions(
            classifier,
            dataset,
            constraint=config.constraint,
            eps=config.eps,
            attack_steps=config.attack_steps,
            step_size=config.step_size,
            batch_size=config.batch_size,
            precision=config.precision,
            on_step=on_step,
        )
    table = scores(predicted, resamples=config.bootstrap, seed=config.seed)
    record_predictions(predicted.assign(dataset_digest=dataset.digest), run=run, model=version)
    run.log_metrics(named_metrics(table, split=config.split))
    run.log_table(table, "scores.json")
    curves, intervals = _curves(predicted, table)
    run.log_figure(roc_figure(curves, intervals), "roc.png")
    run.log_figure(
        auroc_by_eps(_by_eps(table, version.uri), constraint=config.constraint), "auroc_by_eps.png"
    )
    show(table)
    audit = audit_of(whole)
    run.log_metrics({"shortcut_floor": audit.floor})
    sys.stdout.write(against_floor(clean_auroc(table), audit) + "\n")
    return table


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


if __name__ == "__main__":
    main()
