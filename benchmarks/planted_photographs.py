"""Does an explanation name what a network of real photographs uses?

    python -m benchmarks.planted_photographs --dataset FOLDER --out DIR --csv truth.csv

The labels of real people are coins, and every eye is rendered as its label by one of eight edits
(`none`: the labels have no cause). Truth is what the network uses: how far its logit moves when one
edit alone is swapped. A read-out of the maps' regions is fitted on the networks of the fitting
seeds and states a cause for those of all others. Cells that are finished are not made again.

Costs of a cell of N eyes, T test eyes shown: N renderings, 2 N passes of the frozen layers, 14 T
renderings and passes for the truth, T gradients per map.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.edited_eyes import ACTIVE, Cell, add_flags, first_people, make_cell, parts_of
from fundus_ml.data.opening import open_dataset
from fundus_ml.parallel import processes
from fundus_ml.synthesis.edits import EDITS

METHODS = ("gradient",)
STRENGTHS_OF_PENALTY = (0.01, 0.1, 1.0, 10.0)


def main() -> None:
    """Make the cells, print and keep what each network uses and what each method states."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="folder preprocessed with regions")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--edits", nargs="+", choices=EDITS, default=list(EDITS))
    parser.add_argument("--aurocs", type=float, nargs="+", default=[0.7, 0.85])
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 4, 5, 6, 7])
    parser.add_argument("--fitting_seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument("--cells", type=int, default=-1, help="to make at most; -1 is all")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that render; 0 is all cores"
    )
    add_flags(parser)
    given = parser.parse_args()
    if set(given.seeds) & set(given.fitting_seeds):
        parser.error("seeds: none may be among the fitting seeds")
    cells = [
        Cell(out=given.out, edit=edit, auroc=auroc, seed=seed, given=given)
        for seed in [*given.fitting_seeds, *given.seeds]
        for auroc in given.aurocs
        for edit in given.edits
    ]
    _make(cells, given)
    finished = [cell for cell in cells if not cell.missing(given.methods)]
    truth = pd.DataFrame([truth_row(cell) for cell in finished])
    print(truth.to_string(index=False, float_format="%.3g"))
    if given.csv and len(truth):
        truth.to_csv(given.csv, index=False, lineterminator="\n", float_format="%.4g")
    for method in given.methods:
        told = stated_causes(method, finished, given)
        if told is not None:
            print(f"\n{method}\n{told.to_string(float_format='%.3g')}")
            if given.csv:
                told.to_csv(given.csv.with_suffix(f".{method}.csv"), lineterminator="\n")


def _make(cells: list[Cell], given: argparse.Namespace) -> None:
    asked = [cell for cell in cells if cell.missing(given.methods)]
    if not asked or not given.cells:
        return
    eyes = first_people(open_dataset(given.dataset), given.people)
    parts = parts_of(eyes)
    with processes(workers=given.workers):
        for cell in asked[: given.cells if given.cells > 0 else None]:
            make_cell(cell, eyes, parts, given.methods)
            print(f"{cell.folder.name} done", flush=True)


def truth_row(cell: Cell) -> dict[str, object]:
    """Say of one network what it reaches and how far each edit moves its logit, in its SDs."""
    told = json.loads((cell.folder / "truth.json").read_text(encoding="utf-8"))
    uses = told["uses"]
    moved = {name: uses[name]["mean"] / max(uses[name]["sd"], 1e-9) for name in ACTIVE}
    most = max(ACTIVE, key=lambda name: abs(moved[name]))
    kept = ("edit", "auroc", "seed", "strength", "test_auroc", "test_eyes")
    return (
        {name: told[name] for name in kept}
        | {"uses_most": most}
        | moved
        | {"seconds": told["seconds"]}
    )


def stated_causes(method: str, cells: list[Cell], given: argparse.Namespace) -> pd.DataFrame | None:
    """Fit the read-out on the fitting seeds and score the causes it states of the other networks.

    Returns:
        By edit and AUROC: ``log_score`` (mean log probability of the cause, ``-log 8`` by chance),
        ``named`` (share whose most probable cause is the planted one), ``false_claims`` (share of
        networks without a cause for which one is named), ``pointing`` and ``in_truth``; None while
        some edit has no network among the fitting seeds or no network is left to score.
    """
    features = np.stack([_features(cell, method) for cell in cells]) if cells else np.empty((0, 0))
    edits = np.array([cell.edit for cell in cells])
    seeds = np.array([cell.seed for cell in cells])
    learn = np.isin(seeds, given.fitting_seeds)
    if set(edits[learn]) != set(given.edits) or learn.all() or len(set(seeds[learn])) < 2:  # noqa: PLR2004
        return None
    groups = list(LeaveOneGroupOut().split(features[learn], groups=seeds[learn]))
    read_out = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
        {"logisticregression__C": STRENGTHS_OF_PENALTY},
        cv=groups,
        scoring="neg_log_loss",
    ).fit(features[learn], edits[learn])
    prob = read_out.predict_proba(features[~learn])
    names = read_out.classes_
    rows = []
    for cell, each in zip([cells[at] for at in np.flatnonzero(~learn)], prob, strict=True):
        found, stated = np.load(cell.folder / f"{method}.npz"), str(names[each.argmax()])
        rows.append(
            {
                "edit": cell.edit,
                "auroc": cell.auroc,
                "log_score": float(np.log(each[names == cell.edit][0])),
                "named": float(stated == cell.edit),
                "false_claims": float(stated != "none") if cell.edit == "none" else np.nan,
                "pointing": float(found["pointing"].mean()) if cell.edit != "none" else np.nan,
                "in_truth": float(np.nanmean(found["in_truth"])) if cell.edit != "none" else np.nan,
            }
        )
    return pd.DataFrame(rows).groupby(["edit", "auroc"]).mean()


def _features(cell: Cell, method: str) -> NDArray[np.float64]:
    """Mean over the eyes of log enrichment, and of the signed sums; one row a network."""
    found = np.load(cell.folder / f"{method}.npz")
    enrichment = np.log(found["enrichment"] + 1e-3)
    return np.concatenate([np.nanmean(enrichment, axis=0), found["signed"].mean(axis=0)])


if __name__ == "__main__":
    main()
