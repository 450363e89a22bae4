"""The page at the end of ``main``: what was found, as one file, three tables and figures."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from experiments.recording.modulation import FOLDER
from experiments.running import console
from experiments.running.console import say
from fundus_ml.auditing.audit import AUDIT_PAGE, Audit
from fundus_ml.data.owned_folders import read_object
from fundus_ml.errors import InputError, listed
from fundus_ml.figures import (
    auroc_by_eps,
    contact_sheet,
    figure_png,
    region_enrichment_figure,
    success_curve,
)
from fundus_ml.modulation.pictures import read_strongest
from fundus_ml.pages.template import summary_page
from fundus_ml.statistics.numerals import plain
from tracking.lineage import GALLERY
from tracking.registry import ModelVersion
from tracking.runs import Run
from tracking.stores import fetch, initialise_tracking
from tracking.ui import served, version_address

FILES = ("summary.json", "summary.html")
TITLE = "What does the network see in a retina?"
FIRST_EYES = 3
"""Eyes at the head of the page."""
SCORE_COLUMNS = ("model", "attack", "eps", "eyes", "people", "auroc", "auroc_low", "auroc_high")
CI = "95 % intervals clustered by person"
_BOUNDS = {"auroc_low": "low", "auroc_high": "high"}
METRICS = {
    "test/auroc": "clean_auroc",
    "test/robust_auroc": "robust_auroc",
    "test/auroc_of_robust": "robust_model_clean_auroc",
    "test/robust_auroc_of_clean": "clean_model_robust_auroc",
    "shortcut_baseline": "shortcut_baseline",
    "rms": "rms",
}
"""What the parent run is compared by, as its steps name it, and the names in the summary."""
PLACES = {"outside": "the frame around the eye", "background": "the ground between the vessels"}
"""Parts of a picture whose names do not say where they lie."""
HEADLINE = {
    "cue": "planted difference",
    "clean_auroc": "AUROC of the clean version",
    "shortcut_baseline": "AUROC that shortcuts reach",
    "eps": "radius of the attack (eps)",
    "robust_auroc": "AUROC of the robust version under attack",
    "clean_model_robust_auroc": "AUROC of the clean version under attack",
}
"""What the page shows large, by its name in ``summary.json``."""


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


def write_summary(
    run: Run,
    design: Design,
    audit: Audit,
    findings: Mapping[str, ModelFindings],
    folder: Path,
) -> None:
    """Write ``summary.json`` and ``summary.html`` into ``folder`` and onto the run; print both.

    Args:
        run: The parent run.
        design: What the chain was asked.
        audit: Audit of its dataset.
        findings: ``clean`` and ``robust``.
        folder: Exists and can be written.
    """
    summary = summarise(design, audit, findings)
    page = _page(design, summary, findings)
    for name, text in zip(FILES, (json.dumps(summary, indent=2) + "\n", page), strict=True):
        (folder / name).write_text(text, encoding="utf-8")
        run.log_artifact(folder / name)
    run.log_metrics({name: float(str(summary[key])) for name, key in METRICS.items()})
    console.table(_scores(findings)[list(SCORE_COLUMNS)], final=True)
    console.table(_effects(findings))
    enrichments = _enrichments(findings, design.eps)
    if not enrichments.empty:
        wide = enrichments.pivot_table(
            index="part", columns="model", values="enrichment", sort=False
        )
        console.table(wide.reset_index())
    say(conclusion_of(summary))


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


def remove_summary(folder: Path) -> None:
    """Take an older summary out of ``folder``, so that it cannot pass for a run that failed.

    Raises:
        InputError: A file of that name was not written by :func:`write_summary`.
    """
    found = [folder / name for name in FILES if os.path.lexists(folder / name)]
    if foreign := [file.name for file in found if not _is_summary(file)]:
        raise InputError(
            f"out={folder}: holds {listed(foreign)}, which main did not write and would replace; "
            "move that elsewhere or name another folder"
        )
    for file in found:
        file.unlink()


def _is_summary(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    if file.suffix == ".json":
        return set(HEADLINE) <= set(read_object(file))
    return TITLE in file.read_text(encoding="utf-8", errors="replace")


def summarise(
    design: Design, audit: Audit, findings: Mapping[str, ModelFindings]
) -> dict[str, object]:
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
        "clean_auroc_interval": [_score(clean, 0, bound) for bound in _BOUNDS],
        "robust_auroc": _score(robust, eps, "auroc"),
        "robust_auroc_interval": [_score(robust, eps, bound) for bound in _BOUNDS],
        "clean_model_robust_auroc": _score(clean, eps, "auroc"),
        "robust_model_clean_auroc": _score(robust, 0, "auroc"),
        "success_by_eps": _by_model(findings, "success"),
        "prob_target_by_eps": _by_model(findings, "prob_target"),
        "region_enrichment": {name: _enrichment(found, eps) for name, found in findings.items()},
        "seconds_per_step": {name: found.seconds_per_step for name, found in findings.items()},
        "models": {name: found.version.uri for name, found in findings.items()},
    }


def _page(
    design: Design, summary: Mapping[str, object], findings: Mapping[str, ModelFindings]
) -> str:
    scores, effects = _scores(findings), _effects(findings)
    enrichments = _enrichments(findings, design.eps)
    figures = {
        "How small a change makes the network see the other sex": (
            figure_png(success_curve(effects, size=design.size, constraint=design.constraint)),
            f"Share of eyes seen as the target, and mean P(target), by budget; bands are {CI}.",
        ),
        "What the attack leaves": (
            figure_png(auroc_by_eps(scores.rename(columns=_BOUNDS), constraint=design.constraint)),
            f"AUROC on test eyes, clean (eps 0) and under PGD; bands are {CI}.",
        ),
    }
    tables = {"Scores on test eyes": _readable_scores(scores)}
    tables["Modulation"] = _readable_effects(effects)
    if not enrichments.empty:
        planted = enrichments.assign(planted=enrichments["part"] == design.planted)
        caption = f"Share of change energy over share of area at eps {design.eps:g}, bars {CI}."
        figures["Where the change goes"] = (figure_png(region_enrichment_figure(planted)), caption)
        tables[f"Where the change goes, at eps {design.eps:g}"] = _readable_enrichments(enrichments)
    robust = findings["robust"]
    return summary_page(
        title=TITLE,
        verdict=verdict_of(summary, gate=robust.version.tags.get("robust_gate", "skipped")),
        picture=_first_eyes(robust),
        headline={name: _shown(summary[key]) for key, name in HEADLINE.items()},
        tables=tables,
        figures=figures,
        links=_links(findings),
    )


def _first_eyes(found: ModelFindings) -> tuple[bytes, str]:
    """Draw a few eyes before and after the largest budget."""
    rows, original, modulated = read_strongest(fetch(f"runs:/{found.modulated}/{FOLDER}"))
    captions = [
        f"P({row['target']}) {row['prob_target_before']:.2f} to {row['prob_target']:.2f}"
        for row in rows.to_dict("records")[:FIRST_EYES]
    ]
    sheet = contact_sheet(original[:FIRST_EYES], modulated[:FIRST_EYES], captions, columns=1)
    said = (
        f"Eyes before and after the robust version's gradient pushed them towards the other sex "
        f"within eps {rows['eps'].iloc[0]:g}, and what changed."
    )
    return figure_png(sheet), said


def _links(findings: Mapping[str, ModelFindings]) -> dict[str, str]:
    """Where to look next; what MLflow shows opens while its server runs."""
    links = {"audit of the dataset": f"dataset/{AUDIT_PAGE}"}
    client = initialise_tracking()
    for name, found in findings.items():
        evaluated, modulated = (Run(client, each) for each in (found.evaluated, found.modulated))
        gallery = modulated.page(f"artifacts/{FOLDER}/{GALLERY}")
        links |= {
            f"{name}: gallery of the eyes (while make ui runs)": served(gallery),
            f"{name}: version {found.version.uri}": version_address(found.version.uri),
            f"{name}: run that evaluated it": served(evaluated.page()),
            f"{name}: run that modulated by it": served(modulated.page()),
        }
    return links


def _readable_scores(scores: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "version": scores["model"],
            "attack": scores["attack"],
            "eps": scores["eps"].map(plain),
            "eyes": scores["eyes"],
            "people": scores["people"],
            "AUROC (95 %)": _with_interval(scores, "auroc", "auroc_low", "auroc_high"),
            "accuracy": scores["accuracy"],
            "accuracy of the commoner class": scores["majority"],
        }
    )


def _readable_effects(effects: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "version": effects["model"],
            "eps": effects["eps"].map(plain),
            "change per value (RMS)": effects["rms"],
            "eyes": effects["eyes"],
            "unchanged": effects["unchanged"],
            "seen as the target (95 %)": _with_interval(
                effects, "success", "success_low", "success_high"
            ),
            "P(target) before": effects["prob_target_before"],
            "P(target) after": effects["prob_target"],
        }
    )


def _readable_enrichments(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "version": rows["model"],
            "part": rows["part"],
            "share of the change": rows["energy_share"],
            "share of the area": rows["area_share"],
            "enrichment (95 %)": _with_interval(rows, "enrichment", "low", "high"),
        }
    )


def _with_interval(rows: pd.DataFrame, value: str, low: str, high: str) -> list[str]:
    """Write a value with its interval, on one line however narrow the window."""
    cells = zip(rows[value], rows[low], rows[high], strict=True)
    return ["{:.3f}\N{NBSP}({:.3f}\N{NBSP}to\N{NBSP}{:.3f})".format(*each) for each in cells]


def _shown(value: object) -> str:
    if value is None:
        return "not known"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _joined(frames: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(
        [frame.assign(model=name) for name, frame in frames.items()], ignore_index=True
    )


def _scores(findings: Mapping[str, ModelFindings]) -> pd.DataFrame:
    rows = _joined({name: found.scores for name, found in findings.items()})
    return rows[[*SCORE_COLUMNS, "accuracy", "majority"]]


def _effects(findings: Mapping[str, ModelFindings]) -> pd.DataFrame:
    return _joined({name: found.effect for name, found in findings.items()})


def _enrichments(findings: Mapping[str, ModelFindings], eps: float) -> pd.DataFrame:
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
