"""The engine against a plain loop, its schedules in closed form, and all that can stop it."""

import copy
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml import training
from fundus_ml.attacks import ThreatModel
from fundus_ml.dataset import batches
from fundus_ml.errors import InputError
from fundus_ml.robust_training import PGDTraining
from fundus_ml.training import TrainingOptions, fit, predict
from tests.fundus_ml.tiny_learning import (
    SIZE,
    LinearNetwork,
    SmallNetwork,
    is_channels_last,
    make_dataset,
    make_images,
)

ATTACK = PGDTraining(
    threat=ThreatModel(constraint="l2", eps=0.5),
    step_size=0.3,
    attack_steps=2,
    random_start=True,
    precision="fp32",
)


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """26 training and 12 validation eyes that a small network can learn to tell apart."""
    return make_dataset(tmp_path_factory.mktemp("eyes") / "tiny", people={"train": 13, "val": 6})


@pytest.fixture
def train(eyes):
    """The training split."""
    return eyes.split("train")


@pytest.fixture
def val(eyes):
    """The validation split."""
    return eyes.split("val")


def options(**changed):
    """Few, small, exact epochs."""
    usual = {"epochs": 3, "batch_size": 8, "lr": 0.02, "precision": "fp32", "seed": 5}
    return TrainingOptions(**usual | changed)


def one_sex(dataset):
    """Keep the male eyes."""
    return dataset.select(dataset.labels == 1)


def equal_states(first, second):
    """Whether two networks hold the same bits."""
    theirs = second.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())


def brighten(_model, images, _labels, _generator):
    """Stands for an attack whose result is known."""
    return (images + 0.05).clamp(max=1)


@pytest.mark.parametrize("perturb", [None, brighten])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_fit_is_a_plain_loop(train, val, optimizer, perturb):
    """Same weights after every epoch as the loop anyone would write."""
    how = options(optimizer=optimizer, flip=False, weight_decay=0.1)
    snapshots = []
    model = SmallNetwork().to(memory_format=torch.channels_last)
    fitted = fit(
        model, train, val, how, perturb=perturb,
        on_epoch_end=lambda _row: snapshots.append(copy.deepcopy(model.state_dict())),
    )  # fmt: skip

    plain = SmallNetwork().to(memory_format=torch.channels_last)
    if optimizer == "adamw":
        stepper = torch.optim.AdamW(plain.parameters(), lr=0.02, weight_decay=0.1)
    else:
        stepper = torch.optim.SGD(
            plain.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.1
        )
    generator = torch.Generator().manual_seed(5)
    losses, step, steps = [], 0, 3 * (26 // 8)
    torch.manual_seed(5)
    for snapshot in snapshots:
        epoch_losses = []
        for images, labels in batches(train, 8, generator=generator, drop_last=True):
            for group in stepper.param_groups:
                group["lr"] = 0.02 * (1 + math.cos(math.pi * step / steps)) / 2
            plain.train()
            seen = images if perturb is None else (images + 0.05).clamp(max=1)
            loss = binary_cross_entropy_with_logits(plain(seen), labels)
            stepper.zero_grad()
            loss.backward()
            stepper.step()
            epoch_losses.append(loss.item())
            step += 1
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(value, snapshot[name], atol=1e-6, rtol=1e-5)
        losses.append(np.mean(epoch_losses))
    assert step == steps
    assert fitted.history["train_loss"].to_numpy() == pytest.approx(np.array(losses), rel=1e-4)


def test_best_epoch_is_kept(train, val):
    """The model that comes back is the first one with the highest AUROC, in evaluation mode."""
    snapshots, rows = [], []

    def keep(row):
        rows.append(row)
        snapshots.append(copy.deepcopy(model.state_dict()))

    model = SmallNetwork()
    fitted = fit(model, train, val, options(epochs=5, lr=0.05), on_epoch_end=keep)
    aurocs = fitted.history["val_auroc"].to_numpy()
    assert fitted.best_epoch == 1 + aurocs.argmax()
    assert fitted.criterion == "val_auroc"
    assert fitted.model is model
    assert not model.training
    wanted = snapshots[fitted.best_epoch - 1]
    assert all(torch.equal(value, wanted[name]) for name, value in model.state_dict().items())
    logit = predict(model, val, batch_size=5, precision="fp32")
    assert roc_auc_score(val.labels, logit) == pytest.approx(aurocs.max())
    loss = binary_cross_entropy_with_logits(logit, torch.from_numpy(val.labels)).item()
    assert fitted.history["val_loss"][fitted.best_epoch - 1] == pytest.approx(loss, rel=1e-5)
    assert fitted.history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert fitted.history.to_dict("records") == rows


def test_it_learns(train, val):
    """A difference that is there is found, also by adversarial epochs."""
    clean = fit(SmallNetwork(), train, val, options(epochs=8, lr=0.05))
    assert clean.history["val_auroc"].max() > 0.95
    robust = fit(SmallNetwork(), train, val, options(epochs=8, lr=0.05), perturb=ATTACK)
    assert robust.criterion == "robust_val_auroc"
    row = robust.history.iloc[robust.best_epoch - 1]
    assert row["robust_val_auroc"] == robust.history["robust_val_auroc"].max() > 0.8
    assert row["robust_val_auroc"] <= row["val_auroc"]


@pytest.mark.parametrize("perturb", [None, ATTACK])
def test_same_seed_same_bits(train, val, perturb):
    """Order, flips, dropout and random starts come from the seed and from nothing else."""

    def run(seed):
        return fit(SmallNetwork(), train, val, options(seed=seed), perturb=perturb)

    torch.manual_seed(1)
    first = run(5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = run(5)
    assert torch.equal(torch.get_rng_state(), state)
    assert equal_states(first.model, second.model)
    columns = [name for name in first.history if name != "seconds"]
    assert first.history[columns].equals(second.history[columns])
    assert not equal_states(first.model, run(6).model)


def test_validation_does_not_move_training(train, val):
    """With another validation split each epoch leaves the same weights."""
    last = []
    for split in (val, val.select([0, 2, 5, 7])):
        model = SmallNetwork()
        fit(
            model, train, split, options(), perturb=ATTACK,
            on_epoch_end=lambda _row, model=model: last.append(copy.deepcopy(model.state_dict())),
        )  # fmt: skip
    assert all(torch.equal(value, last[5][name]) for name, value in last[2].items())


@pytest.mark.parametrize(
    ("schedule", "epochs", "shares"),
    [
        ("cosine", 4, [(1 + math.cos(math.pi * e / 4)) / 2 for e in range(4)]),
        ("step", 3, [1, 0.1, 0.01]),
        ("step", 5, [1, 1, 0.1, 0.1, 0.01]),
        ("step", 7, [1, 1, 1, 0.1, 0.1, 0.1, 0.01]),
        ("step", 1, [1]),
    ],
)
def test_learning_rate_follows_its_schedule(train, val, schedule, epochs, shares):
    """Closed form at the start of each epoch; step has three levels whatever the length."""
    how = options(schedule=schedule, epochs=epochs, batch_size=26)
    fitted = fit(SmallNetwork(), train, val, how)
    assert fitted.history["lr"].to_numpy() / 0.02 == pytest.approx(np.array(shares))


@pytest.mark.parametrize(("batch_size", "per_epoch"), [(8, 3), (13, 2), (26, 1), (40, 1)])
def test_progress_counts_every_step(train, val, batch_size, per_epoch):
    """Full batches only, or one that holds everything where the split is smaller than a batch."""
    steps, epochs = [], []
    fitted = fit(
        SmallNetwork(), train, val, options(epochs=2, batch_size=batch_size),
        on_step=lambda done, total: steps.append((done, total)),
        on_epoch_end=lambda row: epochs.append(row["epoch"]),
    )  # fmt: skip
    assert steps == [(done, 2 * per_epoch) for done in range(1, 2 * per_epoch + 1)]
    assert epochs == [1, 2]
    assert fitted.seconds_per_step > 0


def test_seconds_per_step_includes_reading(train, val, monkeypatch):
    """By a clock that only reading and perturbing move."""
    now = [0.0]

    def slow_batches(*args, **kwargs):
        for batch in batches(*args, **kwargs):
            now[0] += 5
            yield batch

    def slow_attack(_model, images, _labels, _generator):
        now[0] += 2
        return images

    monkeypatch.setattr(training.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(training, "batches", slow_batches)
    fitted = fit(SmallNetwork(), train, val, options(epochs=1), perturb=slow_attack)
    assert fitted.seconds_per_step == 7
    # 3 training batches, and 2 of validation read twice, once under attack
    assert fitted.history["seconds"].tolist() == [3 * 7 + 2 * 5 + 2 * 7]


def test_frozen_layers_stay(train, val):
    """What does not ask for gradients is not trained, and stays frozen after validation."""
    model = SmallNetwork()
    model.convolution.requires_grad_(False)
    before = model.convolution.weight.clone()
    fit(model, train, val, options(), perturb=ATTACK)
    assert torch.equal(model.convolution.weight, before)
    assert not model.convolution.weight.requires_grad
    assert model.head.weight.requires_grad


def test_flip_mirrors_about_half():
    """Each image is itself or its mirror image, in its place and layout."""
    images = make_images(400, 3, 5)
    flipped = training._flip(images, torch.Generator().manual_seed(0))
    same = (flipped == images).flatten(1).all(dim=1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(dim=1)
    assert (same ^ mirrored).all()
    assert 150 < mirrored.sum() < 250
    assert is_channels_last(flipped)
    assert not torch.equal(training._flip(images, torch.Generator().manual_seed(1)), flipped)


def test_flip_can_be_turned_off(train, val):
    """It changes what is learned, and off it changes nothing that is seen."""
    seen = []

    def look(_model, images, _labels, _generator):
        seen.append(images)
        return images

    fit(SmallNetwork(), train, val, options(flip=False, epochs=1), perturb=look)
    stored = train.pixels(np.arange(len(train)))
    rows = [(stored == (image.permute(1, 2, 0) * 255).round().byte().numpy()).all(axis=(1, 2, 3))
            for image in torch.cat(seen[:3])]  # fmt: skip
    assert np.sum(rows) == 24
    assert np.sum(rows, axis=0).max() == 1


def test_any_subclass_of_the_options_will_do(train, val):
    """Entry points add their own fields."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TrainingOptions):
        dataset: str

    config = Config(dataset="x", epochs=1, batch_size=8, precision="fp32")
    assert fit(SmallNetwork(), train, val, config).best_epoch == 1


def test_a_callback_may_stop_the_fit(train, val):
    """Its exception comes through, and the global generator is as before."""

    def stop(row):
        raise KeyboardInterrupt(row["epoch"])

    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt, match=r"1\.0"):
        fit(SmallNetwork(), train, val, options(), on_epoch_end=stop)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("split", ["train", "val"])
def test_one_sex_is_refused(train, val, split):
    """Nothing can be learned from or chosen on one class."""
    given = {"train": train, "val": val}
    given[split] = one_sex(given[split])
    with pytest.raises(InputError, match=f"split {split} of tiny: holds one sex only"):
        fit(SmallNetwork(), given["train"], given["val"], options())


class Diverging(LinearNetwork):
    """Its logits are no numbers in one of the two modes."""

    def __init__(self, *, fails_in_training):
        super().__init__(SIZE, SIZE, scale=0.01)
        self.fails_in_training = fails_in_training

    def forward(self, images):
        logit = super().forward(images)
        return logit * torch.nan if self.training == self.fails_in_training else logit


@pytest.mark.parametrize(("fails_in_training", "name"), [(True, "train_loss"), (False, "val_loss")])
def test_divergence_is_refused(train, val, fails_in_training, name):
    """A loss that is no number ends the fit with what to change."""
    model = Diverging(fails_in_training=fails_in_training)
    with pytest.raises(InputError, match=f"{name}=nan in epoch 1: training diverged; lower lr"):
        fit(model, train, val, options())


def test_overflowing_loss_is_refused(train, val):
    """An infinite loss is none either."""
    model = LinearNetwork(SIZE, SIZE, scale=1e38)
    with pytest.raises(InputError, match=r"train_loss=(inf|nan) in epoch 1"):
        fit(model, train, val, options())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs=0: must be at least 1"),
        ({"batch_size": 1}, "batch_size=1: must be at least 2"),
        ({"momentum": -0.1}, "momentum=-0.1: must be at least 0"),
        ({"weight_decay": float("nan")}, "weight_decay=nan: must be at least 0"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"lr": 0.0}, "lr=0.0: must be a finite number above 0"),
        ({"lr": float("inf")}, "lr=inf: must be a finite number"),
        ({"optimizer": "adam"}, "optimizer=adam: allowed: adamw, sgd"),
        ({"schedule": "linear"}, "schedule=linear: allowed: cosine, step"),
        ({"precision": "fp16"}, "precision=fp16: allowed: auto, fp32, bf16"),
    ],
)
def test_options_refuse(changed, message):
    """Wrong settings end before any data is read."""
    with pytest.raises(InputError, match=message):
        options(**changed)


@pytest.mark.parametrize("batch_size", [1, 5, 12, 50])
def test_predict_scores_in_order(val, batch_size):
    """Batches change no score; every eye is scored once, in its place."""
    model, done = SmallNetwork(seed=2), []
    logit = predict(
        model, val, batch_size=batch_size, precision="fp32",
        on_step=lambda *counts: done.append(counts),
    )  # fmt: skip
    pixels = torch.from_numpy(val.pixels(np.arange(12))).permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        wanted = torch.cat([copy.deepcopy(model).eval()(image[None]) for image in pixels])
    torch.testing.assert_close(logit, wanted, atol=1e-6, rtol=1e-5)
    assert logit.dtype == torch.float32
    assert not logit.is_inference()
    assert done[-1] == (12, 12)
    assert len(done) == math.ceil(12 / batch_size)


def test_predict_under_attack(val):
    """The attack sees the labels, starts from the seed, and makes scores worse."""
    model = SmallNetwork(seed=2)
    how = {"batch_size": 5, "precision": "fp32"}
    labels = torch.from_numpy(val.labels)
    clean = predict(model, val, **how)
    attacked = predict(model, val, **how, perturb=ATTACK, seed=1)
    loss = binary_cross_entropy_with_logits
    assert loss(attacked, labels) > loss(clean, labels)
    assert torch.equal(predict(model, val, **how, perturb=ATTACK, seed=1), attacked)
    assert not torch.equal(predict(model, val, **how, perturb=ATTACK, seed=2), attacked)


@pytest.mark.parametrize("fails", [False, True])
def test_predict_gives_the_network_back(val, fails):
    """Training mode, a BatchNorm held in evaluation and its statistics survive, error or not."""
    model = SmallNetwork().train()
    model.norm.eval()
    before = copy.deepcopy(model)

    def attack(network, images, _labels, _generator):
        assert not any(module.training for module in network.modules())
        if fails:
            raise KeyboardInterrupt
        return images

    try:
        predict(model, val, batch_size=5, perturb=attack)
    except KeyboardInterrupt:
        assert fails
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert equal_states(model, before)


def test_predict_follows_precision(val):
    """In bf16 the scores differ a little, and come back as float32."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 1), nn.Flatten(0))
    exact = predict(model, val, batch_size=5, precision="fp32")
    rough = predict(model, val, batch_size=5, precision="bf16")
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, exact)
    torch.testing.assert_close(rough, exact, atol=0.02, rtol=0.02)
