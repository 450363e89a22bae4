"""How a network is measured: scored, logged, shown, compared with the shortcuts."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from torch import nn

from experiments.recording.network_gain import (
    gain_metrics,
    gain_over_shortcuts,
    gain_rows,
    log_gain,
)
from experiments.recording.options import ALL, ScoreOptions
from experiments.recording.scored_eyes import scored_eyes, words_of
from experiments.recording.scores import (
    counted,
    log_calibration,
    log_scores,
    log_subgroups,
    readable_scores,
    subgroup_columns,
    under_attack,
)
from experiments.recording.shortcut_baseline import (
    BASELINE,
    BASELINE_BY,
    against_shortcut_baseline,
    audit_of,
    over_all_eyes,
)
from experiments.running import console
from experiments.running.console import as_text, progress, remark, say
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.evaluation.calibration import Calibration, fit_calibration
from fundus_ml.evaluation.scores import (
    CLEAN,
    check_calibratable,
    check_measurable,
    clean_auroc,
    headline,
    predictions,
    scores,
)
from fundus_ml.evaluation.subgroups import apart_words, subgroup_scores
from fundus_ml.evaluation.within_age import WITHIN_AGE, auroc_within_age
from tracking.runs import Run

VALIDATION = "val"
"""The split that temperature and threshold are fitted to."""


@dataclass(frozen=True, kw_only=True)
class SplitScores:
    """What a network scored.

    Attributes:
        predicted: One row per eye and attack.
        table: One row of measures per attack.
        metrics: What runs and versions are compared by, as they name it.
        tags: Temperature and threshold, and the dataset they were fitted on.
    """

    predicted: pd.DataFrame
    table: pd.DataFrame
    metrics: dict[str, float]
    tags: dict[str, str]


def check_splits_to_score(
    dataset: FundusDataset, split: str, *, bootstrap: int, fits: bool = True
) -> None:
    """Refuse, before any work, a split that cannot be measured or a validation that fits nothing.

    Raises:
        InputError: ``split`` is empty, holds one class only or too few people; or, where the
            threshold and the temperature are to be fitted, the validation split is empty or
            holds one class only.
    """
    try:
        check_measurable(scored_eyes(dataset, split), resamples=bootstrap)
    except InputError as error:
        raise InputError(
            f"{words_of(split)} of {dataset.name} cannot be measured: {error}"
        ) from None
    if not fits:
        return
    try:
        check_calibratable(dataset.split(VALIDATION))
    except InputError as error:
        raise InputError(
            f"val split of {dataset.name} can set neither threshold nor temperature: {error}"
        ) from None


def score_split(
    run: Run,
    model: nn.Module,
    dataset: FundusDataset,
    *,
    split: str,
    options: ScoreOptions,
    name: str,
    stored: FundusDataset | None = None,
    calibration: Calibration | None = None,
    beside: Sequence[str] = (),
    beside_shortcuts: bool = False,
) -> SplitScores:
    """Score a split clean and attacked, log tables and figures, compare with the shortcut baseline.

    Args:
        run: Gets the tables, the figures and ``calibration.json``; the metrics are handed back.
        model: Maps pixels in [0, 1], or what ``stored`` holds, to ``(N,)`` logits.
        dataset: The whole dataset, on whose audit the shortcut baseline rests.
        split: The part to score: train, val, test, or all.
        options: How to score.
        name: What the figures call the network.
        stored: The validation and test eyes as ``model`` reads them, where that is not pixels.
        calibration: Temperature and threshold; fitted on the validation eyes when omitted.
        beside: Lines to say below the score.
        beside_shortcuts: Also fit the shortcuts anew, on all eyes, and say what the network adds.
    """
    read = dataset if stored is None else stored
    predicted = _predictions(model, read, split, options, eps=options.eps)
    parts = {split: predicted[predicted["attack"] == CLEAN]}
    fitted_on = "stored with the version"
    if calibration is None:
        if VALIDATION not in parts:
            parts[VALIDATION] = _predictions(model, read, VALIDATION, options, eps=())
        eyes = parts[VALIDATION]
        calibration = fit_calibration(eyes["label"], eyes["logit"])
        fitted_on = f"fitted to {len(eyes)} validation eyes of {dataset.name}"
        if split == VALIDATION:
            fitted_on += ", the ones scored here, whom both flatter"
    log_calibration(
        run, calibration, parts, fitted_on=fitted_on, scored=split, contrast=dataset.contrast
    )
    table = scores(
        predicted,
        calibration=calibration,
        resamples=options.bootstrap,
        seed=options.seed,
        of_eyes=dataset.contrast.of_eyes,
    )
    within_age = auroc_within_age(
        parts[split], dataset.frame, resamples=options.bootstrap, seed=options.seed
    )
    gain = None
    if beside_shortcuts:
        gain = gain_over_shortcuts(
            parts[split], dataset, resamples=options.bootstrap, seed=options.seed
        )
        log_gain(run, gain)
    log_scores(
        run,
        predicted,
        table,
        beside=(within_age.rows(), *([gain_rows(gain)] if gain else [])),
        name=name,
        constraint=options.constraint,
        contrast=dataset.contrast,
    )
    subgroups = subgroup_scores(
        parts[split],
        dataset.frame,
        calibration=calibration,
        resamples=options.bootstrap,
        seed=options.seed,
        people=dataset.contrast.people,
    )
    log_subgroups(run, subgroups, title=f"{name}, {words_of(split)} of {dataset.name}")
    by_age, audit = within_age.auroc, audit_of(dataset)
    if split == ALL:
        audit = over_all_eyes(audit, dataset)
    reached = against_shortcut_baseline(clean_auroc(table), audit)
    run.set_tags({BASELINE_BY: audit.shortcut_baseline_by})
    _tell(
        run,
        readable_scores(table),
        subgroups[subgroup_columns(dataset.contrast.people)],
        remarks=(
            counted(table),
            str(within_age),
            apart_words(subgroups),
            _told(calibration, fitted_on, dataset.contrast.classes[1]),
        ),
        conclusions=(
            f"{words_of(split)}: {reached}{under_attack(table)}",
            *([str(gain)] if gain else []),
            *beside,
        ),
    )
    return SplitScores(
        predicted=predicted,
        table=table,
        metrics=headline(table, split=split)
        | ({} if by_age is None else {f"{split}/{WITHIN_AGE}": by_age.value})
        | (gain_metrics(gain, split=split) if gain else {})
        | {BASELINE: audit.shortcut_baseline},
        tags=calibration.tags() | {"calibrated_on": dataset.digest},
    )


def _tell(
    run: Run,
    readable: pd.DataFrame,
    subgroups: pd.DataFrame,
    *,
    remarks: Sequence[str],
    conclusions: Sequence[str],
) -> None:
    """Print the scores and the conclusions; keep these and the subgroups as ``scores.txt``."""
    written = [as_text(readable), as_text(subgroups), *(f"{line}\n" for line in remarks)]
    written += [f"{line}\n" for line in conclusions]
    run.log_text("\n".join(written), "scores.txt")
    console.table(readable, final=True)
    console.table(subgroups)
    for line in remarks:
        remark(line)
    for line in conclusions:
        say(line)


def _predictions(
    model: nn.Module,
    dataset: FundusDataset,
    split: str,
    options: ScoreOptions,
    *,
    eps: Sequence[float],
) -> pd.DataFrame:
    with progress(split, "eye") as on_step:
        return predictions(
            model,
            scored_eyes(dataset, split),
            constraint=options.constraint,
            eps=eps,
            attack_steps=options.attack_steps,
            step_size=options.step_size,
            batch_size=options.batch_size,
            precision=options.precision,
            attack_engine=options.attack_engine,
            on_step=on_step,
        )


def _told(calibration: Calibration, fitted_on: str, called: str) -> str:
    line = (
        f"temperature {calibration.temperature:.3g}, {called} above logit "
        f"{calibration.threshold:.3g}: {fitted_on}"
    )
    if calibration.at_limit:
        line += "; the temperature stands at its limit: no finite one fits these logits"
    return line
