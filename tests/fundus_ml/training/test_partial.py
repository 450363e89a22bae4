"""Training from stored features is the training it stands for, in fewer passes."""

import copy

import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.models.frozen import cut
from fundus_ml.models.options import BAG, HEADS
from fundus_ml.training import (
    TrainingOptions,
    fit,
    fit_above,
    store_below,
    stored_features,
    why_not_stored,
)
from fundus_ml.training.distribution import World
from fundus_ml.training.stored_features import store_features
from tests.fundus_ml.tiny_learning import SIZE, make_dataset


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("eyes") / "tiny", people={"train": 13, "val": 6})


def classifier(seed=0, **changed):
    usual = {
        "arch": "test_resnet", "head_hidden": 5, "mean": (0.5,) * 3, "std": (0.2,) * 3,
        "size": SIZE, "head": "multiscale",
    }  # fmt: skip
    return make_classifier(ClassifierSpec(**usual | changed), seed=seed)


def options(**changed):
    usual = {"epochs": 3, "batch_size": 8, "lr": 0.01, "precision": "fp32", "seed": 5}
    usual |= {"optimizer": "sgd"}  # whose steps follow the rounding of a gradient, not its sign
    return TrainingOptions(**usual | {"freeze": "backbone", "augment": "none"} | changed)


def above(model, eyes, how, folder, **more):
    stored = store_below(model, eyes.split("train"), eyes.split("val"), how, within=folder, **more)
    return fit_above(model, stored, how)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "changed",
    [{}, {"freeze": "3"}, {"freeze": "3", "head_epochs": 1, "layer_decay": 0.7, "ema": 0.5}],
    ids=["backbone", "levels", "head first"],
)
def test_it_ends_where_the_whole_training_does(eyes, tmp_path, head, changed):
    """Up to the rounding of what is stored; frozen layers keep their bits."""
    start = classifier(head=head)
    if head == BAG and "freeze" in changed:
        changed = changed | {"freeze": "1"}  # it keeps no more than two levels
    how = options(epochs=2, **changed)
    whole = fit(copy.deepcopy(start), eyes.split("train"), eyes.split("val"), how)
    part = above(copy.deepcopy(start), eyes, how, tmp_path)
    assert part.best_epoch == whole.best_epoch
    for column in ("train_loss", "val_loss", "val_auroc", "lr"):
        wanted = pytest.approx(whole.history[column].to_numpy(), abs=0.02)
        assert part.history[column].to_numpy() == wanted, column
    moved = copy.deepcopy(start).state_dict()
    for name, value in part.model.state_dict().items():
        torch.testing.assert_close(value, whole.model.state_dict()[name], atol=0.02, rtol=0.02)
        if name.startswith("backbone.conv1") or (
            name.startswith("backbone.layer1") and how.freeze != "1"
        ):
            assert torch.equal(value, moved[name])
    before, after = (list(model.head.parameters())[-1] for model in (start, part.model))
    assert not torch.equal(after, before)


def test_a_flip_picks_the_other_view(eyes, tmp_path):
    """Each eye is seen both ways, and validation averages both where the network does."""
    start = classifier(both_flips=True)
    how = options(augment="flip", epochs=2)
    stored = store_below(start, eyes.split("train"), eyes.split("val"), how, within=tmp_path)
    seen = []
    stored.trained.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    fitted = fit_above(start, stored, how)
    views = torch.cat([batch for batch in seen if batch.ndim == 2])
    kept = torch.from_numpy(np.asarray(stored.train.read(range(len(stored.train))))).float()
    plain = (views[:, None] == kept[None, :, 0]).all(dim=2).any(dim=1)
    mirrored = (views[:, None] == kept[None, :, 1]).all(dim=2).any(dim=1)
    assert 0.2 < plain.float().mean() < 0.8
    assert (plain | mirrored).all()
    whole = fit(classifier(both_flips=True), eyes.split("train"), eyes.split("val"), how)
    assert fitted.history["val_loss"][0] == pytest.approx(whole.history["val_loss"][0], abs=0.2)


def passes_over(frozen):
    """Images that a network sees from now on."""
    seen = []
    frozen.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    return seen


def test_features_are_computed_once(eyes, tmp_path):
    """A second training finds them; one that was killed computes what is missing."""
    frozen, _ = cut(classifier(), "backbone", side=SIZE)
    train = eyes.split("train")
    told = []
    first = store_features(
        frozen, train, within=tmp_path, batch_size=8, on_stored=lambda *step: told.append(step)
    )
    assert told[-1] == (26, 26)
    kept = np.array(first.read(range(26)))
    seen = passes_over(frozen)
    again = store_features(frozen, train, within=tmp_path, batch_size=8)
    assert sum(seen) == 1  # the one that tells how wide the features are
    assert np.array_equal(again.read(range(26)), kept)

    (folder,) = tmp_path.iterdir()
    written = np.load(folder / "written.npy", mmap_mode="r+")
    features = np.load(folder / "features.npy", mmap_mode="r+")
    written[5:9], features[5:9] = False, 0
    written.flush()
    features.flush()
    seen = passes_over(frozen)
    once_more = store_features(frozen, train, within=tmp_path, batch_size=8)
    assert sum(seen) == 1 + 2 * 4  # both views of four eyes
    assert np.allclose(once_more.read(range(26)), kept, atol=1e-3)


def test_a_process_that_is_late_leaves_no_eye_out(eyes, tmp_path, monkeypatch):
    """The first of two has written its share before the second looks what is missing."""
    frozen, _ = cut(classifier(), "backbone", side=SIZE)
    train = eyes.split("train")
    alone = store_features(frozen, train, within=tmp_path / "alone", batch_size=8)
    for rank in (0, 1):
        monkeypatch.setattr(stored_features, "world", lambda rank=rank: World(rank, size=2))
        both = store_features(frozen, train, within=tmp_path / "both", batch_size=8)
    assert np.allclose(both.read(range(26)), alone.read(range(26)), atol=1e-3)


def test_other_weights_or_eyes_have_features_of_their_own(eyes, tmp_path):
    for seed, split in ((0, "train"), (1, "train"), (0, "val")):
        frozen, _ = cut(classifier(seed), "backbone", side=SIZE)
        store_features(frozen, eyes.split(split), within=tmp_path, batch_size=8)
    assert len(list(tmp_path.iterdir())) == 3


def test_another_head_reads_the_same_features(eyes, tmp_path):
    """Seeds of one recipe share them: the head's random weights are no part of what is frozen."""
    start = classifier(0)
    other = classifier(1)
    other.backbone.load_state_dict(start.backbone.state_dict())
    for model in (start, other):
        above(model, eyes, options(epochs=1), tmp_path)
    assert len(list(tmp_path.iterdir())) == 2  # train and val


def test_a_full_disk_is_said_before_the_work(eyes, tmp_path, monkeypatch):
    import shutil  # noqa: PLC0415

    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"the features of 26 eyes take 0 MB, 0 MB are free"):
        above(classifier(), eyes, options(), tmp_path)


def test_something_else_in_the_way_is_left_alone(eyes, tmp_path):
    frozen, _ = cut(classifier(), "backbone", side=SIZE)
    store_features(frozen, eyes.split("train"), within=tmp_path, batch_size=8)
    (folder,) = tmp_path.iterdir()
    (folder / "features.json").unlink()
    with pytest.raises(InputError, match="holds something else than stored features"):
        store_features(frozen, eyes.split("train"), within=tmp_path, batch_size=8)
    assert (folder / "features.npy").is_file()


@pytest.mark.parametrize(
    ("changed", "arch", "why"),
    [
        ({"freeze": "none"}, "test_resnet", "freeze=none"),
        ({"freeze": "batchnorm"}, "test_resnet", "freeze=batchnorm"),
        ({"augment": "full"}, "test_resnet", "augment=full changes what the frozen layers see"),
        ({"freeze": "2"}, "test_vit", "arch=test_vit cannot be cut at freeze=2"),
        ({}, "test_resnet", ""),
    ],
)
def test_where_layers_must_run_in_every_epoch(changed, arch, why):
    model = classifier(arch=arch, size=32)
    assert why_not_stored(options(**changed), model, side=32).startswith(why)
    assert bool(why) == bool(why_not_stored(options(**changed), model, side=32))
