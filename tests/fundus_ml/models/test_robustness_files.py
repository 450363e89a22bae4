"""Checkpoints of the library `robustness`, made by it and read by us, and the other way round."""

import copy
import types
import warnings
from collections import OrderedDict
from types import SimpleNamespace

import dill
import pytest
import torch
import torchvision
from torch import nn

from experiments.running.start import start_classifier
from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier, two_logits
from fundus_ml.models.robustness_files import RobustnessNetwork, save_robustness_checkpoint
from fundus_ml.models.start_weights import load_start_weights
from fundus_ml.models.weights import load_classifier, save_classifier
from tests.fundus_ml.tiny_learning import make_dataset, make_images
from tracking.silent import SilentRun

with warnings.catch_warnings():
    # Its docstrings hold escapes such as "\\m", deprecated, which the first compilation reports.
    warnings.simplefilter("ignore", DeprecationWarning)
    from robustness.attacker import AttackerModel
    from robustness.model_utils import DummyModel, make_and_restore_model

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DATASET = SimpleNamespace(mean=torch.tensor(MEAN), std=torch.tensor(STD))


def make(*, seed=0, **changed):
    usual = {
        "arch": "resnet18", "head_hidden": 5, "mean": (0.3, 0.2, 0.1), "std": (0.3, 0.2, 0.15),
        "size": 40,
    }  # fmt: skip
    return make_classifier(ClassifierSpec(**usual | changed), seed=seed).eval()


def features_of(extractor, images):
    """What comes before the last layer."""
    extractor = copy.deepcopy(extractor).eval()
    extractor.fc = nn.Identity()
    with torch.no_grad():
        return extractor(images)


@pytest.fixture
def original():
    """As the library trained it, with statistics of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = torchvision.models.resnet18(num_classes=11)
        network.train()(torch.rand(4, 3, 40, 40))
    return AttackerModel(DummyModel(network), DATASET).eval()


def save_as_the_library(attacked, path, *, zipped):
    """The fields of ``robustness.train``, with a schedule of functions and flags of their own."""

    class Parameters:
        def __init__(self, params):
            self.params = params

    parallel = nn.DataParallel(attacked)
    optimizer = torch.optim.SGD(attacked.parameters(), 0.1, momentum=0.9)
    content = {
        "args": Parameters({"eps": 3, "custom_eps_multiplier": lambda t: t}),
        "model": parallel.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": {"last_epoch": 3, "lr_lambdas": [lambda epoch: 0.1 ** (epoch // 50)]},
        "epoch": 105,
        "amp": None,
        "nat_prec1": torch.tensor(57.9),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dill.PicklingWarning)
        torch.save(content, path, pickle_module=dill, _use_new_zipfile_serialization=zipped)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_of_the_library_starts_a_classifier(tmp_path, original, zipped):
    """The features of pixels are those of the original, its normalisation with them."""
    save_as_the_library(original, tmp_path / "imagenet_l2_3_0.pt", zipped=zipped)
    with pytest.raises(Exception, match="dill"):
        torch.load(tmp_path / "imagenet_l2_3_0.pt", weights_only=True)
    classifier, images = make(), make_images(3, 40, 40)
    new = load_start_weights(classifier, str(tmp_path / "imagenet_l2_3_0.pt"))
    assert new == ["fc.bias", "fc.weight"]
    assert classifier.spec.mean == pytest.approx(MEAN)
    assert classifier.spec.std == pytest.approx(STD)
    wanted = features_of(original.model.model, original.normalizer(images))
    found = features_of(classifier.backbone, (images - classifier.mean) / classifier.std)
    unlike = features_of(classifier.backbone, (images - 0.2) / 0.2)
    assert torch.equal(found, wanted)
    assert (unlike - wanted).abs().max() > 0.01
    save_classifier(classifier, tmp_path / "kept")
    with torch.no_grad():
        assert torch.equal(load_classifier(tmp_path / "kept")(images), classifier(images))


def test_a_network_of_several_archs_fits_as_the_library_names_it(tmp_path):
    """Its own ImageNet networks stand one name higher than wrapped ones."""
    network = torchvision.models.squeezenet1_1(num_classes=11)
    attacked = AttackerModel(network, DATASET)
    save_as_the_library(attacked, tmp_path / "robust.pt", zipped=True)
    classifier = make(arch="squeezenet1_1")
    load_start_weights(classifier, str(tmp_path / "robust.pt"))
    first = classifier.backbone.state_dict()["features.0.weight"]
    assert torch.equal(first, network.state_dict()["features.0.weight"])


def test_another_architecture_changes_nothing(tmp_path, original):
    """Neither weights nor normalisation."""
    save_as_the_library(original, tmp_path / "robust.pt", zipped=True)
    classifier = make(arch="squeezenet1_1")
    spec, before = classifier.spec, copy.deepcopy(classifier.state_dict())
    with pytest.raises(InputError, match="not of arch=squeezenet1_1; "):
        load_start_weights(classifier, str(tmp_path / "robust.pt"))
    assert classifier.spec is spec
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_a_normaliser_that_is_none_is_refused(tmp_path):
    """A spread of zero; nothing is filled."""
    attacked = AttackerModel(
        torchvision.models.resnet18(num_classes=11),
        SimpleNamespace(mean=torch.zeros(3), std=torch.tensor([1.0, 0.0, 1.0])),
    )
    save_as_the_library(attacked, tmp_path / "robust.pt", zipped=True)
    classifier = make()
    before = copy.deepcopy(classifier.state_dict())
    with pytest.raises(InputError, match=r"std=\(1.0, 0.0, 1.0\): three finite numbers each"):
        load_start_weights(classifier, str(tmp_path / "robust.pt"))
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_train_says_how_pixels_are_normalised(tmp_path, original, capsys):
    """The dataset's own channels are not taken, and the user is told."""
    save_as_the_library(original, tmp_path / "robust.pt", zipped=True)
    dataset = make_dataset(tmp_path / "data", people={"train": 2})
    config = types.SimpleNamespace(
        arch="resnet18", head="last", head_hidden=4, dropout=0.0, both_flips=False,
        weights=str(tmp_path / "robust.pt"), seed=0,
    )  # fmt: skip
    classifier, parent = start_classifier(config, dataset, SilentRun())
    assert parent is None
    assert classifier.spec.mean == pytest.approx(MEAN)
    said = capsys.readouterr().out
    assert "normalised as there, mean=0.485, 0.456, 0.406, std=0.229, 0.224, 0.225" in said


def trained(seed):
    """A classifier whose BatchNorm has seen something."""
    classifier = make(seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier.train()(torch.rand(4, 3, 40, 40))
    return classifier.eval()


def test_the_library_reads_what_we_write(tmp_path):
    """As ``make_and_restore_model`` does it up to its ``.cuda()``."""
    classifier, images = trained(1), make_images(4, 40, 40)
    path = tmp_path / "ours.pt"
    save_robustness_checkpoint(classifier, path, epoch=7)
    model = AttackerModel(DummyModel(RobustnessNetwork(make(seed=2))), DATASET).eval()
    checkpoint = torch.load(path, pickle_module=dill)
    state = {name[len("module.") :]: value for name, value in checkpoint["model"].items()}
    assert checkpoint["epoch"] == 7
    model.load_state_dict(state)
    with torch.no_grad():
        found, given = model(images)
        wanted = two_logits(classifier)(images)
    assert torch.equal(given, images)
    torch.testing.assert_close(found, wanted)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_library_restores_what_we_write(tmp_path):
    """Through its own function, which needs a GPU."""
    classifier, images = trained(1), make_images(4, 40, 40)
    save_robustness_checkpoint(classifier, tmp_path / "ours.pt")
    model, _ = make_and_restore_model(
        arch=RobustnessNetwork(make(seed=2)), dataset=DATASET,
        resume_path=str(tmp_path / "ours.pt"), add_custom_forward=True,
    )  # fmt: skip
    with torch.no_grad():
        found, _ = model.eval()(images.cuda())
        wanted = two_logits(classifier)(images)
    torch.testing.assert_close(found.cpu(), wanted, atol=1e-3, rtol=1e-3)


def test_what_we_write_we_read(tmp_path):
    """Without anything foreign in it, and back into the same feature extractor and
    normalisation."""
    classifier, again = trained(1), make(seed=3, mean=(0.5, 0.5, 0.5))
    save_robustness_checkpoint(classifier, tmp_path / "ours.pt")
    assert isinstance(torch.load(tmp_path / "ours.pt", weights_only=True)["model"], dict)
    assert load_start_weights(again, str(tmp_path / "ours.pt")) == []
    assert again.spec.mean == pytest.approx(classifier.spec.mean)
    for name, value in classifier.backbone.state_dict().items():
        assert torch.equal(again.backbone.state_dict()[name], value), name


def test_writing_leaves_the_classifier_alone(tmp_path):
    """The network that is written shares its tensors, and its names come in the file's order."""
    classifier = trained(4)
    before = OrderedDict((k, v.clone()) for k, v in classifier.state_dict().items())
    save_robustness_checkpoint(classifier, tmp_path / "ours.pt")
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert not classifier.training


@pytest.mark.parametrize(
    "changed",
    [
        {"both_flips": True},
        {"arch": "efficientnet_lite0", "head": "multiscale"},
        {"head": "attention", "both_flips": True},
        {"arch": "efficientnet_lite0", "head": "grid"},
    ],
)
def test_every_head_and_both_flips_answer_there_as_here(changed):
    classifier, images = make(**changed), make_images(count=2, height=40, width=40)
    network = RobustnessNetwork(classifier).eval()
    with torch.no_grad():
        theirs = network((images - classifier.mean) / classifier.std)
        torch.testing.assert_close(theirs[:, 1] - theirs[:, 0], classifier(images))
