"""The card of a registered version, put together from its tags and the runs that measured it."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.recording.shortcut_baseline import BASELINE, BASELINE_BY
from fundus_ml.imaging.regions import PARTS
from fundus_ml.pages.model_card import ModelCard, Score, card_markdown, card_page
from tracking.exposure import made_from, making_of
from tracking.lineage import REPRODUCES, Measurement, attach_card, measurements_of
from tracking.registry import ModelVersion, resolve
from tracking.runs import Run

SHOWN = {
    "auroc": "AUROC, per eye",
    "auroc_per_person": "AUROC, per person",
    "auroc_within_age": "AUROC within age bands",
    "auprc": "AUPRC",
    "balanced_accuracy": "balanced accuracy at the threshold",
    "sensitivity": "sensitivity at the threshold",
    "specificity": "specificity at the threshold",
    "ece_calibrated": "calibration error (ECE)",
}
"""Measures on a card, by the name that runs keep; all at one threshold, Youden's."""
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
    card = card_of(version, measurements_of(version))
    markdown = card_markdown(card)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "card.md").write_text(markdown, encoding="utf-8")
        (Path(folder) / "card.html").write_text(card_page(card), encoding="utf-8")
        attach_card(run, version, Path(folder), markdown)


def card_of(version: ModelVersion, measured: Sequence[Measurement]) -> ModelCard:
    """Put a card together.

    Args:
        version: As it stands in the registry.
        measured: Runs that evaluated or modulated it, the oldest first.
    """
    made = making_of(version)
    tags, metrics = version.tags, made.metrics
    low, high = _classes(tags)
    contrast = tags.get("contrast", "sex")
    data = (
        f"{made.dataset.name}, {made.dataset.rows:,} eyes in all splits, "
        f"digest {made.dataset.digest[:12]}"
        if made.dataset
        else "a dataset its run does not name"
    )
    return ModelCard(
        title=f"{version.name}, version {version.version}",
        uri=version.uri,
        verdict=_verdict(contrast, tags, metrics, made.tags),
        asked=(
            f"Question: {contrast}. One fundus photograph in, the probability of {high} "
            f"against {low} out. Learned from {data}, people apart by split."
        ),
        positive=high,
        scores=_scores(metrics),
        lines=_lines(version, metrics, measured),
        limits=[*_limits(tags), *LIMITS],
    )


def _classes(tags: Mapping[str, str]) -> tuple[str, str]:
    low, _, high = tags.get("classes", "female,male").partition(",")
    return low, high


def _verdict(
    contrast: str, tags: Mapping[str, str], metrics: Mapping[str, float], run: Mapping[str, str]
) -> str:
    if tags.get("labels", "true") != "true":
        return f"A null model: it learned shuffled labels and says nothing about {contrast}."
    auroc, baseline = metrics.get("test_clean_auroc"), metrics.get(BASELINE)
    if auroc is None or baseline is None:
        return "Not measured on a test split."
    lowest = metrics.get("test_clean_auroc_low", auroc)
    by = run.get(BASELINE_BY, "what stands beside the eye")
    if lowest > baseline:
        return f"Reads {contrast} beyond what shortcuts reach ({baseline:.3f}, {by})."
    return f"Not shown to read more than shortcuts reach ({baseline:.3f}, {by})."


def _scores(metrics: Mapping[str, float]) -> list[Score]:
    rows = [
        _score(metrics, f"test_clean_{name}", shown)
        for name, shown in SHOWN.items()
        if f"test_clean_{name}" in metrics
    ]
    prefix = "test_robust_auroc_eps_"
    attacked = [
        name.removeprefix(prefix)
        for name in metrics
        if name.startswith(prefix) and not name.endswith(("_low", "_high"))
    ]
    rows += [
        _score(metrics, prefix + eps, f"AUROC under attack, eps {eps}")
        for eps in sorted(attacked, key=float)
    ]
    if BASELINE in metrics:
        rows.append(Score("shortcut baseline, AUROC", f"{metrics[BASELINE]:.3f}", "no eye is seen"))
    return rows


def _score(metrics: Mapping[str, float], name: str, shown: str) -> Score:
    low, high = metrics.get(f"{name}_low"), metrics.get(f"{name}_high")
    interval = "not measured" if low is None or high is None else f"{low:.3f} to {high:.3f}"
    return Score(shown, f"{metrics[name]:.3f}", interval)


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
    parents = [uri for uri in made_from(version) if uri != version.uri]
    if parents:
        lines["Made from"] = ", ".join(parents)
    lines["Robustness"] = _robustness(tags)
    if "temperature" in tags:
        lines["Operating point"] = (
            f"temperature {float(tags['temperature']):.3g}, {_classes(tags)[1]} above logit "
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
    auroc = next((name for name in each.metrics if name.endswith("_clean_auroc")), None)
    if auroc is None:
        return ""
    split = auroc.removesuffix("_clean_auroc")
    score = _score(each.metrics, auroc, "AUROC")
    return f"{each.dataset or 'eyes'}, split {split}: AUROC {score.value} ({score.interval})"


def _modulated(each: Measurement) -> str:
    if "success" not in each.metrics:
        return ""
    words = f"{each.metrics['success']:.0%} seen as the target at the largest budget"
    dense = {
        part: each.metrics[f"density_{part}"] for part in PARTS if f"density_{part}" in each.metrics
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
