"""Which head, how wide, how long: AUROC of heads on frozen features, people apart, no test split.

    python -m benchmarks.heads --dataset data/odir --out heads --csv heads.csv \
        --variants multiscale:256:.5:30 grid:32:.5:10 --contrasts sex glaucoma amd --seeds 0 1

A variant is HEAD:HIDDEN:DROPOUT:EPOCHS, all else is the recipe `probe`. The people of the training
and validation split are dealt into folds; each fold is scored by a head that learned from the
others, save the next one, which chose its epoch. One row per variant and contrast: AUROC over all
scored eyes, and over people whose eyes are averaged, means over the seeds of the folds. Features
are stored in `--out` and computed once for a head.
"""

import argparse
import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from experiments.running.recipes import RECIPES
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.opening import open_dataset
from fundus_ml.evaluation.scores import per_person
from fundus_ml.models import load_start_weights
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier
from fundus_ml.models.frozen import cut
from fundus_ml.models.options import BACKBONE
from fundus_ml.statistics.clustered import auroc
from fundus_ml.training import TrainingOptions, predict
from fundus_ml.training.partial import Above, fit_above
from fundus_ml.training.stored_features import FeatureDataset, store_features

Floats = NDArray[np.float32]
PROBE: dict[str, Any] = yaml.safe_load((RECIPES / "probe.yaml").read_text(encoding="utf-8"))
LEARNING = ("freeze", "batch_size", "lr", "weight_decay", "label_smoothing", "ema")
"""What the recipe says of the training, beside the epochs."""


@dataclass(frozen=True)
class Variant:
    """A head and how long it learns; ``HEAD:HIDDEN:DROPOUT:EPOCHS`` on the command line."""

    head: str
    hidden: int
    dropout: float
    epochs: int

    @classmethod
    def parse(cls, text: str) -> "Variant":
        """Read the four values.

        Raises:
            ValueError: There are not four, or one is no number.
        """
        head, hidden, dropout, epochs = text.split(":")
        return cls(head, int(hidden), float(dropout), int(epochs))

    def classifier(self, eyes: FundusDataset, arch: str) -> Classifier:
        """Make the network, its backbone from ImageNet."""
        spec = ClassifierSpec(
            arch=arch, head=self.head, head_hidden=self.hidden, dropout=self.dropout,
            both_flips=PROBE["both_flips"], size=eyes.size, mean=eyes.channel_mean,
            std=eyes.channel_std,
        )  # fmt: skip
        model = make_classifier(spec, seed=0)
        load_start_weights(model, "imagenet")
        return model


def main(argv: Sequence[str] | None = None) -> None:
    """Print and keep a row per variant and contrast."""
    given = _given(argv)
    rows = []
    for variant in given.variants:
        for contrast in given.contrasts:
            eyes = open_dataset(given.dataset, contrast=contrast)
            eyes = eyes.select(eyes.frame["split"].ne("test").to_numpy())
            stored = _stored(variant, eyes, given)
            scores = [_fold_scores(variant, stored, given, seed=seed) for seed in given.seeds]
            rows.append(
                {"contrast": contrast, **vars(variant), "eyes": len(eyes)}
                | {"people": eyes.frame["person_group"].nunique()}
                | dict(pd.DataFrame([_aurocs(eyes, each) for each in scores]).mean())
            )
            print(*rows[-1].values(), flush=True)
            if given.csv is not None:
                table = pd.DataFrame(rows)
                table.to_csv(given.csv, index=False, lineterminator="\n", float_format="%.4f")


def _given(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the stored features")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--arch", default="efficientnet_lite0")
    parser.add_argument("--variants", type=Variant.parse, nargs="+", required=True)
    parser.add_argument("--contrasts", nargs="+", default=["sex"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of folds and training")
    parser.add_argument("--folds", type=int, default=5)
    return parser.parse_args(argv)


def _stored(variant: Variant, eyes: FundusDataset, given: argparse.Namespace) -> FeatureDataset:
    parts = cut(variant.classifier(eyes, given.arch), BACKBONE, side=eyes.size)
    assert parts is not None
    with tqdm(total=len(eyes), desc=f"features of {variant.head}") as bar:
        return store_features(
            parts[0],
            eyes,
            within=given.out,
            batch_size=PROBE["batch_size"],
            on_stored=lambda done, _: bar.update(done - bar.n),
        )


def _fold_scores(
    variant: Variant, stored: FeatureDataset, given: argparse.Namespace, *, seed: int
) -> Floats:
    """Score every eye by the head that learned nothing of its person, ``(N,)`` logits."""
    dealt = StratifiedGroupKFold(given.folds, shuffle=True, random_state=seed)
    people = stored.frame["person_group"].to_numpy()
    folds = [rows for _, rows in dealt.split(people, stored.labels, people)]
    learning = {name: PROBE[name] for name in LEARNING}
    options = TrainingOptions(**learning, epochs=variant.epochs, seed=seed, precision="fp32")
    start = variant.classifier(stored, given.arch)
    parts = cut(start, BACKBONE, side=stored.size)
    assert parts is not None
    found = np.empty(len(stored), np.float32)
    for place, tested in enumerate(tqdm(folds, desc="folds")):
        choosing = folds[(place + 1) % len(folds)]
        learned = np.setdiff1d(np.arange(len(stored)), np.concatenate([tested, choosing]))
        above = Above(
            trained=copy.deepcopy(parts[1]),
            train=stored.select(learned),
            val=stored.select(choosing),
        )
        fit_above(start, above, options)
        found[tested] = predict(
            above.trained, stored.select(tested), batch_size=256, precision="fp32"
        ).numpy()
    return found


def _aurocs(eyes: FundusDataset, scores: Floats) -> dict[str, float]:
    """AUROC over eyes and over people, whose eyes are averaged."""
    people = per_person(eyes.frame.assign(logit=scores), of_eyes=eyes.contrast.of_eyes)
    return {
        "auroc_per_eye": float(auroc(eyes.labels.astype(np.float32), scores)),
        "auroc_per_person": float(
            auroc(people["label"].to_numpy(np.float32), people["logit"].to_numpy(np.float32))
        ),
    }


if __name__ == "__main__":
    main()
