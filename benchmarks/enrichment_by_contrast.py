"""One table and one figure of all contrasts: where a network's change goes on real eyes.

    python -m benchmarks.enrichment_by_contrast --contrasts glaucoma amd myopia hypertensive sex

Reads ``odir_CONTRAST_where.csv`` and ``odir_CONTRAST_null_models.csv`` of ``docs/results``, kept
from runs of ``modulate`` (``studies.csv`` there has the commands), at one budget, and writes
``odir_enrichment.csv`` beside them and ``docs/pictures/real_eyes_enrichment.png``. ``found``: the
largest statistic over all parts and budgets is rarer than .05 among the null models, and the part
lies above its sham.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fundus_ml.faithfulness.known_places import KNOWN_PLACES
from fundus_ml.figures import enrichment_by_contrast_figure
from fundus_ml.figures.style import figure_png
from fundus_ml.imaging.regions.zones import RING
from fundus_ml.modulation.saliency import GRADIENT
from fundus_ml.modulation.several_networks import is_replicate

RESULTS = Path("docs/results")
PARTS = ("disc", RING, "macula", "vessels")
LEVEL = 0.05


def main(argv: Sequence[str] | None = None) -> None:
    """Write the table and the figure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--contrasts", nargs="+", required=True)
    parser.add_argument("--eps", type=float, default=0.87, help="budget, L2")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the tables")
    parser.add_argument("--pictures", type=Path, default=RESULTS.parent / "pictures")
    given = parser.parse_args(argv)
    tables = [parts_of(given.results, contrast, eps=given.eps) for contrast in given.contrasts]
    table = pd.concat(tables, ignore_index=True)
    print(table.round(3).to_string(index=False))
    file = given.results / "odir_enrichment.csv"
    table.to_csv(file, index=False, lineterminator="\n", float_format="%.4f")
    figure = enrichment_by_contrast_figure(table, parts=PARTS)
    (given.pictures / "real_eyes_enrichment.png").write_bytes(figure_png(figure))


def parts_of(folder: Path, contrast: str, *, eps: float) -> pd.DataFrame:
    """Lay out one contrast: a row per network and part, with what it is held against.

    Args:
        folder: Where the tables lie.
        contrast: As ``train`` knows it.
        eps: Budget.

    Returns:
        ``contrast part known network enrichment low high sham over_sham over_sham_p gradient
        null_models null_low null_high p p_max found``: ``known`` says whether the disease is known
        to show there; ``gradient`` is the enrichment of the first network's squared gradient, and
        null models and ranks stand beside the first network alone.
    """
    where = _at(pd.read_csv(folder / f"odir_{contrast}_where.csv"), eps)
    null = _at(pd.read_csv(folder / f"odir_{contrast}_null_models.csv"), eps).set_index("part")
    gradient = where[where["condition"] == GRADIENT].set_index("part")["enrichment"]
    own = where[where["condition"].map(is_replicate) & where["part"].isin(PARTS)]
    rows = own[["part", "enrichment", "low", "high", "sham", "over_sham", "over_sham_p"]].copy()
    rows.insert(0, "contrast", contrast)
    rows.insert(2, "known", own["part"] == KNOWN_PLACES.get(contrast))
    number = own["condition"].str.extract(r"(\d+)$", expand=False).fillna("1")
    rows.insert(3, "network", number.astype(int))
    first = rows["network"] == 1
    rows["gradient"] = rows["part"].map(gradient).where(first)
    for name in ("networks", "null_low", "null_high", "p", "p_max"):
        rows[name] = rows["part"].map(null[name]).where(first)
    rows = rows.rename(columns={"networks": "null_models"})
    told = (rows["p_max"] < LEVEL) & (rows["over_sham"] > 1) & (rows["over_sham_p"] < LEVEL)
    rows["found"] = told.astype(object).where(first)
    return rows.sort_values(["part", "network"])


def _at(table: pd.DataFrame, eps: float) -> pd.DataFrame:
    return table[(table["eps"] - eps).abs() < 1e-6]  # noqa: PLR2004 (rounding of the file)


if __name__ == "__main__":
    main()
