"""The card of a registered version, put together from its tags and the runs that measured it."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from experiments.recording.network_gain import AUROC_GAIN
from experiments.recording.shortcut_baseline import BASELINE, BASELINE_BY
from experiments.running.session import AROUND_TAG
from fundus_ml.data.manifest import SEXES
from fundus_ml.data.options import TRUE
from fundus_ml.evaluation.scores import CLEAN, score_of
from fundus_ml.evaluation.within_age import WITHIN_AGE
from fundus_ml.imaging.options import SHOWS, WHOLE
from fundus_ml.imaging.regions.maps import PARTS
from fundus_ml.pages.model_card import ModelCard, Score, card_markdown, card_page
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.numerals import plain
from tracking.errors import TrackingError
from tracking.exposure import Making, made_from, making_of
from tracking.lineage import REPRODUCES, Measurement, attach_card, measurements_of
from tracking.registry import ModelVersion, resolve
from tracking.run_tables import run_table
from tracking.runs import Run

SHOWN = {
    ("eye", "auroc"): "AUROC, per eye",
    ("person", "auroc"): "AUROC, per person",
    ("eye", WITHIN_AGE): "AUROC within age bands",
    ("person", AUROC_GAIN): "AUROC added to the shortcuts, per person",
    ("eye", "auprc"): "AUPRC",
    ("eye", "balanced_accuracy"): "balanced accuracy at the threshold",
    ("eye", "sensitivity"): "sensitivity at the threshold",
    ("eye", "specificity"): "specificity at the threshold",
    ("eye", "ece_calibrated"): "calibration error (ECE)",
}
"""Measures on a card, per eye or person; all at one threshold, Youden's."""
SCORE_COLUMNS = ("attack", "eps", "per", "measure", "value", "low", "high")
AUROC = "/auroc"
"""How the name of a run's own AUROC ends, after the split."""
LATEST = 8
"""Runs named on a card: those measured last."""
LIMITS = (
    "For research on what networks read in fundus photographs; no medical device, no diagnosis.",
    (
        "Measured on the named release only: another camera, country or clinic needs an external "
        "validation first (evaluate, split=all, calibration=version)."
    ),
)


def refresh_card(run: Run, version: ModelVersion) -> None:
    """Write the card of a version anew, as its description and as files, Markdown and HTML.

    Args:
        run: The open run that added something; gets the files under ``card``.
        version: The version.
    """
    if run.silent or run.tag(REPRODUCES):
        return
    version = resolve(version.uri)
    card = card_of(version, measurements_of(version), _scores_of(version))
    markdown = card_markdown(card)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "card.md").write_text(markdown, encoding="utf-8")
        (Path(folder) / "card.html").write_text(card_page(card), encoding="utf-8")
        attach_card(run, version, Path(folder), markdown)


def _scores_of(version: ModelVersion) -> pd.DataFrame:
    """Measures of the run that made a version; none where it, or its table, is gone."""
    try:
        return run_table("scores", run_id=version.run_id)
    except TrackingError:
        return pd.DataFrame(columns=SCORE_COLUMNS)


def card_of(
    version: ModelVersion, measured: Sequence[Measurement], scores: pd.DataFrame
) -> ModelCard:
    """Put a card together.

    Args:
        version: As it stands in the registry.
        measured: Runs that evaluated or modulated it, the oldest first.
        scores: Every measure of the run that made it, as
            :func:`fundus_ml.evaluation.scores.long_scores` lays them out.
    """
    made = making_of(version)
    tags, metrics = version.tags, made.metrics
    low, high = version.classes or SEXES
    contrast = tags.get("contrast", "sex")
    around = tags.get(AROUND_TAG, WHOLE)
    shown = "One fundus photograph" + ("" if around == WHOLE else f" ({SHOWS[around]})")
    data = (
        f"{made.dataset.name}, {made.dataset.rows:,} eyes in all splits, "
        f"digest {made.dataset.digest[:12]}"
        if made.dataset
        else "a dataset its run does not name"
    )
    return ModelCard(
        title=f"{version.name}, version {version.version}",
        uri=version.uri,
        verdict=_verdict(contrast, tags, made, scores),
        asked=(
            f"Question: {contrast}. {shown} in, the probability of {high} against {low} out. "
            f"Learned from {data}, people apart by split."
        ),
        positive=high,
        answers_photographs=around == WHOLE and tags.get("labels", TRUE) == TRUE,
        scores=_shown(scores, metrics),
        lines=_lines(version, metrics, measured),
        limits=[*_limits(tags), *LIMITS],
    )


def _verdict(contrast: str, tags: Mapping[str, str], made: Making, scores: pd.DataFrame) -> str:
    learned = tags.get("labels", TRUE)
    if learned != TRUE:
        return f"A null model: it learned {learned} labels and says nothing about {contrast}."
    if scores.empty or BASELINE not in made.metrics:
        return "Not measured on a test split."
    baseline = made.metrics[BASELINE]
    by = made.tags.get(BASELINE_BY, "what stands beside the eye")
    if score_of(scores, "auroc").low > baseline:
        return f"Reads {contrast} beyond what shortcuts reach ({baseline:.3f}, {by})."
    return f"Not shown to read more than shortcuts reach ({baseline:.3f}, {by})."


def _shown(scores: pd.DataFrame, metrics: Mapping[str, float]) -> list[Score]:
    kept = set(scores[["per", "measure"]].itertuples(index=False, name=None))
    rows = [
        _score(shown, score_of(scores, measure, per=per))
        for (per, measure), shown in SHOWN.items()
        if (per, measure) in kept
    ]
    attacked = scores.loc[scores["attack"] != CLEAN, "eps"].astype(float).unique()
    rows += [
        _score(f"AUROC under attack, eps {plain(eps)}", score_of(scores, "auroc", eps=eps))
        for eps in sorted(attacked)
    ]
    if BASELINE in metrics:
        rows.append(Score("shortcut baseline, AUROC", f"{metrics[BASELINE]:.3f}", "no eye is seen"))
    return rows


def _score(shown: str, found: Interval) -> Score:
    return Score(shown, f"{found.value:.3f}", f"{found.low:.3f} to {found.high:.3f}")


def _lines(
    version: ModelVersion, metrics: Mapping[str, float], measured: Sequence[Measurement]
) -> dict[str, str]:
    tags = version.tags
    trained = [tags.get("recipe", ""), f"labels {tags.get('labels', 'true')}"]
    if "weights" in tags:
        trained.append(f"start weights {tags['weights']}")
    if "best_epoch" in metrics:
        trained.append(f"best epoch {metrics['best_epoch']:.0f}")
    lines = {"Training": ", ".join(filter(None, trained))}
    chosen = [tags.get(f"{what}_chosen_from", "") for what in ("epoch", "settings")]
    if any(chosen):
        lines["Chosen from"] = ", ".join(filter(None, chosen))
    parents = [uri for uri in made_from(version) if uri != version.uri]
    if parents:
        lines["Made from"] = ", ".join(parents)
    lines["Robustness"] = _robustness(tags)
    if "temperature" in tags:
        _, positive = version.classes or SEXES
        lines["Operating point"] = (
            f"temperature {float(tags['temperature']):.3g}, {positive} above logit "
            f"{float(tags['threshold']):.3g} (Youden, validation eyes)"
        )
    for each in measured[-LATEST:]:
        words = _evaluated(each) or _modulated(each)
        if words:
            lines[f"{each.name} {each.run_id[:8]}"] = words
    return lines


def _robustness(tags: Mapping[str, str]) -> str:
    if "eps" not in tags:
        return "not trained against attacks: its gradients need not mean anything to an eye"
    radius = f"trained for {tags.get('constraint', '')} eps {tags['eps']}"
    if "eps_grey_levels" in tags:
        radius += f" ({tags['eps_grey_levels']} grey levels per value)"
    gate = tags.get("robust_gate", "skipped")
    reason = tags.get("robust_gate_reason", "")
    return f"{radius}; gate: {gate}" + (f" ({reason})" if reason else "")


def _evaluated(each: Measurement) -> str:
    """Say what a run scored; one that is still training from the version has no interval yet."""
    scored = (name for name in each.metrics if name.endswith(AUROC))
    auroc = next((name for name in scored if f"{name}_low" in each.metrics), None)
    if auroc is None:
        return ""
    split = auroc.removesuffix(AUROC)
    score = _score("AUROC", Interval.of(each.metrics, auroc))
    return f"{each.dataset or 'eyes'}, split {split}: AUROC {score.value} ({score.interval})"


def _modulated(each: Measurement) -> str:
    if "success" not in each.metrics:
        return ""
    words = f"{each.metrics['success']:.0%} seen as the target at the largest budget"
    # Called density up to release 0.9.0.
    dense = {
        part: each.metrics[f"{name}_{part}"]
        for name in ("density", "enrichment")
        for part in PARTS
        if f"{name}_{part}" in each.metrics
    }
    if dense:
        part = max(dense, key=dense.__getitem__)
        where = "outside the eye" if part == "outside" else f"in the {part}"
        words += f"; changes densest {where}, {dense[part]:.3g} times their area"
    if "min_norm_whole" in each.metrics:
        words += f"; median smallest change that flips an eye {each.metrics['min_norm_whole']:.3g}"
    return words


def _limits(tags: Mapping[str, str]) -> list[str]:
    if tags.get("labels", "true") != "true":
        return ["Only a control beside versions that learned true labels."]
    if tags.get("robust_gate") == "refused":
        return ["Its gate was refused: modulations by it are not evidence of where it looks."]
    return []
