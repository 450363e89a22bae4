"""What a chain of ``main`` found: its figures, its conclusion, and the answer to its title."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pandas as pd

from fundus_ml.auditing.audit import Audit
from fundus_ml.statistics.numerals import plain
from tracking.registry import ModelVersion

SCORE_COLUMNS = ("model", "attack", "eps", "eyes", "people", "auroc", "auroc_low", "auroc_high")
BOUNDS = {"auroc_low": "low", "auroc_high": "high"}
PLACES = {"outside": "the frame around the eye", "background": "the ground between the vessels"}
"""Parts of a picture whose names do not say where they lie."""


@dataclass(frozen=True, kw_only=True)
class ModelFindings:
    """What one version scored, and what its gradient changed.

    Attributes:
        version: As registered.
        evaluated: Id of the ``evaluate`` run.
        modulated: Id of the ``modulate`` run.
        seconds_per_step: Median over its training.
        scores: Rows of ``fundus_ml.evaluation.scores.scores``.
        effect: Success and P(target) by budget, from the ``modulate`` run.
        enrichment: Enrichment by budget and part; empty where the dataset has no region maps.
    """

    version: ModelVersion
    evaluated: str
    modulated: str
    seconds_per_step: float
    scores: pd.DataFrame
    effect: pd.DataFrame
    enrichment: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class Design:
    """What was decided before anything was measured.

    Attributes:
        planted: Where the sexes of the synthetic eyes differ; None for photographs.
        size: Side of the eyes, pixels.
        constraint: Ball of the attacks.
        eps: Radius of adversarial training and evaluation.
    """

    planted: str | None
    size: int
    constraint: str
    eps: float


def summarise(
    design: Design, audit: Audit, findings: Mapping[str, ModelFindings]
) -> dict[str, Any]:
    """Collect the figures of the chain under the names that ``summary.json`` keeps.

    Args:
        design: What the chain was asked.
        audit: Audit of its dataset.
        findings: ``clean`` and ``robust``.

    Returns:
        ``shortcut_baseline`` is the AUROC below which a model has shown nothing, ``clean_auroc``
        the clean version's on clean test eyes, ``robust_auroc`` the robust version's under attack
        at ``eps``, ``clean_model_robust_auroc`` the clean version's under the same attack;
        ``region_enrichment`` is measured at budget ``eps``; ``rms`` is that budget per value of the
        image.
    """
    clean, robust, eps = findings["clean"], findings["robust"], design.eps
    return {
        "cue": design.planted,
        "size": design.size,
        "constraint": design.constraint,
        "eps": eps,
        "rms": eps / math.sqrt(3 * design.size**2),
        "shortcut_baseline": audit.shortcut_baseline,
        "shortcut_baseline_by": audit.shortcut_baseline_by,
        "clean_auroc": _score(clean, 0, "auroc"),
        "clean_auroc_interval": [_score(clean, 0, bound) for bound in BOUNDS],
        "robust_auroc": _score(robust, eps, "auroc"),
        "robust_auroc_interval": [_score(robust, eps, bound) for bound in BOUNDS],
        "clean_model_robust_auroc": _score(clean, eps, "auroc"),
        "robust_model_clean_auroc": _score(robust, 0, "auroc"),
        "success_by_eps": _by_model(findings, "success"),
        "prob_target_by_eps": _by_model(findings, "prob_target"),
        "region_enrichment": {name: _enrichment(found, eps) for name, found in findings.items()},
        "seconds_per_step": {name: found.seconds_per_step for name, found in findings.items()},
        "models": {name: found.version.uri for name, found in findings.items()},
    }


def conclusion_of(summary: Mapping[str, Any]) -> str:
    """Say in one sentence what the chain found."""
    eps = plain(summary["eps"])
    robust = summary["region_enrichment"]["robust"]
    where = "; the dataset has no region maps"
    if robust:
        part = max(robust, key=robust.__getitem__)
        planted = f" (planted: {summary['cue']})" if summary["cue"] else ""
        where = (
            f"; its changes are densest in: {part}, {robust[part]:.2g} times their area{planted}"
        )
    return (
        f"clean AUROC {summary['clean_auroc']:.3f}, shortcuts reach "
        f"{summary['shortcut_baseline']:.3f}; under attack at eps {eps} the robust version keeps "
        f"{summary['robust_auroc']:.3f}, the clean one "
        f"{summary['clean_model_robust_auroc']:.3f}{where}"
    )


def verdict_of(summary: Mapping[str, Any], *, gate: str) -> str:
    """Answer the title of the page in one sentence.

    Args:
        summary: From :func:`summarise`.
        gate: What the robustness gate said of the robust version.
    """
    low, baseline = summary["clean_auroc_interval"][0], summary["shortcut_baseline"]
    auroc = f"AUROC {summary['clean_auroc']:.3f}"
    if low <= baseline:
        return (
            f"Nothing that a shortcut would not reach: the network tells the sexes apart with "
            f"{auroc}, and its interval does not lie above {baseline:.3f}."
        )
    reads = f"the clean version tells the sexes apart with {auroc}, shortcuts reach {baseline:.3f}"
    if gate == "refused":
        return (
            f"Something that shortcuts do not reach, but its changes are no evidence of what: "
            f"{reads}; the robust version did not pass its gate."
        )
    robust = summary["region_enrichment"]["robust"]
    if not robust:
        return f"Something that shortcuts do not reach, in no known place: {reads}."
    part = max(robust, key=robust.__getitem__)
    where, planted = PLACES.get(part, f"the {part}"), summary["cue"]
    if planted == part:
        where += ", where the difference was planted"
    elif planted:
        where += f", though the difference was planted in the {planted}"
    return (
        f"Above all {where}: there the robust version's changes are {robust[part]:.2g} times as "
        f"dense as if they were spread evenly; {reads}."
    )


def _joined(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(
        [frame.assign(model=name) for name, frame in frames.items()], ignore_index=True
    )


def scores_of_both(findings: Mapping[str, ModelFindings]) -> pd.DataFrame:
    """Set the scores of all versions below each other, the column ``model`` naming them."""
    rows = _joined({name: found.scores for name, found in findings.items()})
    return rows[[*SCORE_COLUMNS, "accuracy", "majority"]]


def effects_of_both(findings: Mapping[str, ModelFindings]) -> pd.DataFrame:
    """Set the effects of all versions below each other, by budget."""
    return _joined({name: found.effect for name, found in findings.items()})


def enrichments_of_both(findings: Mapping[str, ModelFindings], eps: float) -> pd.DataFrame:
    """Set the enrichments of all versions at one budget below each other."""
    rows = _joined({name: found.enrichment for name, found in findings.items()})
    at_eps = rows[rows["eps"] == eps].reset_index(drop=True)
    return at_eps[["model", *(name for name in at_eps if name != "model")]]


def _score(found: ModelFindings, eps: float, measure: str) -> float:
    return float(found.scores.set_index("eps")[measure][eps])


def _by_model(findings: Mapping[str, ModelFindings], measure: str) -> dict[str, dict[str, float]]:
    return {
        name: {
            plain(cast("float", eps)): float(value)
            for eps, value in found.effect.set_index("eps")[measure].items()
        }
        for name, found in findings.items()
    }


def _enrichment(found: ModelFindings, eps: float) -> dict[str, float]:
    enrichment = found.enrichment
    at_eps = enrichment[enrichment["eps"] == eps].set_index("part")["enrichment"]
    return {str(part): float(value) for part, value in at_eps.items()}
