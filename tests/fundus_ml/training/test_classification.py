"""The engine against a plain loop, and what each option of it changes."""

import copy
import math
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fundus_ml.attacks import ThreatModel
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.robust_training import PGDTraining
from fundus_ml.training import TrainingOptions, fit, predict
from fundus_ml.training.sampling import epoch_order
from tests.fundus_ml.tiny_learning import (
    SIZE,
    LinearNetwork,
    SmallNetwork,
    make_dataset,
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


class PlainNetwork(SmallNetwork):
    """Without dropout, so that what a batch is cut into changes nothing but BatchNorm."""

    def __init__(self):
        super().__init__()
        self.drop = nn.Identity()


def plain_batches(train, epoch, *, weighted=False):
    """What the engine reads in an epoch, with the rows."""
    order = epoch_order(train, seed=5, epoch=epoch, weighted=weighted)
    for rows in order.split(8)[: 26 // 8]:
        yield to_images(train.pixels(rows.numpy())), torch.from_numpy(train.labels)[rows], rows


def states_by_epoch(train, val, model, how, *, perturb=None):
    """Fit and give back the weights after every epoch, with the result."""
    snapshots = []
    fitted = fit(
        model, train, val, how, perturb=perturb,
        on_epoch_end=lambda _row: snapshots.append(copy.deepcopy(model.state_dict())),
    )  # fmt: skip
    return snapshots, fitted


def assert_states_close(state, wanted):
    for name, value in wanted.items():
        torch.testing.assert_close(value, state[name], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("perturb", [None, brighten])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_fit_is_a_plain_loop(train, val, optimizer, perturb):
    """Same weights after every epoch as the loop anyone would write."""
    how = options(optimizer=optimizer, augment="none", weight_decay=0.1)
    snapshots, fitted = states_by_epoch(train, val, PlainNetwork(), how, perturb=perturb)
    plain = PlainNetwork().to(memory_format=torch.channels_last)
    if optimizer == "adamw":
        stepper = torch.optim.AdamW(plain.parameters(), lr=0.02, weight_decay=0.1, fused=True)
    else:
        stepper = torch.optim.SGD(
            plain.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=0.1
        )
    losses, step, steps = [], 0, 3 * (26 // 8)
    for epoch, snapshot in enumerate(snapshots, 1):
        epoch_losses = []
        for images, labels, _ in plain_batches(train, epoch):
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
        assert_states_close(snapshot, plain.state_dict())
        losses.append(np.mean(epoch_losses))
    assert step == steps
    assert fitted.history["train_loss"].to_numpy() == pytest.approx(np.array(losses), rel=1e-4)


@pytest.mark.parametrize("balance", ["loss", "sampler"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_balance_and_smoothing_are_a_plain_loop(train, val, balance, label_smoothing):
    """Errors weighed or eyes drawn by the manifest's weight; labels moved towards the middle."""
    weights = np.linspace(0.2, 3, len(train))
    train = train.select(np.arange(len(train)))
    train.frame["weight"] = weights
    how = options(
        augment="none", optimizer="sgd", schedule="constant", balance=balance, weight_decay=0,
        label_smoothing=label_smoothing, clip_norm=0.5, epochs=2,
    )  # fmt: skip
    snapshots, _ = states_by_epoch(train, val, PlainNetwork(), how)
    plain = PlainNetwork().to(memory_format=torch.channels_last).train()
    stepper = torch.optim.SGD(plain.parameters(), lr=0.02, momentum=0.9, nesterov=True)
    for epoch, snapshot in enumerate(snapshots, 1):
        for images, labels, rows in plain_batches(train, epoch, weighted=balance == "sampler"):
            prob = torch.sigmoid(plain(images))
            aims = labels * (1 - label_smoothing) + label_smoothing / 2
            losses = -(aims * prob.log() + (1 - aims) * (1 - prob).log())
            if balance == "loss":
                losses = losses * torch.tensor(weights[rows] / weights.mean())
            stepper.zero_grad()
            losses.mean().backward()
            length = torch.cat([p.grad.flatten() for p in plain.parameters()]).norm()
            for parameter in plain.parameters():
                parameter.grad *= min(1, 0.5 / float(length))
            stepper.step()
        for name, value in plain.state_dict().items():
            torch.testing.assert_close(value, snapshot[name], atol=1e-5, rtol=1e-4)


def test_accumulated_passes_make_the_step_of_the_whole_batch(train, val):
    """Where BatchNorm does not look across the batch; it is held still here."""
    whole, _ = states_by_epoch(train, val, PlainNetwork(), options(freeze="batchnorm"))
    parts, _ = states_by_epoch(
        train, val, PlainNetwork(), options(freeze="batchnorm", accumulate=4)
    )
    for one, other in zip(whole, parts, strict=True):
        assert_states_close(one, other)
    coarse, _ = states_by_epoch(train, val, PlainNetwork(), options(accumulate=4))
    assert not torch.allclose(coarse[-1]["norm.running_var"], whole[-1]["norm.running_var"])


def test_the_averaged_weights_are_validated_and_kept(train, val):
    """torch's own average over the weights after each step."""
    how = options(ema=0.8, epochs=1)
    model = SmallNetwork()
    after = []
    fitted = fit(
        model, train, val, how, on_step=lambda *_: after.append(copy.deepcopy(model)),
    )  # fmt: skip
    average = AveragedModel(
        SmallNetwork(), multi_avg_fn=get_ema_multi_avg_fn(0.8), use_buffers=True
    )
    for network in after:
        average.update_parameters(network)
    assert_states_close(fitted.model.state_dict(), average.module.state_dict())
    logit = predict(average.module, val, batch_size=8, precision="fp32")
    assert fitted.history["val_auroc"][0] == pytest.approx(roc_auc_score(val.labels, logit))
    assert not equal_states(fitted.model, after[-1])


@pytest.mark.parametrize(
    ("freeze", "still"),
    [
        ("none", set()),
        ("batchnorm", {"backbone.norm.weight", "backbone.norm.bias",
                       "backbone.norm.running_mean", "backbone.norm.running_var",
                       "backbone.norm.num_batches_tracked"}),
        ("backbone", {f"backbone.{name}" for name in SmallNetwork().state_dict()
                      if not name.startswith("head")}),
    ],
)  # fmt: skip
def test_freezing_holds_weights_and_statistics(train, val, freeze, still):
    """What is frozen keeps its bits; everything asks for gradients again afterwards."""

    class Headed(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.head = SmallNetwork(), nn.Linear(1, 1)

        def forward(self, images):
            return self.head(self.backbone(images)[:, None]).squeeze(1)

    model = Headed()
    before = copy.deepcopy(model.state_dict())
    fit(model, train, val, options(freeze=freeze, epochs=1), perturb=ATTACK)
    kept = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert kept == still
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_patience_ends_a_training_that_gets_no_better(train, val):
    """As many epochs after the best one as it says, and not before."""
    always = fit(SmallNetwork(), train, val, options(epochs=9, lr=0.05))
    best = int(always.history["val_auroc"].argmax()) + 1
    ended = fit(SmallNetwork(), train, val, options(epochs=9, lr=0.05, patience=2))
    assert best + 2 < 9
    assert len(ended.history) == ended.best_epoch + 2 == best + 2


@pytest.mark.parametrize("augment", ["flip", "geometry", "full"])
def test_augmentation_is_of_the_step_and_the_seed(train, val, augment):
    """It changes what is seen, alike in two runs and not in two epochs."""
    seen = []

    def look(_model, images, _labels, _generator):
        if torch.is_grad_enabled():
            seen.append(images.clone())
        return images

    for _ in range(2):
        how = options(augment=augment, epochs=2, batch_size=26)
        fit(SmallNetwork(), train, val, how, perturb=look)
    batches = [images for images in seen if len(images) == 26]
    assert torch.equal(batches[0], batches[2])
    assert torch.equal(batches[1], batches[3])
    stored = to_images(train.pixels(epoch_order(train, seed=5, epoch=1, weighted=False).numpy()))
    changed = (batches[0] != stored).flatten(1).any(dim=1).float().mean()
    assert 0.2 < changed <= 1


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_nearly_the_same(train, val, precision):
    exact = fit(PlainNetwork(), train, val, options()).history
    rough = fit(PlainNetwork(), train, val, options(precision=precision)).history
    assert rough["train_loss"].to_numpy() == pytest.approx(exact["train_loss"], abs=0.02)
    assert not rough["train_loss"].equals(exact["train_loss"])


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


@pytest.mark.parametrize(("batch_size", "per_epoch"), [(8, 3), (13, 2), (26, 1)])
def test_progress_counts_every_step(train, val, batch_size, per_epoch):
    """Full batches only."""
    steps, epochs = [], []
    fitted = fit(
        SmallNetwork(), train, val, options(epochs=2, batch_size=batch_size),
        on_step=lambda done, total: steps.append((done, total)),
        on_epoch_end=lambda row: epochs.append(row["epoch"]),
    )  # fmt: skip
    assert steps == [(done, 2 * per_epoch) for done in range(1, 2 * per_epoch + 1)]
    assert epochs == [1, 2]
    assert fitted.seconds_per_step > 0


def test_seconds_per_step_include_perturbing(train, val):
    """The median step is at least as long as what each one waits for."""

    def slow(_model, images, _labels, _generator):
        time.sleep(0.02)
        return images

    fitted = fit(SmallNetwork(), train, val, options(epochs=1), perturb=slow)
    assert fitted.seconds_per_step > 0.02
    assert fitted.history["seconds"][0] > 5 * 0.02


def test_frozen_layers_stay(train, val):
    """What does not ask for gradients is not trained, and stays frozen after validation."""
    model = SmallNetwork()
    model.convolution.requires_grad_(False)
    before = model.convolution.weight.clone()
    fit(model, train, val, options(), perturb=ATTACK)
    assert torch.equal(model.convolution.weight, before)
    assert not model.convolution.weight.requires_grad
    assert model.head.weight.requires_grad


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
    with pytest.raises(InputError, match=f"split {split} of tiny: holds one class only"):
        fit(SmallNetwork(), given["train"], given["val"], options())


class Diverging(LinearNetwork):
    """Its logits are no numbers in one of the two modes."""

    def __init__(self, *, fails_in_training):
        super().__init__(SIZE, SIZE, scale=0.01)
        self.fails_in_training = fails_in_training

    def forward(self, images):
        logit = super().forward(images)
        return logit * torch.nan if self.training == self.fails_in_training else logit


@pytest.mark.parametrize(
    ("fails_in_training", "said"),
    [
        (True, r"train_loss=nan at step 1 \(epoch 1\) with lr=0.02: training diverged; lower lr"),
        (False, "val_loss=nan: training diverged; lower lr"),
    ],
)
def test_divergence_is_refused(train, val, fails_in_training, said):
    """A loss that is no number ends the fit with what to change."""
    model = Diverging(fails_in_training=fails_in_training)
    with pytest.raises(InputError, match=said):
        fit(model, train, val, options())


def test_divergence_names_its_step_and_rate(train, val):
    """The first loss that is none, before the weights take harm from it."""

    def breaks(model, images, _labels, _generator):
        breaks.calls += model.training
        return images * (torch.nan if breaks.calls == 5 else 1)

    breaks.calls = 0
    model = SmallNetwork()
    with pytest.raises(InputError, match=r"nan at step 5 \(epoch 2\) with lr=0.01"):
        fit(model, train.select(range(16)), val, options(epochs=8, batch_size=4, schedule="step",
            lr=0.01), perturb=breaks)  # fmt: skip
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_overflowing_loss_is_refused(train, val):
    """An infinite loss is none either."""
    model = LinearNetwork(SIZE, SIZE, scale=1e38)
    with pytest.raises(InputError, match=r"train_loss=(inf|nan) at step 1"):
        fit(model, train, val, options())


def test_a_batch_larger_than_the_split_is_refused(train, val):
    with pytest.raises(InputError, match="batch_size=27: larger than the 26 training eyes of tiny"):
        fit(SmallNetwork(), train, val, options(batch_size=27))
