"""Does modulation show more than one gradient of the same network?

Paint people with a cue, train a robust network and an independent one of another seed, modulate
test eyes, change the same eyes by the same length along gradient squared and SmoothGrad squared,
and subtract:

    python -m benchmarks.gradient_rival --people 200 --epochs 6 --robust_epochs 8 --eps_warmup 3 \
        --seeds 3 --csv docs/results/gradient_rival.csv

`level` rows are the conditions themselves, `difference` rows modulation minus the other condition:
mean over eyes, 95 % interval, p by sign flips over people, q its false discovery rate within the
measure; enrichment as the difference of the pooled ones. `log_rank` rows are eyes flipped by the
modulation over eyes expected were both alike, p by exchanging them person by person.
`map_correlation` is the Pearson correlation over pixels of
the two energy maps at the largest budget, mean over eyes. `norm` rows are medians of the minimal
perturbation norm. The independent network is robust, of another seed, trained on the same eyes.
Networks that stand in `--out` are not trained again.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.planted_truth import CUES, painted_people, trained_pair
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.options import TRUE
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.weights import load_classifier, save_classifier
from fundus_ml.modulation import (
    CONTROL_DIRECTIONS,
    MODULATION,
    SALIENCY,
    Chosen,
    Evaluator,
    ModulationOptions,
    choose_eyes,
    compare_conditions,
    control_pictures,
    pictures_along,
    push,
    saliency_controls,
    saliency_directions,
)

APART = 100
"""Difference of the seeds of the model and of its independent evaluator."""
PARTS = ("disc", "macula", "vessels", "periphery", "background")
DRAWN = tuple(CONTROL_DIRECTIONS)[:1]
"""Noise control beside them."""


def main() -> None:
    """Make every cell, write the table and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("rival"))
    parser.add_argument("--csv", type=Path, help="table to write")
    parser.add_argument("--cues", nargs="+", choices=CUES, default=["disc"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--cue_strength", type=float, default=8.0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--robust_epochs", type=int, default=12)
    parser.add_argument("--eps_warmup", type=float, default=5, help="of the robust epochs")
    parser.add_argument("--eps", type=float, default=0.25, help="of the adversarial training")
    parser.add_argument("--budgets", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    parser.add_argument("--images", type=int, default=48, help="at most, the sexes balanced")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    cells = []
    for cue in given.cues:
        for seed in range(given.seeds):
            cells.append(_cell(given, cue, seed))
            print(f"{cue} {seed}: made", flush=True)
    found = pd.concat(cells, ignore_index=True)
    if given.csv:
        found.to_csv(given.csv, index=False, float_format="%.4g")
    print(found.to_string(index=False, float_format="{:.3g}".format))


def _cell(given: argparse.Namespace, cue: str, seed: int) -> pd.DataFrame:
    dataset = painted_people(given, cue, seed)
    model = _network(given, dataset, cue, seed, seed)
    independent = _network(given, dataset, cue, seed, seed + APART)
    test = dataset.split("test")
    fewest = test.frame.groupby("label")["person_group"].nunique().min()
    images = min(given.images, 2 * int(fewest))
    eyes = test.select(choose_eyes(test.frame, images=images, mode="flip", seed=seed))
    everyone = np.arange(len(eyes))
    chosen = Chosen(pixels=eyes.pixels(everyone), target=1 - eyes.labels)
    options = ModulationOptions(eps=tuple(given.budgets), batch_size=len(eyes))
    evaluator = Evaluator(
        eyes=eyes.frame,
        regions=eyes.regions(everyone),
        chosen=chosen,
        options=options,
        independent=independent,
    )
    pushed = push(model, chosen, options)
    own = evaluator.measure(model, pushed.modulated, pushed.min_norms)
    lengths = own.effects["l2"].to_numpy().reshape(len(options.eps), -1)
    found = {MODULATION: own, **dict(saliency_controls(evaluator, model, lengths, seed=seed))}
    for control in DRAWN:
        made = control_pictures(control, chosen.pixels, lengths, seed=seed)
        found[control] = evaluator.measure(model, made)
    compared = compare_conditions(evaluator, found, resamples=2000, seed=seed)
    rows = [
        *_levels(compared.controls, compared.enrichment, compared.min_norms),
        *_gaps(compared.differences),
        *_alike(model, chosen, pushed.modulated[-1], lengths[-1:], seed),
    ]
    return pd.DataFrame(rows).assign(cue=cue, seed=seed, eyes=len(eyes))


def _network(
    given: argparse.Namespace, dataset: FundusDataset, cue: str, seed: int, own_seed: int
) -> Classifier:
    folder = given.out / f"network-{cue}-{seed}-{own_seed}"
    if not folder.is_dir():
        _, robust, aurocs = trained_pair(given, dataset, own_seed, TRUE)
        save_classifier(robust, folder)
        print(cue, seed, own_seed, aurocs, flush=True)
    return load_classifier(folder)


def _levels(
    controls: pd.DataFrame, enrichment: pd.DataFrame, min_norms: pd.DataFrame
) -> list[dict[str, object]]:
    """What each condition reached, with its own interval."""
    measures = {"success": "success", "area": "area", "transferred": "transferred"}
    rows: list[dict[str, object]] = [
        _row("level", each["condition"], "", measure, "", [each[f"{name}{end}"] for end in ENDS])
        for each in controls.to_dict("records")
        for measure, name in measures.items()
    ]
    last = enrichment[enrichment["eps"] == enrichment["eps"].max()]
    rows += [
        _row(
            "level",
            each["condition"],
            "",
            "enrichment",
            each["part"],
            [each[name] for name in ("enrichment", "low", "high")],
        )
        for each in last[last["part"].isin(PARTS)].to_dict("records")
    ]
    rows += [
        _row("norm", each["condition"], "", "min_norm", "", [each[f"min_norm{e}"] for e in ENDS])
        for each in min_norms.to_dict("records")
    ]
    rows += [
        _row("log_rank", MODULATION, each["condition"], "min_norm", "", [each["log_rank"]] * 3)
        | {"p": each["p"], "q": each["q"]}
        for each in min_norms.to_dict("records")
        if each["condition"] != MODULATION
    ]
    return rows


def _gaps(differences: pd.DataFrame) -> list[dict[str, object]]:
    own = differences[differences["condition"] == MODULATION]
    return [
        _row(
            "difference",
            MODULATION,
            each["other"],
            each["measure"],
            each["part"],
            [each[name] for name in ("difference", "low", "high")],
        )
        | {"p": each["p"], "q": each["q"]}
        for each in own.to_dict("records")
        if each["part"] in {"", *PARTS}
    ]


def _alike(
    model: Classifier,
    chosen: Chosen,
    modulated: NDArray[np.uint8],
    lengths: NDArray[np.float64],
    seed: int,
) -> list[dict[str, object]]:
    """Pixel by pixel, how alike the energy maps are."""
    own = _energy(chosen.pixels, modulated)
    rows = []
    for saliency in SALIENCY:
        directions = saliency_directions(
            saliency, model, chosen.pixels, chosen.target, seed=seed, batch_size=len(chosen)
        )
        made = pictures_along(chosen.pixels, directions, lengths)[0]
        both = zip(own, _energy(chosen.pixels, made), strict=True)
        alike = [np.corrcoef(one, other)[0, 1] for one, other in both]
        ends = [np.nanmean(alike), np.nanmin(alike), np.nanmax(alike)]
        rows.append(_row("map_correlation", MODULATION, saliency, "energy", "", ends))
    return rows


def _energy(pixels: NDArray[np.uint8], changed: NDArray[np.uint8]) -> NDArray[np.float64]:
    change = changed.astype(np.float64) - pixels
    energy: NDArray[np.float64] = np.square(change).sum(axis=3).reshape(len(pixels), -1)
    return energy


ENDS = ("", "_low", "_high")


def _row(  # noqa: PLR0917 (one cell each)
    kind: str, condition: object, other: object, measure: object, part: object, ends: list[object]
) -> dict[str, object]:
    value, low, high = ends
    return {
        "kind": kind, "condition": condition, "other": other, "measure": measure, "part": part,
        "value": value, "low": low, "high": high,
    }  # fmt: skip


if __name__ == "__main__":
    main()
