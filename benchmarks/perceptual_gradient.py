"""Do gradients of robust networks lie on edges where those of clean ones do not?

Paints people whose sexes differ in a cue, trains a network, makes a copy of it robust, and asks
both, and one that was never trained, for ``edge_alignment`` on the test eyes:

    python -m benchmarks.perceptual_gradient --csv docs/results/perceptual_gradient.csv
"""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from benchmarks.painted import painted
from fundus_ml.attacks import ThreatModel, step_length
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.robust_evaluation.perceptual_gradient import edge_alignment
from fundus_ml.robust_training import PGDTraining, fit_robust
from fundus_ml.synthesis.options import Population
from fundus_ml.training import TrainingOptions, fit


def main() -> None:
    """Print one line per cue, seed and network; write them as CSV."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--cues", nargs="+", default=["vessels", "disc"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--eps", type=float, default=0.5)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    rows = []
    for cue in given.cues:
        for seed in range(given.seeds):
            for row in _cell(given, cue, seed):
                rows.append(row)
                print(" ".join(f"{name} {value}" for name, value in row.items()), flush=True)
            if given.csv:
                table = pd.DataFrame(rows).round(4)
                table.to_csv(given.csv, index=False, lineterminator="\n")


def _cell(given: argparse.Namespace, cue: str, seed: int) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        population = Population(patients=given.people, cue=cue, cue_strength=8.0, seed=seed)
        dataset = painted(Path(folder) / "eyes", population, size=given.size)
        train, val, test = (dataset.split(name) for name in ("train", "val", "test"))
        spec = ClassifierSpec(
            arch="resnet18",
            head_hidden=64,
            mean=dataset.channel_mean,
            std=dataset.channel_std,
            size=dataset.size,
        )
        threat = ThreatModel(constraint="l2", eps=given.eps)
        steps = {"step_size": step_length("auto", eps=given.eps, attack_steps=3), "attack_steps": 3}
        options = TrainingOptions(epochs=given.epochs, lr=1e-3, seed=seed)
        clean = fit(make_classifier(spec, seed=seed), train, val, options)
        again = make_classifier(spec, seed=seed)
        again.load_state_dict(clean.model.state_dict())
        robust = fit_robust(
            again,
            train,
            val,
            options,
            method=PGDTraining(threat=threat, **steps),
            validation_attack=PGDTraining(threat=threat, **steps),
        )
        networks = {
            "untrained": make_classifier(spec, seed=seed + 100),
            "clean": clean.model,
            "robust": robust.model,
        }
        aurocs = {
            "clean": clean.history["val_auroc"].max(),
            "robust": robust.history["val_auroc"].max(),
        }
        rows = []
        for name, model in networks.items():
            found = edge_alignment(model, test, batch_size=32, resamples=1000, seed=seed)
            row: dict[str, object] = {"cue": cue, "seed": seed, "network": name, "eyes": found.eyes}
            row |= {"val_auroc": aurocs.get(name, float("nan"))}
            row |= found.own.columns("own") | found.others.columns("others")
            rows.append(row | found.gain.columns("gain"))
        return rows


if __name__ == "__main__":
    main()
