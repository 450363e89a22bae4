"""Does modulation find what the sexes were made to differ in?

For each cue and seed: paint people, train a network, make it robust, and let it modulate test
eyes. The part that was planted should change most, and flip the eyes at the minimal perturbation
norm:

    python -m benchmarks.planted_truth --seeds 3 --out planted

`robust` is the network asked, `clean` the same before adversarial training, `shuffled` a robust one
that learned shuffled labels; the other controls ask no network and change as much. A part *wins*
where its enrichment is the highest of the four that a cue could be planted in, and is *clear* where
its interval lies above the interval of every control. `shuffled` is the same against the cell's own
shuffled network only, and `least` that the budget confined to the part is the smallest. One
shuffled network may like another part than the next: `benchmarks.planted_nulls` ranks a network
among 20 of its own eyes. `auroc` is the network's on the validation eyes, `attacked` the robust
one's under PGD-3. Cells that stand in `--out` are not made again.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.painted import painted
from benchmarks.robust_networks import fit_by_long_steps
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.options import SHUFFLED, TRUE
from fundus_ml.data.shuffled_labels import labels_to_learn
from fundus_ml.imaging.regions.maps import REGION_FLAGS
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier
from fundus_ml.models.precision import best_device
from fundus_ml.modulation import (
    CONTROL_DIRECTIONS,
    Chosen,
    ModulationOptions,
    choose_eyes,
    control_pictures,
    min_norm_table,
    push,
)
from fundus_ml.modulation.control_table import (
    CLEAN_MODEL,
    MODULATION,
    SHUFFLED_MODEL,
)
from fundus_ml.modulation.effects import change_sizes
from fundus_ml.modulation.localisation import enrichment_by_condition
from fundus_ml.synthesis.options import Population
from fundus_ml.training import TrainingOptions, fit

CUES = ("disc", "vessels", "macula", "none")
PARTS = ("disc", "macula", "vessels", "periphery")
"""That a cue could be planted in, or wrongly be found in."""
KINDS = ("enrichment", "min_norms", "trained")
"""Tables of a cell."""


def main() -> None:
    """Make every cell, then print what was found where."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("planted"))
    parser.add_argument("--cues", nargs="+", choices=CUES, default=list(CUES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first_seed", type=int, default=0)
    parser.add_argument("--people", type=int, default=400)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--cue_strength", type=float, default=8.0)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--robust_epochs", type=int, default=12)
    parser.add_argument("--eps_warmup", type=float, default=5, help="of the robust epochs")
    parser.add_argument("--eps", type=float, default=0.25, help="of the adversarial training")
    parser.add_argument(
        "--budget", type=float, default=0.5, help="at which enrichments are compared"
    )
    parser.add_argument("--images", type=int, default=48)
    parser.add_argument(
        "--min_norm_steps", type=int, default=40, help="in search of minimal perturbation norms"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    cells = [(cue, seed) for seed in seeds for cue in given.cues]
    for cue, seed in cells:
        if not all(_cell_file(given.out, cue, seed, kind).is_file() for kind in KINDS):
            _make_cell(given, cue, seed)
        print(f"{cue} {seed}: made", flush=True)
    rows = [row for cell in cells for row in _verdicts(given.out, *cell)]
    verdicts = pd.DataFrame(rows)
    print(verdicts.to_string(index=False))
    counts = verdicts.groupby(["cue", "network"])[["wins", "clear", "shuffled", "min_norms"]].sum()
    print(f"\nof {given.seeds} seeds each\n{counts.to_string()}")


def _cell_file(out: Path, cue: str, seed: int, kind: str) -> Path:
    return out / f"{cue}-{seed}-{kind}.parquet"


def _make_cell(given: argparse.Namespace, cue: str, seed: int) -> None:
    dataset = painted_people(given, cue, seed)
    clean, robust, true_aurocs = trained_pair(given, dataset, seed, TRUE)
    _, shuffled, shuffled_aurocs = trained_pair(given, dataset, seed, SHUFFLED)
    test = dataset.split("test")
    eyes = test.select(choose_eyes(test.frame, images=given.images, mode="flip", seed=seed))
    everyone = np.arange(len(eyes))
    pixels, regions = eyes.pixels(everyone), eyes.regions(everyone)
    assert regions is not None
    chosen = Chosen(
        pixels=pixels,
        target=1 - eyes.labels,
        confined={part: (regions & REGION_FLAGS[part]) > 0 for part in PARTS},
    )
    options = ModulationOptions(
        eps=(given.budget,), batch_size=len(eyes), min_norm_steps=given.min_norm_steps
    )
    networks = {MODULATION: robust, CLEAN_MODEL: clean}
    pushed = {condition: push(model, chosen, options) for condition, model in networks.items()}
    pushed[SHUFFLED_MODEL] = push(shuffled, chosen, replace(options, min_norm_steps=0))
    pictures = {condition: one.modulated for condition, one in pushed.items()}
    lengths, _ = change_sizes(pixels, pictures[MODULATION][0])
    for control in CONTROL_DIRECTIONS:
        pictures[control] = control_pictures(control, pixels, lengths[None], seed=seed)
    enrichment = enrichment_by_condition(
        pixels, pictures, regions, eyes.frame, eps=options.eps, resamples=2000, seed=seed
    )
    min_norms = min_norm_table(
        {condition: pushed[condition].min_norms for condition in networks},
        eyes.frame,
        against=MODULATION,
        resamples=2000,
        seed=seed,
    )
    enrichment.to_parquet(_cell_file(given.out, cue, seed, "enrichment"))
    min_norms.to_parquet(_cell_file(given.out, cue, seed, "min_norms"))
    trained = pd.DataFrame([true_aurocs, shuffled_aurocs], index=[TRUE, SHUFFLED])
    trained.to_parquet(_cell_file(given.out, cue, seed, "trained"))


def painted_people(given: argparse.Namespace, cue: str, seed: int) -> FundusDataset:
    """Open the eyes of a cue and seed, painted as the flags say where they are missing."""
    population = Population(
        patients=given.people, cue=cue, cue_strength=given.cue_strength, seed=seed
    )
    return painted(given.out / f"eyes-{cue}-{seed}", population, size=given.size)


def trained_pair(
    given: argparse.Namespace, dataset: FundusDataset, seed: int, labels: str
) -> tuple[Classifier, Classifier, dict[str, float]]:
    """Train a network, then make it robust; last the validation AUROCs of both."""
    learned = labels_to_learn(dataset, labels, seed=seed)
    train, val = learned.split("train"), learned.split("val")
    spec = ClassifierSpec(
        arch="resnet18",
        head_hidden=256,
        mean=dataset.channel_mean,
        std=dataset.channel_std,
        size=dataset.size,
    )
    model = make_classifier(spec, seed=seed).to(best_device())
    clean = fit(model, train, val, TrainingOptions(epochs=given.epochs, lr=1e-3, seed=seed))
    assert isinstance(clean.model, Classifier)
    again = make_classifier(spec, seed=seed).to(best_device())
    again.load_state_dict(clean.model.state_dict())
    robust = fit_by_long_steps(
        again,
        train,
        val,
        TrainingOptions(epochs=given.robust_epochs, lr=1e-3, seed=seed),
        eps=given.eps,
        eps_warmup=given.eps_warmup,
    )
    assert isinstance(robust.model, Classifier)
    chosen = robust.history.nlargest(1, "robust_val_auroc")
    aurocs = {
        "clean": float(clean.history["val_auroc"].max()),
        "robust": float(chosen["val_auroc"].iloc[0]),
        "attacked": float(chosen["robust_val_auroc"].iloc[0]),
    }
    return clean.model, robust.model, aurocs


def _verdicts(out: Path, cue: str, seed: int) -> list[dict[str, object]]:
    """Say of the robust and the clean network whether the planted part stands out."""
    enrichment = pd.read_parquet(_cell_file(out, cue, seed, "enrichment"))
    min_norms = pd.read_parquet(_cell_file(out, cue, seed, "min_norms"))
    trained = pd.read_parquet(_cell_file(out, cue, seed, "trained")).loc[TRUE]
    controls = enrichment[~enrichment["condition"].isin([MODULATION, CLEAN_MODEL])]
    ceiling = controls.groupby("part")["high"].max()
    shuffled = enrichment[enrichment["condition"] == SHUFFLED_MODEL].set_index("part")["high"]
    rows: list[dict[str, object]] = []
    for network, condition in (("robust", MODULATION), ("clean", CLEAN_MODEL)):
        own = enrichment[enrichment["condition"] == condition].set_index("part").loc[list(PARTS)]
        confined = min_norms[
            (min_norms["condition"] == condition) & min_norms["region"].isin(PARTS)
        ]
        budgets = confined.set_index("region")["min_norm"].reindex(list(PARTS))
        top = str(own["enrichment"].idxmax())
        part = top if cue == "none" else cue
        rows.append(
            {
                "cue": cue,
                "seed": seed,
                "network": network,
                "auroc": trained[network],
                "attacked": trained["attacked"] if network == "robust" else np.nan,
                "densest": top,
                "enrichment": own.loc[part, "enrichment"],
                "low": own.loc[part, "low"],
                "shuffled_high": shuffled[part],
                "controls_high": ceiling[part],
                "wins": top == cue,
                "clear": bool(own.loc[part, "low"] > ceiling[part]),
                "shuffled": bool(own.loc[part, "low"] > shuffled[part]),
                "min_norms": bool(np.isfinite(budgets.min()) and budgets.idxmin() == cue),
                "min_norm": budgets.min(),
            }
        )
    return rows


if __name__ == "__main__":
    main()
