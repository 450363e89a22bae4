"""Any method through the engine: what is learned, what judges it, and interruptions."""

import copy

import pytest
import torch

from fundus_ml.attacks import ThreatModel
from fundus_ml.errors import InputError
from fundus_ml.robust_training import METHODS, PGDTraining, fit_robust, make_method
from fundus_ml.robust_training.overfitting_monitor import balanced_accuracy, one_step
from fundus_ml.statistics.clustered import auroc
from fundus_ml.training import Checkpoints, TrainingOptions, fit, predict
from tests.fundus_ml.tiny_learning import SmallNetwork, make_dataset

THREAT = ThreatModel(constraint="l2", eps=0.3)
VALIDATION_ATTACK = PGDTraining(
    threat=THREAT, step_size=0.12, attack_steps=4, random_start=True, precision="fp32"
)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("eyes") / "tiny", people={"train": 16, "val": 6})


def options(**changed):
    usual = {"epochs": 4, "batch_size": 8, "lr": 0.02, "precision": "fp32", "seed": 5}
    return TrainingOptions(**usual | changed)


def method(name, threat=THREAT):
    return make_method(
        name, threat=threat, step_size="auto", attack_steps=3, random_start=True, beta=2,
        replays=2, precision="fp32",
    )  # fmt: skip


def robust(eyes, name, how, model=None, *, threat=THREAT, **given):
    return fit_robust(
        model or SmallNetwork(), eyes.split("train"), eyes.split("val"), how,
        method=method(name, threat), validation_attack=VALIDATION_ATTACK, **given,
    )  # fmt: skip


def equal(first, second):
    theirs = second.model.state_dict()
    return all(torch.equal(v, theirs[k]) for k, v in first.model.state_dict().items())


def test_pgd_learns_as_fit_does_under_the_same_attack(eyes):
    """The same bits: the method is the attack, and the attack judges."""
    splits = eyes.split("train"), eyes.split("val")
    how = options(augment="full", label_smoothing=0.1)
    wanted = fit(SmallNetwork(), *splits, how, perturb=VALIDATION_ATTACK)
    found = fit_robust(
        SmallNetwork(), *splits, how, method=VALIDATION_ATTACK, validation_attack=VALIDATION_ATTACK
    )
    assert equal(found, wanted)
    assert found.history.drop(columns="seconds").equals(wanted.history.drop(columns="seconds"))
    assert found.criterion == "robust_val_auroc"
    assert found.ended == ""


@pytest.mark.parametrize("name", METHODS)
def test_every_recipe_learns_and_is_judged_alike(eyes, name):
    """By the full attack, each epoch; the overfitting monitor sees it and one step beside it."""
    model, weak = SmallNetwork(), ThreatModel(constraint="l2", eps=0.25)
    how = options(epochs=10, lr=0.1)
    fitted = robust(eyes, name, how, model, threat=weak, overfitting_monitor=0.9)
    best = fitted.history.iloc[fitted.best_epoch - 1]
    assert best["robust_val_auroc"] == fitted.history["robust_val_auroc"].max() > 0.8
    val = eyes.split("val")
    how = {"batch_size": 8, "precision": "fp32", "seed": 5}
    attacked = predict(model, val, perturb=VALIDATION_ATTACK, **how)
    stepped = predict(model, val, perturb=one_step(VALIDATION_ATTACK), **how)
    assert best["robust_val_auroc"] == auroc(val.labels, attacked.numpy())
    assert best["pgd_val_balanced_accuracy"] == balanced_accuracy(val.labels, attacked)
    assert best["one_step_val_balanced_accuracy"] == balanced_accuracy(val.labels, stepped)


@pytest.mark.parametrize("name", METHODS)
def test_interrupted_anywhere_it_ends_in_the_same_bits(eyes, tmp_path, name):
    """The radius of a step, and what free has moved, come back too."""

    class Interrupted(Exception):  # noqa: N818
        pass

    def run(folder, stop_at=None):
        def on_step(done, _total):
            if done == stop_at:
                raise Interrupted

        kept = Checkpoints(tmp_path / folder, {}, minutes=1e-9)
        how = options(ema=0.8)
        return robust(
            eyes,
            name,
            how,
            eps_warmup=2.5,
            overfitting_monitor=0.9,
            checkpoints=kept,
            on_step=on_step,
        )

    whole = run("whole")
    for stop_at in (2, 3, 4, 9):
        with pytest.raises(Interrupted):
            run("parts", stop_at)
    resumed = run("parts")
    assert equal(resumed, whole)
    assert resumed.history.drop(columns="seconds").equals(whole.history.drop(columns="seconds"))


@pytest.mark.parametrize("name", METHODS)
def test_the_warm_up_grows_with_the_steps(eyes, name):
    """A warm-up over all epochs moves images less than none, from the first step on."""
    moved = []
    chosen = method(name, ThreatModel(constraint="linf", eps=0.05))

    class Watched:
        replays = chosen.replays

        def losses(self, model, batch, *, share, errors, generator):
            moved.append((batch.progress, share, batch.replay))
            return chosen.losses(model, batch, share=share, errors=errors, generator=generator)

    fit_robust(
        SmallNetwork(), eyes.split("train"), eyes.split("val"), options(),
        method=Watched(), validation_attack=VALIDATION_ATTACK, eps_warmup=2,
    )  # fmt: skip
    progress, shares, replays = zip(*moved, strict=True)
    assert progress == pytest.approx([step / 4 for step in range(1, 17)])
    assert shares == pytest.approx([min(1, step / 8) for step in range(1, 17)])
    assert replays == tuple(step % chosen.replays for step in range(16))


def test_weights_of_eyes_weigh_the_losses_of_a_recipe(eyes):
    """Eyes that count for nothing are as if they were not there."""
    train = eyes.split("train").select(range(16))
    train.frame["weight"] = [2.0] * 8 + [0.0] * 8
    flipped = copy.deepcopy(train)
    flipped.labels[8:] = 1 - flipped.labels[8:]
    how = options(balance="loss", augment="none", batch_size=16, epochs=1)
    found = [
        fit_robust(SmallNetwork(), split, eyes.split("val"), how,
                   method=method("trades"), validation_attack=VALIDATION_ATTACK)
        for split in (train, flipped)
    ]  # fmt: skip
    assert equal(*found)


@pytest.mark.parametrize("eps_warmup", [-1, 4.5])
def test_a_warm_up_that_never_ends_is_refused(eyes, eps_warmup):
    with pytest.raises(InputError, match=rf"eps_warmup={eps_warmup}: must be from 0 to epochs=4"):
        robust(eyes, "pgd", options(), eps_warmup=eps_warmup)


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"beta": -1}, "beta=-1: must be a finite number, 0 or more"),
     ({"replays": 0}, "replays=0: must be at least 1")],
)  # fmt: skip
def test_numbers_of_a_recipe_are_checked(changed, said):
    with pytest.raises(InputError, match=said):
        make_method(
            "pgd", threat=THREAT, step_size="auto", attack_steps=1, random_start=False, **changed
        )
