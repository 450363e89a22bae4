"""An attack suite as a run keeps it: tables, figure, metrics, signs of masking; the gate."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd
from torch import nn

from experiments.recording.scored_eyes import words_of
from experiments.running import console
from experiments.running.console import progress, say
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.evaluation.calibration import Calibration
from fundus_ml.evaluation.scores import (
    CLEAN,
    ROBUST_HEADLINE,
    check_measurable,
    flat,
    long_scores,
    scores,
)
from fundus_ml.figures.robustness import attack_suite_figure
from fundus_ml.robust_evaluation import (
    ATTACKS,
    WORST,
    AttackSuite,
    Sign,
    choose_people,
    edge_alignment,
    flip_curve,
    gate_suite,
    judge_robustness,
    masking_signs,
    median_distances,
    raised_names,
    run_attack_suite,
    signs_table,
)
from fundus_ml.statistics.clustered import Interval
from tracking.runs import Run

SHOWN = ("attack", "eps", "accuracy", "balanced_accuracy", "auroc", "auroc_low", "auroc_high")
FLAGS_TAG = "masking_flags"
"""Names of the signs of gradient masking that are up, or ``none``."""
NOT_IN_A_METRIC = re.compile(r"[^\w.-]+")
"""Characters of a class that no store takes in the name of a metric."""


@dataclass(frozen=True, kw_only=True)
class SuiteScores:
    """What an attack suite found.

    Attributes:
        predicted: One row per eye, attack and budget, without the clean ones.
        metrics: Under the names that runs keep.
        tags: :data:`FLAGS_TAG`.
    """

    predicted: pd.DataFrame
    metrics: dict[str, float]
    tags: dict[str, str]

    def added_to(self, predicted: pd.DataFrame) -> pd.DataFrame:
        """Append the rows of the suite to those of another measurement."""
        return pd.concat([predicted, self.predicted], ignore_index=True)


def drawn_eyes(
    eyes_of_split: FundusDataset, *, eyes: int, seed: int, resamples: int
) -> FundusDataset:
    """Draw the people whose eyes an attack suite attacks.

    Raises:
        InputError: So few that their scores would have no interval.
    """
    drawn = choose_people(eyes_of_split, eyes=eyes, seed=seed)
    try:
        check_measurable(drawn, resamples=resamples)
    except InputError as error:
        raise InputError(f"suite_eyes={eyes}: those drawn cannot be measured: {error}") from None
    return drawn


def score_suite(
    run: Run,
    model: nn.Module,
    eyes: FundusDataset,
    suite: AttackSuite,
    *,
    split: str,
    calibration: Calibration,
    resamples: int,
) -> SuiteScores:
    """Run a whole attack suite, log what it found and say it.

    Args:
        run: Gets ``attack_suite.json``, ``min_norm.json``, ``masking.json`` and
            ``attack_suite.png``.
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        eyes: To attack.
        suite: What to run.
        split: Where they come from.
        calibration: Temperature and threshold.
        resamples: Resamples of people.
    """
    with progress("suite", "eye") as on_step:
        attacked = run_attack_suite(model, eyes, suite, on_step=on_step)
    seed = suite.seed
    classes, of_eyes = eyes.contrast.classes, eyes.contrast.of_eyes
    table = scores(
        attacked.predicted,
        calibration=calibration,
        resamples=resamples,
        seed=seed,
        of_eyes=of_eyes,
    )
    signs = masking_signs(attacked, resamples=resamples, seed=seed)
    curve = flip_curve(attacked.probes, resamples=resamples, seed=seed, classes=classes)
    medians = median_distances(attacked.probes, resamples=resamples, seed=seed, classes=classes)
    run.log_table(long_scores(table), "attack_suite.json")
    run.log_table(curve, "min_norm.json")
    run.log_table(signs_table(signs), "masking.json")
    figure = attack_suite_figure(table, curve, constraint=suite.constraint, attacks=tuple(ATTACKS))
    run.log_figure(figure, "attack_suite.png")
    console.table(table[list(SHOWN)], final=True)
    _tell(signs, medians, eyes=len(eyes), split=split)
    tags = {FLAGS_TAG: raised_names(signs)}
    run.set_tags(tags)
    predicted = attacked.predicted
    return SuiteScores(
        predicted=predicted[predicted["attack"] != CLEAN],
        metrics=_metrics(table, medians, split=split) | {f"{split}/suite_eyes": float(len(eyes))},
        tags=tags,
    )


class Gated(Protocol):
    """The flags of an entry point whose version is to pass the gate."""

    @property
    def constraint(self) -> str:
        """Ball: l2 or linf."""

    @property
    def batch_size(self) -> int:
        """Eyes per pass."""

    @property
    def precision(self) -> str:
        """Precision of the attacks' passes."""

    @property
    def bootstrap(self) -> int:
        """Resamples of people."""

    @property
    def seed(self) -> int:
        """Seed of the attacks and the bootstrap."""


def ask_gate(
    run: Run, model: nn.Module, eyes: FundusDataset, config: Gated, *, eps: float
) -> tuple[bool, dict[str, str]]:
    """Attack eyes shortly, judge whether the network may be called robust at ``eps``, say it.

    Returns:
        Whether it may, and the tags ``robust_gate``, ``robust_gate_reason`` and
        :data:`FLAGS_TAG` for its version.
    """
    suite = gate_suite(
        config.constraint,
        eps,
        batch_size=config.batch_size,
        precision=config.precision,
        seed=config.seed,
    )
    with progress("gate", "eye") as on_step:
        attacked = run_attack_suite(model, eyes, suite, on_step=on_step)
    signs = masking_signs(attacked, resamples=config.bootstrap, seed=config.seed)
    run.log_table(signs_table(signs), "masking.json")
    verdict = judge_robustness(
        attacked, signs, eps=eps, resamples=config.bootstrap, seed=config.seed
    )
    tags = {
        "robust_gate": "passed" if verdict.passed else "refused",
        "robust_gate_reason": verdict.reason,
        FLAGS_TAG: raised_names(verdict.raised),
    }
    run.set_tags(tags)
    alignment = edge_alignment(
        model, eyes, batch_size=config.batch_size, resamples=config.bootstrap, seed=config.seed
    )
    run.log_metrics(alignment.metrics() | verdict.criteria[1].measured.columns("gate/worst_auroc"))
    given = "given" if verdict.passed else "refused"
    say(f"alias robust {given}: {verdict.reason}")
    say(str(alignment))
    return verdict.passed, tags


def _metrics(table: pd.DataFrame, medians: dict[str, Interval], *, split: str) -> dict[str, float]:
    """``test/worst_auroc`` at the largest budget, ``test/min_norm_median_female`` and the like."""
    largest = table[table["attack"] == WORST].sort_values("eps").iloc[-1]
    metrics = {f"{split}/worst_{name}": float(largest[name]) for name in ROBUST_HEADLINE}
    named = {
        f"{split}/min_norm_median_{NOT_IN_A_METRIC.sub('_', name)}": median
        for name, median in medians.items()
    }
    # A median beyond all that was found is infinite, which no store of metrics keeps.
    found = {name: value for name, value in flat(named).items() if abs(value) < float("inf")}
    return metrics | found


def _tell(signs: Sequence[Sign], medians: dict[str, Interval], *, eyes: int, split: str) -> None:
    lines = [f"attack suite on {eyes} eyes, {words_of(split)}"]
    for name, median in medians.items():
        lines.append(f"half of the {name} eyes are flipped by a change of {median:.3g} or less")
    raised = [sign for sign in signs if sign.raised]
    lines += [f"gradient masking: {sign}" for sign in raised] or ["no sign of gradient masking"]
    for line in lines:
        say(line)
