"""The page at the end of ``main``: a verdict, three eyes, figures, tables, where to look next."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from experiments.recording.chain_findings import (
    BOUNDS,
    Design,
    ModelFindings,
    effects_of_both,
    enrichments_of_both,
    scores_of_both,
    verdict_of,
)
from experiments.recording.modulation import FOLDER
from fundus_ml.auditing.audit import AUDIT_PAGE
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
from tracking.runs import Run
from tracking.stores import fetch, initialise_tracking
from tracking.ui import served, version_address

TITLE = "What does the network see in a retina?"
FIRST_EYES = 3
"""Eyes at the head of the page."""
CI = "95 % intervals clustered by person"
HEADLINE = {
    "cue": "planted difference",
    "clean_auroc": "AUROC of the clean version",
    "shortcut_baseline": "AUROC that shortcuts reach",
    "eps": "radius of the attack (eps)",
    "robust_auroc": "AUROC of the robust version under attack",
    "clean_model_robust_auroc": "AUROC of the clean version under attack",
}
"""What the page shows large, by its name in ``summary.json``."""


def chain_page(
    design: Design, summary: Mapping[str, Any], findings: Mapping[str, ModelFindings]
) -> str:
    """Write the page.

    Args:
        design: What the chain was asked.
        summary: From :func:`~experiments.recording.chain_findings.summarise`.
        findings: ``clean`` and ``robust``.
    """
    scores, effects = scores_of_both(findings), effects_of_both(findings)
    enrichments = enrichments_of_both(findings, design.eps)
    figures = {
        "How small a change makes the network see the other sex": (
            figure_png(success_curve(effects, size=design.size, constraint=design.constraint)),
            f"Share of eyes seen as the target, and mean P(target), by budget; bands are {CI}.",
        ),
        "What the attack leaves": (
            figure_png(auroc_by_eps(scores.rename(columns=BOUNDS), constraint=design.constraint)),
            f"AUROC on test eyes, clean (eps 0) and under PGD; bands are {CI}.",
        ),
    }
    tables = {"Scores on test eyes": _readable_scores(scores)}
    tables["Modulation"] = _readable_effects(effects)
    if not enrichments.empty:
        planted = enrichments.assign(planted=enrichments["part"] == design.planted)
        caption = (
            f"Share of the change's energy on the retina over share of the retina at eps "
            f"{design.eps:g}, bars {CI}; hollow: a sham, a place of the part's shape without it."
        )
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
            "times its sham (95 %)": [
                said if placed else "has no sham"
                for said, placed in zip(
                    _with_interval(rows, "over_sham", "over_sham_low", "over_sham_high"),
                    rows["over_sham"].notna(),
                    strict=True,
                )
            ],
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
