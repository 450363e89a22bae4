"""The watchdog on histories, and on a training that really overfits catastrophically."""

import pytest
import torch
from torch import nn

from fundus_ml.attacks import ThreatModel
from fundus_ml.errors import InputError
from fundus_ml.robust_training import PGDTraining, fit_robust
from fundus_ml.robust_training.watchdog import MANY_STEPS, ONE_STEP, Watchdog
from fundus_ml.training import TrainingOptions
from tests.fundus_ml.tiny_learning import SIZE, make_dataset


class WideNetwork(nn.Module):
    """Enough weights to bend its gradients within the ball."""

    def __init__(self, width=32):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(3, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(width * SIZE**2, 64),
                nn.ReLU(),
                nn.Linear(64, 1),
            )

    def forward(self, images):
        return self.layers((images - 0.43) * 4).squeeze(1)


def history(*figures):
    """Epochs from balanced accuracy under many steps and one, and AUROC where it is another."""
    return [
        {
            "epoch": float(epoch),
            MANY_STEPS: many,
            ONE_STEP: one,
            "robust_val_auroc": (*auroc, many)[0],
        }
        for epoch, (many, one, *auroc) in enumerate(figures, start=1)
    ]


@pytest.mark.parametrize(
    ("pairs", "barks"),
    [
        ([], False),
        ([(0.7, 0.8)], False),
        ([(0.7, 0.8), (0.4, 0.9)], True),
        ([(0.7, 0.8), (0.4, 0.79)], True),
        ([(0.7, 0.8), (0.4, 0.5)], False),  # both fall: it merely forgets
        ([(0.7, 0.8), (0.65, 0.9)], False),  # within the margin
        ([(0.7, 0.8), (0.4, 0.9), (0.7, 0.9)], False),  # it came back
        ([(0.5, 0.5), (0.2, 0.5)], False),  # it begins to learn
        ([(0.7, 0.8, 0.7), (0.4, 0.9, 0.69)], False),  # all logits moved to one side
    ],
)
def test_it_barks_where_many_steps_fall_and_one_does_not(pairs, barks):
    """And names the epochs and the figures in one line."""
    said = Watchdog(margin=0.1)(history(*pairs))
    assert bool(said) == barks
    if barks:
        assert "catastrophic overfitting in epoch 2: accuracy under PGD 0.70 (epoch 1)" in said
        assert "\n" not in said


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.1, float("nan")])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(InputError, match="watchdog="):
        Watchdog(margin=margin)


@pytest.mark.parametrize("overfits", [True, False])
def test_a_training_that_overfits_catastrophically_is_ended(tmp_path, overfits):
    """One step of the whole radius, always from the image: it is caught, and rolled back."""
    eyes = make_dataset(tmp_path / "eyes", people={"train": 64, "val": 32}, signal=60)
    threat = ThreatModel(constraint="linf", eps=(32 if overfits else 16) / 255)
    one_step = PGDTraining(
        threat=threat, step_size=threat.eps, attack_steps=1, keep_best=False, precision="fp32"
    )
    judge = PGDTraining(threat=threat, step_size=threat.eps / 4, attack_steps=10, precision="fp32")
    options = TrainingOptions(
        epochs=40 if overfits else 8, batch_size=32, lr=0.005, precision="fp32", augment="none",
        schedule="constant",
    )  # fmt: skip
    fitted = fit_robust(
        WideNetwork(), eyes.split("train"), eyes.split("val"), options,
        recipe=one_step, judge=judge, watchdog=0.25,
    )  # fmt: skip
    assert bool(fitted.ended) == overfits
    assert len(fitted.history) < 40
    chosen = fitted.history.set_index("epoch")["robust_val_auroc"]
    assert chosen[fitted.best_epoch] == chosen.max()
    if overfits:
        assert "catastrophic overfitting" in fitted.ended
        last = fitted.history.iloc[-1]
        assert last[MANY_STEPS] < last[ONE_STEP] - 0.25
        assert fitted.best_epoch < len(fitted.history)
