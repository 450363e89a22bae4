"""What published studies found with each explanation method, beside what it finds here."""

from importlib.resources import files

import pandas as pd

from fundus_ml.imaging.regions.maps import PARTS

NONSPECIFIC = "nonspecific"
"""A study's word for no structure in particular."""
ON_RETINA = tuple(part for part in PARTS if part != "outside")
ABOVE = 1.0
"""Enrichment of a change that is spread evenly over the retina."""
COLUMNS = (
    "study", "year", "contrast", "method", "reported", "words", "found_here", "by_modulation",
    "source",
)  # fmt: skip


def published() -> pd.DataFrame:
    """Read the studies: ``study year source contrast method regions words``, one row a finding.

    ``regions`` are the parts that the study's own summary names, with semicolons between them.
    ``method`` is one of :data:`fundus_ml.attribution.METHODS` where the study used it, else
    ``soft_attention``, ``bagnet``, ``counterfactual``, ``reader`` (people measured or rated) or
    ``other`` (crops, fields of view, performance in subgroups). Most rows rest on abstracts.
    """
    with files(__package__).joinpath("literature.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)


def beside_literature(enrichment: pd.DataFrame, contrast: str) -> pd.DataFrame:
    """Set each published finding about a contrast beside what the same method finds here.

    Args:
        enrichment: One row per method and part: ``method part value low high``, the enrichment of
            the method's map within the retina with its 95 % interval.
        contrast: Name of the contrast.

    Returns:
        One row per finding: ``study year contrast method reported words found_here by_modulation
        source``. ``found_here`` names the parts whose interval lies above 1 by the study's own
        method, the densest first, ``by_modulation`` those by modulation; ``none above 1`` where
        there is none, and empty where the method was not run.
    """
    rows = published()
    rows = rows[rows["contrast"] == contrast]
    aliases = {"soft_attention": "evidence", "bagnet": "evidence"}
    found = [
        {
            **row,
            "reported": str(row["regions"]).replace(";", ", "),
            "found_here": _parts_above(enrichment, aliases.get(row["method"], row["method"])),
            "by_modulation": _parts_above(enrichment, "modulation"),
        }
        for row in rows.to_dict("records")
    ]
    return pd.DataFrame(found, columns=list(COLUMNS))


def _parts_above(enrichment: pd.DataFrame, method: str) -> str:
    own = enrichment[(enrichment["method"] == method) & enrichment["part"].isin(ON_RETINA)]
    if own.empty:
        return ""
    above = own[own["low"] > ABOVE].sort_values("value", ascending=False)
    told = [
        f"{row.part} {row.value:.1f} ({row.low:.1f} to {row.high:.1f})"
        for row in above.itertuples()
    ]
    return ", ".join(told) or "none above 1"
