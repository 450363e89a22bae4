"""What the engine learns, without a label, from the training split alone."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.classifiers import make_classifier
from fundus_ml.pretraining import Coefficients, Encoder, PretrainingObjective, vicreg
from fundus_ml.pretraining.objective import effective_rank
from fundus_ml.training import Batch, TrainingOptions, learn


def options(**changed):
    usual = {"epochs": 2, "batch_size": 8, "lr": 1e-3, "precision": "fp32", "seed": 5}
    return TrainingOptions(**usual | changed)


def objective(eyes, **changed):
    usual = {"train": eyes.split("train"), "val": eyes.split("val"), "options": options()}
    return PretrainingObjective(**usual | changed)


def pretrain(eyes, classifier, *, opts=None, **changed):
    opts = opts or options()
    encoder = Encoder(classifier, projector=8, seed=3)
    aim = objective(eyes, options=opts, **changed)
    return learn(encoder, aim.train, aim, opts)


def relabelled(eyes):
    """The same pixels with other labels, sexes, ages and weights."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(eyes))
    changed = eyes.select(np.arange(len(eyes)))
    mixed = {name: eyes.frame[name].to_numpy()[order] for name in ("label", "sex", "age")}
    changed.frame = changed.frame.assign(**mixed, weight=rng.uniform(1, 2, len(eyes)))
    return changed


def same(first, second):
    theirs = second.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("pairs", ["photograph", "person"])
def test_labels_change_nothing(eyes, classifier, pairs):
    """Permuted labels give identical weights and an identical history."""
    first = pretrain(eyes, classifier, pairs=pairs)
    second = pretrain(relabelled(eyes), classifier, pairs=pairs)
    assert same(first.model, second.model)
    assert first.history.drop(columns="seconds").equals(second.history.drop(columns="seconds"))


def test_seed_and_pairs_change_something(eyes, classifier):
    """So that the test above could fail."""
    first = pretrain(eyes, classifier)
    assert not same(first.model, pretrain(eyes, classifier, pairs="person").model)
    assert not same(first.model, pretrain(eyes, classifier, opts=options(seed=6)).model)


def test_validation_and_test_eyes_are_not_learned_from(eyes, classifier):
    """Each split pairs its own; other validation eyes leave what is learned alone."""
    aim = objective(eyes, pairs="person")
    assert aim.pairing.paired == len(aim.train) == 24
    assert aim.val_pairing.paired == len(aim.val) == 12
    usual = pretrain(eyes, classifier, pairs="person").history
    fewer = objective(eyes).val.select(range(4))
    judged = pretrain(eyes, classifier, pairs="person", val=fewer).history
    assert judged["train_loss"].equals(usual["train_loss"])


def test_the_loss_is_vicreg_of_one_pass_over_both_views(eyes, encoder):
    """Written out, in training mode, with the generator of the step."""
    aim = objective(eyes, pairs="person", coefficients=Coefficients(covariance=3))
    rows = torch.tensor([5, 2, 17, 8])
    images = to_images(aim.train.pixels(rows.numpy()))
    batch = Batch(images, torch.zeros(4), rows, first=0, of=4)
    twin = copy.deepcopy(encoder)
    loss = aim.loss(encoder, batch, torch.Generator().manual_seed(7))
    views = aim.pairing.views(rows, images, generator=torch.Generator().manual_seed(7))
    embeddings = twin(torch.cat(views))[:, twin.width :]
    terms = vicreg(embeddings[:4], embeddings[4:])
    wanted = 25 * terms.invariance + 25 * terms.variance + 3 * terms.covariance
    torch.testing.assert_close(loss, wanted)


@pytest.mark.slow
def test_learning_lowers_the_validation_loss(eyes, classifier):
    """The eyes are noise, so the unseen ones gain little; the best epoch gains most."""
    spec = dataclasses.replace(classifier.spec, arch="resnet18")
    fitted = pretrain(eyes, make_classifier(spec, seed=3), opts=options(epochs=5, lr=3e-3))
    losses, learned = fitted.history["val_loss"], fitted.history["train_loss"]
    assert learned.iloc[-1] < 0.85 * learned[0]
    assert losses.iloc[-1] < losses[0]
    assert fitted.criterion == "negative_val_loss"
    assert fitted.best_epoch == int(fitted.history["epoch"][losses.idxmin()])
    assert np.allclose(fitted.history["negative_val_loss"], -losses)


def test_validation_is_one_loss_over_the_whole_split(eyes, encoder):
    """The batch size moves it by rounding and by the draws alone; the model is given back."""
    encoder.train()
    before = copy.deepcopy(encoder.state_dict())
    aim = objective(eyes)
    row = aim.validate(encoder)
    assert row == aim.validate(encoder)
    assert encoder.training
    assert all(torch.equal(value, before[k]) for k, value in encoder.state_dict().items())
    terms = row["val_invariance"], row["val_variance"], row["val_covariance"]
    assert row["val_loss"] == pytest.approx(np.dot((25, 25, 1), terms))
    assert row["val_embedding_std"] > 0
    assert 1 <= row["val_feature_rank"] <= 11


def test_a_collapsed_encoder_is_told(eyes, encoder):
    """One embedding for every eye: no spread, no rank, the variance term at its worst."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.zero_()
    row = objective(eyes).validate(encoder)
    assert row["val_embedding_std"] == 0
    assert row["val_feature_rank"] == 0
    assert row["val_variance"] == pytest.approx(1 - math.sqrt(1e-4))


def test_a_loss_that_is_no_number_stops(eyes, encoder):
    with torch.no_grad():
        encoder.projector[7].weight.fill_(math.nan)
    with pytest.raises(InputError, match="val_loss=nan: training diverged; lower lr"):
        objective(eyes).validate(encoder)


def test_one_eye_is_refused(eyes):
    with pytest.raises(InputError, match="split val of tiny: holds one eye, two are needed"):
        objective(eyes, val=eyes.split("val").select([0]))


def test_effective_rank_counts_directions():
    """Even directions count in full, a line as one, a point as none; the mean does not count."""
    even = torch.cat((torch.eye(4), -torch.eye(4)))
    assert effective_rank(even) == pytest.approx(4)
    assert effective_rank(even + 100) == pytest.approx(4)
    assert effective_rank(torch.arange(6.0)[:, None] * torch.tensor([1.0, 2, 3])) == pytest.approx(
        1
    )
    assert effective_rank(torch.ones(5, 3)) == 0
    uneven = even * torch.tensor([3.0, 1, 0, 0])
    wanted = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert effective_rank(uneven) == pytest.approx(wanted)
