"""A training that really overfits catastrophically is caught; one that does not is left alone."""

import pytest
import torch
from torch import nn

from fundus_ml.attacks import ThreatModel
from fundus_ml.errors import InputError
from fundus_ml.robust_training import FastTraining, OverfittingMonitor, PGDTraining, fit_robust
from fundus_ml.robust_training.overfitting_monitor import EYES, balanced_accuracy, watched
from fundus_ml.training import Checkpoints, TrainingOptions
from tests.fundus_ml.tiny_learning import SIZE, make_dataset

EPS = 0.18
THREAT = ThreatModel(constraint="linf", eps=EPS)
VALIDATION_ATTACK = PGDTraining(threat=THREAT, step_size=EPS / 4, attack_steps=10, precision="fp32")
ONE_STEP = FastTraining(threat=THREAT, step_size=EPS, random_start=False, precision="fp32")


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """Eyes that can be told apart robustly: the sexes differ by 0.43, the ball is 0.18 wide."""
    folder = tmp_path_factory.mktemp("eyes") / "tiny"
    return make_dataset(folder, people={"train": 32, "val": 16}, signal=110.0)


def make_network():
    """Wide enough to bend its gradients; BatchNorm that follows few steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers: list[nn.Module] = []
        for channels, stride in ((3, 1), (24, 2), (24, 1)):
            layers += [
                nn.Conv2d(channels, 24, 3, stride=stride, padding=1),
                nn.BatchNorm2d(24, momentum=0.5),
                nn.ReLU(),
            ]
        features = 24 * (SIZE // 2) ** 2
        head = [nn.Flatten(), nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 1), nn.Flatten(0)]
        return nn.Sequential(*layers, *head)


def robust(eyes, method, epochs, **given):
    how = TrainingOptions(
        epochs=epochs, batch_size=16, lr=0.01, schedule="constant", weight_decay=0, augment="none",
        precision="fp32",
    )  # fmt: skip
    return fit_robust(
        make_network(), eyes.split("train"), eyes.split("val"), how, method=method,
        validation_attack=VALIDATION_ATTACK,
        **given,
    )  # fmt: skip


@pytest.mark.slow
def test_one_long_step_without_a_random_start_is_caught(eyes, tmp_path):
    """It ends early with what was seen; the best epoch comes back; so after an interruption."""
    kept = Checkpoints(tmp_path / "kept", {})
    fitted = robust(eyes, ONE_STEP, 45, overfitting_monitor=0.2, checkpoints=kept)
    rows = fitted.history
    last, best = rows.iloc[-1], rows.iloc[fitted.best_epoch - 1]
    assert len(rows) < 45
    assert fitted.ended.startswith(f"catastrophic overfitting in epoch {len(rows)}: accuracy under")
    assert last["pgd_val_balanced_accuracy"] < rows["pgd_val_balanced_accuracy"].max() - 0.2
    assert last["one_step_val_balanced_accuracy"] > 0.9
    assert best["robust_val_auroc"] > last["robust_val_auroc"] + 0.2
    again = robust(eyes, ONE_STEP, 45, overfitting_monitor=0.2, checkpoints=kept)
    assert again.ended == fitted.ended
    assert again.history.equals(rows)
    unwatched = robust(eyes, ONE_STEP, len(rows) + 1)
    assert unwatched.ended == ""
    assert len(unwatched.history) == len(rows) + 1
    assert "one_step_val_balanced_accuracy" not in unwatched.history


def test_a_plain_training_is_left_alone(eyes):
    """The same network, eyes and rate under PGD, which stays robust."""
    fitted = robust(eyes, VALIDATION_ATTACK, 8, overfitting_monitor=0.2)
    assert fitted.ended == ""
    assert len(fitted.history) == 8
    assert fitted.history["pgd_val_balanced_accuracy"].max() > 0.9


def row(epoch, many, auroc, one):
    return {
        "epoch": epoch, "pgd_val_balanced_accuracy": many, "robust_val_auroc": auroc,
        "one_step_val_balanced_accuracy": one,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("last", "fires"),
    [
        ((0.3, 0.3, 0.8), True),
        ((0.3, 0.3, 0.97), True),
        ((0.3, 0.3, 0.76), True),  # by a quarter of the margin at most
        ((0.3, 0.3, 0.74), False),  # one step falls with it
        ((0.61, 0.3, 0.8), False),  # accuracy fell too little
        ((0.5, 0.8, 0.8), False),  # only the threshold moved
    ],
)
def test_its_sign_is_both_falls_and_a_stand(last, fires):
    history = [row(1, 0.5, 0.5, 0.5), row(2, 0.8, 0.85, 0.8), row(3, *last)]
    said = OverfittingMonitor(margin=0.2)(history)
    assert bool(said) == fires
    if fires:
        assert said.startswith(
            "catastrophic overfitting in epoch 3: accuracy under PGD 0.80 (epoch 2) -> 0.30, under"
        )


def test_who_came_back_is_left_alone():
    """Only the newest epoch is asked."""
    history = [row(1, 0.8, 0.85, 0.8), row(2, 0.3, 0.3, 0.9), row(3, 0.8, 0.85, 0.9)]
    assert OverfittingMonitor(margin=0.2)(history) == ""


def test_one_who_guesses_has_nothing_to_lose():
    """Always naming one sex is a half under any attack, until the first thing is learned."""
    history = [row(1, 0.5, 0.5, 0.5), row(2, 0.1, 0.1, 0.58)]
    assert OverfittingMonitor(margin=0.2)(history) == ""
    assert OverfittingMonitor(margin=0.2)([]) == ""


def test_it_watches_at_most_so_many_eyes(eyes):
    val = eyes.split("val")
    assert watched(val).tolist() == list(range(32))
    many = val.select([*range(32)] * 20)
    rows = watched(many)
    assert len(set(rows.tolist())) == EYES
    assert rows.tolist() == sorted(watched(many).tolist())
    assert set(many.labels[rows].tolist()) == {0, 1}


def test_accuracy_is_balanced_over_the_sexes():
    labels = torch.tensor([1.0, 1, 1, 1, 0]).numpy()
    assert balanced_accuracy(labels, torch.tensor([1.0, 1, 1, 1, 1])) == 0.5
    assert balanced_accuracy(labels, torch.tensor([1.0, 1, -1, -1, -1])) == 0.75


@pytest.mark.parametrize("margin", [-0.1, 1.0, float("nan")])
def test_a_margin_that_is_none_is_refused(eyes, margin):
    with pytest.raises(
        InputError, match=f"overfitting_monitor={margin}: must be above 0 and below 1"
    ):
        robust(eyes, VALIDATION_ATTACK, 1, overfitting_monitor=margin)
