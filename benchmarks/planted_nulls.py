"""Is a planted part found against 20 null models of its own eyes, and nothing where none is?

    python -m benchmarks.planted_nulls --seeds 5 --first_seed 20 --out planted --csv planted.csv

Cells (:mod:`benchmarks.planted_cells`) that stand in ``--out`` are not made again, null models of
a cell neither; ``--cells 1`` makes one more and stops, ``--cells 0`` only reads. One row per
finished cell. ``part`` is the planted one, with cue none the one of least p. ``p`` is its rank
among the null models at its best budget alone, ``p_max`` against their largest statistic over six
parts and three budgets, ``found`` all parts with p_max < .05, ``found_shams`` all shams.
``over_sham`` is the part's enrichment over its sham's at that budget, ``null_over_sham`` the null
models' median, and ``nulls_told`` how many null models are told from their shams (p < .05, above
it): a network that learned nothing may like a place too. ``gradient_*`` says the same
of the squared gradient of each network at the unchanged eye, and ``minus_gradient`` is the mean
over eyes of the logarithm of the modulation's share of energy in the part less that of the squared
gradient.
``rms_over_sham`` is the part's confined minimal perturbation per value over its sham's, and
``by_share`` the median over eyes of confined norm * sqrt(share of the squared gradient) / free
norm: 1 where the confined norm says what the share of the gradient says already.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.planted_cells import (
    OWN,
    Cell,
    add_flags,
    make_cell,
    painted_people,
    spec_of,
    test_eyes,
)
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.imaging.regions.energy_shares import PartAreas
from fundus_ml.imaging.regions.maps import PARTS, REGION_FLAGS
from fundus_ml.imaging.regions.shams import SHAMMED, sham_regions
from fundus_ml.models.classifiers import make_classifier
from fundus_ml.modulation import ModulationOptions, minimal_perturbations
from fundus_ml.modulation.confined_budgets import confined_table
from fundus_ml.modulation.control_table import MODULATION
from fundus_ml.modulation.localisation import LEAST_SHARE, enrichment_by_condition
from fundus_ml.modulation.null_distribution import (
    SHAM,
    null_conditions,
    null_table,
    rank_pvalues,
)
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.sign_flips import paired_means
from fundus_ml.synthesis.options import CUES

LEVEL = 0.05
Floats = NDArray[np.float64]


def main() -> None:
    """Make the cells, then print and keep what was found where."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("planted"))
    parser.add_argument("--cues", nargs="+", choices=CUES, default=list(CUES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first_seed", type=int, default=20)
    parser.add_argument("--cells", type=int, default=-1, help="to make at most; -1 is all")
    parser.add_argument("--csv", type=Path)
    add_flags(parser)
    given = parser.parse_args()
    cells = [
        Cell(folder=given.out / f"{cue}-{seed}", cue=cue, seed=seed, given=given)
        for seed in range(given.first_seed, given.first_seed + given.seeds)
        for cue in given.cues
    ]
    for made, cell in enumerate(cell for cell in cells if not cell.finished):
        if made == given.cells:
            break
        make_cell(cell)
    rows = pd.DataFrame([verdict(cell) for cell in cells if cell.finished])
    print(rows.T.to_string())
    if given.csv and len(rows):
        rows.to_csv(given.csv, index=False, lineterminator="\n", float_format="%.4g")


def verdict(cell: Cell) -> dict[str, object]:
    """Say of one cell whether the planted part stands out, and whether anything else does."""
    eyes = test_eyes(cell, painted_people(cell))
    everyone = np.arange(len(eyes))
    pixels, regions = eyes.pixels(everyone), eyes.regions(everyone)
    assert regions is not None
    files = [dict(np.load(cell.folder / f"{name}.npz")) for name in cell.networks]
    conditions = [MODULATION, *null_conditions(len(files) - 1)]
    enrichment = enrichment_by_condition(
        pixels,
        {name: file["modulated"] for name, file in zip(conditions, files, strict=True)},
        regions,
        eyes.frame,
        eps=cell.options().eps,
        resamples=999,
        seed=0,
    )
    table = null_table(enrichment)
    parts = table[table["part"].isin(PARTS)]
    asked = parts if cell.cue == "none" else parts[parts["part"] == cell.cue]
    best = asked.sort_values(["p_max", "z"], ascending=[True, False]).iloc[0]
    part = str(best["part"])
    place = cell.options().eps.index(best["eps"])
    told = table[table["p_max"] < LEVEL]
    at = enrichment["eps"].eq(best["eps"]) & enrichment["part"].eq(part)
    beside = enrichment[at & enrichment["condition"].eq(MODULATION)].iloc[0]
    return {
        "cue": cell.cue,
        "seed": cell.seed,
        "training_eps": cell.given.eps,
        "epochs": cell.given.epochs,
        "null_models": len(files) - 1,
        "attacked_auroc": float(files[0]["attacked"]),
        "null_attacked_auroc": float(np.median([file["attacked"] for file in files[1:]])),
        "part": part,
        "eps": best["eps"],
        **_columns(best, ["energy_share", "enrichment", "null", "null_low", "null_high", "z"]),
        "p": asked["p"].min(),
        "p_max": best["p_max"],
        "found": " ".join(sorted(set(told["part"][told["part"].isin(PARTS)]))) or "nothing",
        "found_shams": " ".join(sorted(set(told["part"]) - set(PARTS))) or "nothing",
        **_columns(best, ["null_over_sham", "null_over_sham_high"]),
        "nulls_told": _told(enrichment[at & enrichment["condition"].isin(conditions[1:])]),
        **_columns(beside, ["sham", "over_sham", "over_sham_low", "over_sham_high", "over_sham_p"]),
        **_beside_gradient(
            files,
            files[0]["modulated"][place].astype(np.float64) - pixels,
            regions,
            eyes.frame["person_group"].to_numpy(),
            part=part,
        ),
        **_confined(cell, eyes, part, files[0]["gradient_squared"]),
        "seconds": float(sum(file["seconds"] for file in files)),
    }


def _columns(row: "pd.Series[Any]", names: Sequence[str]) -> dict[str, object]:
    return {name: row[name] for name in names}


def _told(rows: pd.DataFrame) -> int:
    """Count the networks whose part is denser than its sham."""
    return int(((rows["over_sham_p"] < LEVEL) & (rows["over_sham"] > 1)).sum())


def _beside_gradient(
    files: list[dict[str, NDArray[np.generic]]],
    change: Floats,
    regions: NDArray[np.uint8],
    people: NDArray[np.generic],
    *,
    part: str,
) -> dict[str, float]:
    """Rank of the squared gradient of the network, and the modulation's share less its share."""
    areas, asked = PartAreas(regions), PARTS.index(part)
    shares = np.stack([_shares(file["gradient_squared"], areas) for file in files])
    pooled = shares.mean(axis=1)
    logits = np.log(pooled + LEAST_SHARE) - np.log(1 - pooled + LEAST_SHARE)
    p, p_max = rank_pvalues(logits[0], logits[1:])
    area = _shares(np.ones(regions.shape), areas)[:, asked]
    own = _shares((change**2).sum(axis=3), areas)[:, asked]
    gap = np.log(own + LEAST_SHARE) - np.log(shares[0, :, asked] + LEAST_SHARE)
    minus = paired_means(gap[:, None], people, permutations=999, seed=0)
    return {
        "gradient_enrichment": float(shares[0, :, asked].sum() / area.sum()),
        "gradient_p": float(p[asked]),
        "gradient_p_max": float(p_max[asked]),
        "minus_gradient": float(minus.mean[0]),
        "minus_gradient_low": float(minus.low[0]),
        "minus_gradient_high": float(minus.high[0]),
    }


def _confined(
    cell: Cell, eyes: FundusDataset, part: str, gradient: NDArray[np.generic]
) -> dict[str, float]:
    """Confined budgets of the part and its sham; none of a part without a sham."""
    if part not in SHAMMED:
        return {}
    everyone = np.arange(len(eyes))
    pixels, regions = eyes.pixels(everyone), eyes.regions(everyone)
    assert regions is not None
    model = make_classifier(spec_of(cell, eyes), seed=0)
    model.load_state_dict(torch.load(cell.folder / f"{OWN}.pt", weights_only=True))
    allowed = {part: regions & REGION_FLAGS[part] > 0, SHAM + part: sham_regions(regions)[part]}
    options = ModulationOptions(min_norm_steps=40, batch_size=len(eyes), precision="fp32")
    norms = {
        name: minimal_perturbations(model.eval(), pixels, 1 - eyes.labels, options, allowed=mask)
        for name, mask in (("whole", None), *allowed.items())
    }
    rows = confined_table(
        {MODULATION: norms},
        allowed,
        eyes.frame,
        constraint="l2",
        resamples=999,
        seed=0,
    ).set_index("region")
    inside = np.where(allowed[part], gradient, 0).sum(axis=(1, 2), dtype=np.float64)
    share = inside / gradient.sum(axis=(1, 2), dtype=np.float64)
    asked = (norms["whole"] > 0) & np.isfinite(norms[part])
    by_share = (norms[part] * np.sqrt(share))[asked] / norms["whole"][asked]
    flipped = np.isfinite(norms[part][norms["whole"] > 0])
    beside = Interval.of(rows.loc[[part]].to_dict("records")[0], "over_sham")
    return {
        **beside.columns("rms_over_sham"),
        "confined_flipped": float(flipped.mean()),
        "by_share": float(np.median(by_share)) if len(by_share) else np.nan,
    }


def _shares(energy: NDArray[np.generic], areas: PartAreas) -> Floats:
    """Shares of energy ``(N, parts)`` within the retina; of ``outside`` within the square."""
    found = areas.shares(np.asarray(energy, np.float64))
    wide = found.pivot_table(index="position", columns="part", values="energy_share", dropna=False)
    return wide[list(PARTS)].to_numpy()


if __name__ == "__main__":
    main()
