"""How a network is scored on a split, logged, shown and compared with the shortcuts."""

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
from fundus_ml.auditing.audit import Audit
from fundus_ml.auditing.network_gain import NetworkGain
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
from fundus_ml.evaluation.within_age import WITHIN_AGE, WithinAge, auroc_within_age
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
        calibration, fitted_on = _calibrated(parts[VALIDATION], dataset, split=split)
    found = _analysed(
        predicted,
        parts[split],
        dataset,
        split=split,
        options=options,
        calibration=calibration,
        beside_shortcuts=beside_shortcuts,
    )
    log_calibration(
        run, calibration, parts, fitted_on=fitted_on, scored=split, contrast=dataset.contrast
    )
    if found.gain is not None:
        log_gain(run, found.gain)
    gained = [] if found.gain is None else [found.gain]
    log_scores(
        run,
        predicted,
        found.table,
        beside=(found.within_age.rows(), *map(gain_rows, gained)),
        name=name,
        constraint=options.constraint,
        contrast=dataset.contrast,
    )
    log_subgroups(run, found.subgroups, title=f"{name}, {words_of(split)} of {dataset.name}")
    run.set_tags({BASELINE_BY: found.audit.shortcut_baseline_by})
    reached = against_shortcut_baseline(clean_auroc(found.table), found.audit)
    _tell(
        run,
        readable_scores(found.table),
        found.subgroups[subgroup_columns(dataset.contrast.people)],
        remarks=(
            counted(found.table),
            str(found.within_age),
            apart_words(found.subgroups),
            _told(calibration, fitted_on, dataset.contrast.classes[1]),
        ),
        conclusions=(
            f"{words_of(split)}: {reached}{under_attack(found.table)}",
            *map(str, gained),
            *beside,
        ),
    )
    return SplitScores(
        predicted=predicted,
        table=found.table,
        metrics=found.metrics(split),
        tags=calibration.tags() | {"calibrated_on": dataset.digest},
    )


@dataclass(frozen=True, kw_only=True)
class _Analysis:
    """What the predictions of a split say, before anything is logged or told.

    Attributes:
        table: One row of measures per attack.
        within_age: AUROC within age bands.
        gain: What the network adds to the shortcuts, where that was asked.
        subgroups: One row per subgroup.
        audit: What shortcuts alone reach on these eyes.
    """

    table: pd.DataFrame
    within_age: WithinAge
    gain: NetworkGain | None
    subgroups: pd.DataFrame
    audit: Audit

    def metrics(self, split: str) -> dict[str, float]:
        """What runs and versions are compared by."""
        found = headline(self.table, split=split) | {BASELINE: self.audit.shortcut_baseline}
        if self.within_age.auroc is not None:
            found[f"{split}/{WITHIN_AGE}"] = self.within_age.auroc.value
        return found | (gain_metrics(self.gain, split=split) if self.gain else {})


def _analysed(
    predicted: pd.DataFrame,
    clean: pd.DataFrame,
    dataset: FundusDataset,
    *,
    split: str,
    options: ScoreOptions,
    calibration: Calibration,
    beside_shortcuts: bool,
) -> _Analysis:
    draws = {"resamples": options.bootstrap, "seed": options.seed}
    audit = audit_of(dataset)
    return _Analysis(
        table=scores(predicted, calibration=calibration, of_eyes=dataset.contrast.of_eyes, **draws),
        within_age=auroc_within_age(clean, dataset.frame, of_age=dataset.contrast.of_age, **draws),
        gain=gain_over_shortcuts(clean, dataset, **draws) if beside_shortcuts else None,
        subgroups=subgroup_scores(
            clean,
            dataset.frame,
            people=dataset.contrast.people,
            calibration=calibration,
            **draws,
        ),
        audit=over_all_eyes(audit, dataset) if split == ALL else audit,
    )


def _calibrated(
    eyes: pd.DataFrame, dataset: FundusDataset, *, split: str
) -> tuple[Calibration, str]:
    """Fit temperature and threshold to validation eyes, and say on which."""
    fitted_on = f"fitted to {len(eyes)} validation eyes of {dataset.name}"
    if split == VALIDATION:
        fitted_on += ", the ones scored here, whom both flatter"
    return fit_calibration(eyes["label"], eyes["logit"]), fitted_on


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
