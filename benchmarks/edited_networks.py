"""Networks that learn a planted edit: a head on frozen features, or a robust network after it."""

import argparse
import math
import shutil
from pathlib import Path

import torch

from benchmarks.edited_eyes import EditedEyes
from benchmarks.robust_networks import fit_by_long_steps
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier
from fundus_ml.models.precision import best_device
from fundus_ml.models.start_weights import load_start_weights
from fundus_ml.training import TrainingOptions, fit
from fundus_ml.training.partial import fit_above, store_below

LEVELS = 255


def add_training_flags(parser: argparse.ArgumentParser) -> None:
    """Add what decides how a network learns."""
    parser.add_argument("--arch", default="efficientnet_lite0")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--freeze", default="backbone", help="none trains the whole network")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument(
        "--robust",
        type=float,
        nargs="+",
        default=[0.0],
        metavar="RMS",
        help="radius of adversarial training, per-value RMS in grey levels; 0 is a plain network",
    )
    parser.add_argument("--robust_epochs", type=int, default=5, help="after the plain training")
    parser.add_argument("--robust_lr", type=float, default=3e-3)


def new_network(eyes: FundusDataset, given: argparse.Namespace, *, seed: int) -> Classifier:
    """Make the network that all cells of a seed start from."""
    spec = ClassifierSpec(
        arch=given.arch,
        head_hidden=256,
        mean=eyes.channel_mean,
        std=eyes.channel_std,
        size=eyes.size,
        head="multiscale",
        dropout=0.3,
    )
    model = make_classifier(spec, seed=seed).to(best_device())
    load_start_weights(model, given.weights)
    return model


def plain_network(
    folder: Path, edited: EditedEyes, given: argparse.Namespace, *, seed: int
) -> Classifier:
    """Train a network on the edited eyes, or read its weights from ``folder``."""
    model, file = new_network(edited, given, seed=seed), folder / "own.pt"
    if file.is_file():
        return _read(model, file)
    options = TrainingOptions(
        epochs=given.epochs,
        lr=given.lr,
        batch_size=given.batch_size,
        schedule="onecycle",
        label_smoothing=0.1,
        freeze=given.freeze,
        seed=seed,
    )
    train, val = edited.split("train"), edited.split("val")
    folder.mkdir(parents=True, exist_ok=True)
    if given.freeze == "none":
        fitted = fit(model, train, val, options)
    else:
        # The eyes of every cell differ, so their features are of no use to another.
        features = folder / "features"
        above = store_below(model, train, val, options, within=features)
        fitted = fit_above(model, above, options)
        shutil.rmtree(features)
    assert isinstance(fitted.model, Classifier)
    torch.save(fitted.model.state_dict(), file)
    return fitted.model.eval()


def robust_network(
    folder: Path,
    start: Classifier,
    edited: EditedEyes,
    given: argparse.Namespace,
    *,
    rms: float,
    seed: int,
) -> Classifier:
    """Make a network robust by one long attack step a batch, or read its weights from ``folder``.

    Args:
        folder: Folder of the robust cell.
        start: The plain network of the same eyes and labels; it is changed.
        edited: The eyes.
        given: Flags of the benchmark.
        rms: Radius of the L2 ball, per-value RMS in grey levels.
        seed: Seed of the order and the attack's random starts.
    """
    file = folder / "own.pt"
    if file.is_file():
        return _read(start, file)
    eps = rms / LEVELS * math.sqrt(3 * edited.size**2)
    fitted = fit_by_long_steps(
        start,
        edited.split("train"),
        edited.split("val"),
        TrainingOptions(
            epochs=given.robust_epochs,
            lr=given.robust_lr,
            batch_size=given.batch_size,
            schedule="onecycle",
            label_smoothing=0.1,
            ema=0.95,
            seed=seed,
        ),
        eps=eps,
        eps_warmup=min(1.0, given.robust_epochs / 2),
    )
    assert isinstance(fitted.model, Classifier)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(fitted.model.state_dict(), file)
    return fitted.model.eval()


def _read(model: Classifier, file: Path) -> Classifier:
    model.load_state_dict(torch.load(file, weights_only=True))
    return model.eval()
