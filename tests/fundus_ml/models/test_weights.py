"""A classifier on disk and back, and folders that hold none."""

import json

import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.models.weights import load_classifier, save_classifier
from tests.fundus_ml.tiny_learning import make_images

SPEC = ClassifierSpec(
    arch="squeezenet1_1", head_hidden=5, mean=(0.3, 0.2, 0.1), std=(0.3, 0.2, 0.15), size=40
)


@pytest.fixture
def folder(tmp_path):
    """A saved classifier."""
    save_classifier(make_classifier(SPEC, seed=2), tmp_path / "a" / "b")
    return tmp_path / "a" / "b"


def test_classifier_comes_back_bit_for_bit(tmp_path):
    """Same spec and scores, in evaluation mode, also from channels-last and training mode."""
    classifier = make_classifier(SPEC, seed=2).to(memory_format=torch.channels_last).train()
    save_classifier(classifier, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"weights.safetensors", "classifier.json"}
    state = torch.get_rng_state()
    loaded = load_classifier(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert loaded.spec == SPEC
    assert not loaded.training
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    images = make_images(3, 40, 44)
    with torch.no_grad():
        assert torch.equal(
            loaded(images), classifier.to(memory_format=torch.contiguous_format).eval()(images)
        )


def test_saving_replaces(folder):
    """A second save into a folder is what is read."""
    save_classifier(make_classifier(SPEC, seed=9), folder)
    wanted = make_classifier(SPEC, seed=9).head[1].weight
    assert torch.equal(load_classifier(folder).head[1].weight, wanted)


@pytest.mark.parametrize("missing", ["weights.safetensors", "classifier.json"])
def test_missing_file_is_refused(folder, missing):
    """Both files make a classifier."""
    (folder / missing).unlink()
    with pytest.raises(InputError, match=r"not a saved classifier.*No such file"):
        load_classifier(folder)


def test_broken_weights_are_refused(folder):
    """A file cut short is named."""
    whole = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="not a saved classifier"):
        load_classifier(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "classifier.json: not JSON"),
        ("[]", "classifier.json: format must be fundus_ml.classifier/1"),
        ('{"format": "other/2"}', "format must be fundus_ml.classifier/1"),
    ],
)
def test_foreign_description_is_refused(folder, text, message):
    """A description of another kind is named."""
    (folder / "classifier.json").write_text(text)
    with pytest.raises(InputError, match=message):
        load_classifier(folder)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mean", None, "fields missing, unknown or of another type"),
        ("arch", None, r"fields missing.*arch"),
        ("pooling", "max", r"unknown.*pooling"),
        ("head_hidden", "5", "of another type"),
        ("arch", "resnet19", "arch=resnet19: not a torchvision backbone"),
        ("head_hidden", 6, "weights do not fit arch=squeezenet1_1"),
        ("arch", "alexnet", "weights do not fit arch=alexnet"),
    ],
)
def test_description_that_does_not_fit_is_refused(folder, field, value, message):
    """A field that is missing (None), unknown or wrong."""
    fields = json.loads((folder / "classifier.json").read_text()) | {field: value}
    fields = {name: kept for name, kept in fields.items() if kept is not None}
    (folder / "classifier.json").write_text(json.dumps(fields))
    with pytest.raises(InputError, match=message):
        load_classifier(folder)
