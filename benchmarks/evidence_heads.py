r"""Do heads that say where their evidence lies classify as well, and is it where the cue is?

Networks with each head learn the same eyes by one training: painted eyes with a cue planted in one
part, or a dataset folder. Printed are the AUROC on the test split and, for heads with evidence, how
dense it is in a part of the retina and in the part's sham:

    python -m benchmarks.evidence_heads --csv docs/results/evidence_heads.csv
    python -m benchmarks.evidence_heads --dataset data/eyes --contrast glaucoma \
        --arch efficientnet_lite0 --weights imagenet

The energy of a position is its attention, or the absolute value of its share in the logit less the
eye's median share, which every position has; maps are enlarged to pixels bilinearly. Enrichment,
sham and intervals are those of `fundus_ml.modulation.localisation`.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from benchmarks.painted import painted
from benchmarks.rows import append_rows
from fundus_ml.data.dataset import FundusDataset, batches
from fundus_ml.data.opening import open_dataset
from fundus_ml.imaging.regions.energy_shares import PartAreas
from fundus_ml.imaging.regions.maps import PARTS
from fundus_ml.models import load_start_weights
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier
from fundus_ml.models.levels import receptive_field
from fundus_ml.models.options import BAG, HEADS, LAST
from fundus_ml.modulation.localisation import enrichment_by_part
from fundus_ml.statistics.clustered import clustered_auroc
from fundus_ml.synthesis.options import CUES, Population
from fundus_ml.training import TrainingOptions, fit, predict

RESAMPLES = 1000
SHOWN = ("enrichment", "low", "high", "sham", "over_sham", "over_sham_low", "over_sham_high")


def main(argv: Sequence[str] | None = None) -> None:
    """Train a network with each head and print a row of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dataset", default="", help="dataset folder; painted eyes if empty")
    parser.add_argument("--contrast", default="sex")
    parser.add_argument("--out", type=Path, default=Path("evidence_heads"), help="of painted eyes")
    parser.add_argument("--people", type=int, default=240, help="that are painted")
    parser.add_argument("--size", type=int, default=96, help="of painted eyes")
    parser.add_argument("--cue", choices=CUES, default="disc")
    parser.add_argument("--cue_strength", type=float, default=8.0)
    parser.add_argument("--part", choices=PARTS, default="disc", help="where evidence is looked at")
    parser.add_argument("--heads", nargs="+", choices=HEADS, default=list(HEADS))
    parser.add_argument("--arch", default="test_resnet")
    parser.add_argument("--weights", default="none")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--layer_decay", type=float, default=1.0)
    parser.add_argument("--dropout", type=float, default=0.3, help="of all heads but last")
    parser.add_argument("--head_hidden", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path, help="table that gains a row per head")
    given = parser.parse_args(argv)
    if given.dataset:
        dataset = open_dataset(given.dataset, contrast=given.contrast)
    else:
        population = Population(
            patients=given.people, cue=given.cue, cue_strength=given.cue_strength, seed=given.seed
        )
        folder = f"{given.cue}-{given.cue_strength:g}-{given.people}-{given.size}-{given.seed}"
        dataset = painted(given.out / folder, population, size=given.size)
    for head in given.heads:
        row = measured(given, dataset, head)
        print("  ".join(f"{name}={value}" for name, value in row.items() if value), flush=True)
        if given.csv:
            append_rows(given.csv, [row])


def measured(given: argparse.Namespace, dataset: FundusDataset, head: str) -> dict[str, str]:
    """Train one network, and give its row of the table."""
    model = trained(
        dataset, head, arch=given.arch, weights=given.weights, hidden=given.head_hidden,
        dropout=given.dropout, seed=given.seed,
        options=training(
            given.epochs, given.lr, given.seed, layer_decay=given.layer_decay,
            batch_size=given.batch_size,
        ),
    )  # fmt: skip
    test = dataset.split("test")
    people = test.frame["person_group"].to_numpy()
    logits = predict(model, test, batch_size=32, precision="fp32").numpy()
    found = clustered_auroc(test.labels, logits, people, resamples=RESAMPLES, seed=given.seed)
    place = dict.fromkeys(("positions", "receptive_field", *SHOWN), "")
    if model.has_evidence:
        maps = evidence_maps(model, test)
        place["positions"] = f"{maps.shape[1]}x{maps.shape[2]}"
        if head == BAG:
            place["receptive_field"] = str(receptive_field(model.backbone).size)
        shares = evidence_shares(maps, test, given.part)
        if len(shares):
            pooled = enrichment_by_part(shares, test.frame, resamples=RESAMPLES, seed=given.seed)
            place |= {name: f"{pooled.iloc[0][name]:.3f}" for name in SHOWN}
    names = ("value", "low", "high")
    aurocs = {
        "auroc" if name == "value" else f"auroc_{name}": f"{getattr(found, name):.3f}"
        for name in names
    }
    return {
        "eyes": "real" if given.dataset else f"painted {given.cue} {given.cue_strength:g}",
        "contrast": given.contrast,
        "size": str(dataset.size),
        "arch": given.arch,
        "weights": given.weights,
        "head": head,
        "seed": str(given.seed),
        "train_eyes": str(len(dataset.split("train"))),
        "test_eyes": str(len(test)),
        **aurocs,
        "part": given.part,
        **place,
    }


def training(
    epochs: int, lr: float, seed: int, *, layer_decay: float = 1.0, batch_size: int = 32
) -> TrainingOptions:
    """Options of every head: one cycle, averaged weights, flips."""
    return TrainingOptions(
        epochs=epochs, lr=lr, schedule="onecycle", label_smoothing=0.1, ema=0.95,
        layer_decay=layer_decay, batch_size=batch_size, precision="fp32", seed=seed,
    )  # fmt: skip


def trained(
    dataset: FundusDataset,
    head: str,
    *,
    arch: str,
    weights: str,
    hidden: int,
    dropout: float,
    seed: int,
    options: TrainingOptions,
) -> Classifier:
    """Train a network with one head on the training split; the best epoch is kept."""
    spec = ClassifierSpec(
        arch=arch,
        head_hidden=hidden,
        mean=dataset.channel_mean,
        std=dataset.channel_std,
        size=dataset.size,
        head=head,
        dropout=0.0 if head == LAST else dropout,
        both_flips=True,
    )
    model = make_classifier(spec, seed=seed)
    load_start_weights(model, weights)
    fitted = fit(model, dataset.split("train"), dataset.split("val"), options)
    assert isinstance(fitted.model, Classifier)
    return fitted.model


@torch.inference_mode()
def evidence_maps(model: Classifier, eyes: FundusDataset, *, batch_size: int = 32) -> Tensor:
    """Give the evidence of every eye, ``(N, h, w)``."""
    return torch.cat([model.eval().evidence(images) for images, _ in batches(eyes, batch_size)])


def evidence_shares(maps: Tensor, eyes: FundusDataset, part: str) -> pd.DataFrame:
    """Account for the energy of evidence in one part of the retina and in its sham.

    Args:
        maps: ``(N, h, w)`` evidence.
        eyes: The N eyes.
        part: One of the parts of a region map.

    Returns:
        Rows as ``fundus_ml.modulation.localisation.region_shares`` gives them, of one budget that
        means nothing; none where the eyes have no region maps.
    """
    regions = eyes.regions(np.arange(len(eyes)))
    if regions is None:
        return pd.DataFrame()
    found = PartAreas(regions).shares(_energy(maps, eyes.size))
    own = found[found["part"] == part]
    return own.assign(image_id=eyes.frame["image_id"].to_numpy()[own["position"]], eps=0.0)


def _energy(maps: Tensor, size: int) -> NDArray[np.float64]:
    """Enlarge what each position has beyond what all have to ``(N, size, size)``."""
    signed = bool((maps < 0).any())
    middle = maps.flatten(1).median(1)[0][:, None, None]
    absolute = (maps - middle).abs() if signed else maps
    large = interpolate(absolute[:, None], size=(size, size), mode="bilinear", antialias=False)
    return large[:, 0].double().numpy()


if __name__ == "__main__":
    main()
