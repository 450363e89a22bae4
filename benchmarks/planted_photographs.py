"""Does an explanation name what a network of real photographs uses?

    python -m benchmarks.planted_photographs --dataset FOLDER --out DIR --csv truth.csv

The labels of real people are coins, and every eye is rendered as its label by one of eight edits
(`none`: the labels have no cause). Truth is what the network uses: how far its logit moves when one
edit alone is swapped. Every attribution method maps the same test eyes of each network. A read-out
of the maps' regions is fitted on the networks of the fitting seeds and states a cause for those of
all others, on other people. Cells and maps that are finished are not made again.

`--side 128` shrinks the eyes after the edit, so that interpolation leaves less of a trace.

`--robust 0 1` makes each network plain and robust to a change of 1 grey level RMS; the two have
read-outs of their own. `--confounds hue:0.7` ties a second edit to the labels of the networks that
are scored, `hue:0.7:train` among training eyes alone; a cell of that very edit is left out. The
read-out is fitted without confounds.

Costs of a cell of N eyes, T test eyes shown: N renderings, 2 N passes of the frozen layers, 14 T
renderings and passes for the truth, and T maps of each method (`seconds_per_eye`). Writes
`truth.csv` (a row per network), `truth.scores.csv` (per network, method and group of people) and
`truth.ranking.csv` (per method).
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.edited_cells import ACTIVE, Cell, Tie, add_flags, make_cell
from benchmarks.edited_eyes import edit_strengths, first_people, parts_of
from benchmarks.edited_networks import add_training_flags, new_network
from benchmarks.stated_causes import Groups, ReadOut, most_used, ranking
from experiments.running.memory import keep_freed_memory
from fundus_ml.attribution import METHODS, cannot_serve
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.opening import open_dataset
from fundus_ml.parallel import processes
from fundus_ml.synthesis.edits import EDITS


def main(argv: Sequence[str] | None = None) -> None:
    """Make the cells, print and keep what each network uses and what each method states."""
    given = _parser().parse_args(argv)
    if set(given.seeds) & set(given.fitting_seeds):
        _parser().error("seeds: none may be among the fitting seeds")
    keep_freed_memory()
    cells = list(_cells(given))
    eyes = first_people(open_dataset(given.dataset), given.people)
    methods = _served(eyes, given)
    _make(cells, eyes, methods, given)
    finished = [cell for cell in cells if not cell.missing(methods)]
    if not finished:
        return
    truth = pd.DataFrame([truth_row(cell) for cell in finished])
    print(truth.to_string(index=False, float_format="%.3g"))
    places = pd.DataFrame([place_row(cell, method) for cell in finished for method in methods])
    print(f"\n{places.to_string(index=False, float_format='%.3g')}")
    _keep(truth, given.csv, "")
    _keep(places, given.csv, ".places")
    scores, ranks = stated_causes(finished, methods, given)
    for kind, table in (("scores", scores), ("ranking", ranks)):
        if len(table):
            _keep(table, given.csv, f".{kind}")
    if len(ranks):
        print(f"\n{ranks.to_string(index=False, float_format='%.3g')}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dataset", required=True, help="folder preprocessed with regions")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--edits", nargs="+", choices=EDITS, default=list(EDITS))
    parser.add_argument("--aurocs", type=float, nargs="+", default=[0.7, 0.85])
    parser.add_argument("--seeds", type=int, nargs="*", default=[3, 4, 5, 6, 7])
    parser.add_argument("--fitting_seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="*", choices=METHODS, default=list(METHODS))
    parser.add_argument(
        "--confounds", type=Tie.parse, nargs="*", default=[], metavar="EDIT:CORRELATION[:train]"
    )
    parser.add_argument("--cells", type=int, default=-1, help="to make at most; -1 is all")
    parser.add_argument(
        "--workers", type=int, default=0, help="processes that render; 0 is all cores"
    )
    parser.add_argument("--group", type=int, default=25, help="people of a row of the read-out")
    parser.add_argument("--rows", type=int, default=20, help="bootstrap groups of a network")
    add_flags(parser)
    add_training_flags(parser)
    return parser


def _cells(given: argparse.Namespace) -> Iterator[Cell]:
    tied = {tie.edit for tie in given.confounds}
    for seed in [*given.fitting_seeds, *given.seeds]:
        ties = tuple(given.confounds) if seed in given.seeds else ()
        for auroc in given.aurocs:
            for edit in given.edits:
                for robust in given.robust:
                    if not (ties and edit in tied):
                        yield Cell(
                            out=given.out,
                            edit=edit,
                            auroc=auroc,
                            seed=seed,
                            given=given,
                            robust=robust,
                            ties=ties,
                        )


def _served(eyes: FundusDataset, given: argparse.Namespace) -> list[str]:
    """Keep the methods that can serve the networks; say why the others cannot."""
    model = new_network(eyes, given, seed=0)
    served = []
    for method in given.methods:
        reason = cannot_serve(method, model, has_regions=eyes.regions([0]) is not None)
        if reason is None:
            served.append(method)
        else:
            print(f"{method}: {reason}")
    return served


def _make(
    cells: Sequence[Cell], eyes: FundusDataset, methods: Sequence[str], given: argparse.Namespace
) -> None:
    asked = [cell for cell in cells if cell.missing(methods)]
    asked = asked[: given.cells if given.cells >= 0 else None]
    if not asked:
        return
    parts = parts_of(eyes)
    with processes(workers=given.workers):
        strengths = edit_strengths(given.aurocs, given.out, eyes, people=given.calibrate)
        for cell in asked:
            make_cell(cell, eyes, parts, strengths[cell.auroc], methods)
            print(f"{cell.folder.name} done", flush=True)


def truth_row(cell: Cell) -> dict[str, object]:
    """Say of one network what it reaches and how far each edit moves its logit, in its SDs."""
    told = cell.truth()
    uses = told["uses"]
    moved = {name: uses[name]["mean"] / max(uses[name]["sd"], 1e-9) for name in ACTIVE}
    kept = (
        "edit", "auroc", "seed", "robust_rms", "confounds", "strength", "test_auroc", "test_eyes",
    )  # fmt: skip
    return (
        {name: told[name] for name in kept}
        | {"uses_most": most_used(told)}
        | moved
        | {"seconds": told["seconds"]}
    )


def place_row(cell: Cell, method: str) -> dict[str, object]:
    """Say of one network and method where the maps lie: means over eyes, no read-out."""
    found = cell.maps_of(method)
    row: dict[str, object] = {
        "cell": cell.folder.name,
        "method": method,
        "eyes": len(found["people"]),
    }
    for name in ("pointing", "truth_area", "in_truth", "in_sham"):
        known = found[name][~np.isnan(found[name])]
        row[name] = float(known.mean()) if len(known) else np.nan
    return row | {"seconds_per_eye": float(found["seconds_per_eye"])}


def stated_causes(
    cells: Sequence[Cell], methods: Sequence[str], given: argparse.Namespace
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fit a read-out for each method and kind of training, and score and rank what they state.

    Returns:
        Scores and ranks; both empty while an edit has no network among the fitting seeds, or no
        network is left to score.
    """
    scores, ranks = [], []
    for robust in given.robust:
        own = [cell for cell in cells if cell.robust == robust]
        fitting = [cell for cell in own if cell.seed in given.fitting_seeds]
        scored = [cell for cell in own if cell.seed in given.seeds]
        complete = {(cell.edit, cell.seed) for cell in fitting} == {
            (edit, seed) for edit in given.edits for seed in given.fitting_seeds
        }
        if not (complete and scored and methods and len(given.fitting_seeds) > 1):
            continue
        people = np.concatenate([cell.maps_of(methods[0])["people"] for cell in own])
        groups = Groups.draw(people, size=given.group, seed=0)
        tables = {}
        for method in methods:
            read_out = ReadOut.fit(method, fitting, groups, rows=given.rows, seed=0)
            tables[method] = read_out.score(method, scored, groups)
            scores.append(tables[method].assign(method=method))
        ranked = ranking(tables, causes=len(given.edits))
        ranks.append(ranked.assign(robust_rms=robust))
    empty = pd.DataFrame()
    return (
        pd.concat(scores, ignore_index=True) if scores else empty,
        pd.concat(ranks, ignore_index=True) if ranks else empty,
    )


def _keep(table: pd.DataFrame, csv: Path | None, kind: str) -> None:
    if csv is not None:
        file = csv.with_suffix(f"{kind}.csv")
        table.to_csv(file, index=False, lineterminator="\n", float_format="%.4g")


if __name__ == "__main__":
    main()
