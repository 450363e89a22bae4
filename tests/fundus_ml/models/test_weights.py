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
    assert_refused_in_a_line(folder, rf"{missing}: .*No such file")


@pytest.mark.parametrize("kept", [0, 4, 8, 100, -9])
def test_broken_weights_are_refused(folder, kept):
    """A file cut short is named, wherever it was cut."""
    whole = (folder / "weights.safetensors").read_bytes()
    (folder / "weights.safetensors").write_bytes(whole[:kept])
    assert_refused_in_a_line(folder, r"weights.safetensors: no readable weights \(")


def test_other_content_under_the_name_of_the_weights_is_refused(folder):
    """A pickle, a web page."""
    for content in (b"\x80\x04N.", b"<html>", bytes(64), b"\xff" * 64):
        (folder / "weights.safetensors").write_bytes(content)
        assert_refused_in_a_line(folder, "weights.safetensors: no readable weights")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("\x00", "not JSON"),
        ('{"size": 1' + "0" * 5000 + "}", "not JSON"),
        ("[]", "format must be fundus_ml.classifier/1"),
        ("null", "format must be fundus_ml.classifier/1"),
        ('{"format": ["x"]}', "format must be fundus_ml.classifier/1"),
        ('{"format": "other/2"}', "format must be fundus_ml.classifier/1"),
        ('{"format": "fundus_ml.classifier/1"}', "lacks the key arch"),
    ],
)
def test_foreign_description_is_refused(folder, text, message):
    """A description of another kind is named."""
    (folder / "classifier.json").write_text(text)
    assert_refused_in_a_line(folder, rf"classifier.json: {message}")


def test_a_description_in_another_encoding_is_refused(folder):
    """Bytes that are no UTF-8."""
    (folder / "classifier.json").write_bytes(b"\xff\xfe{\x00")
    assert_refused_in_a_line(folder, "classifier.json: not JSON")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("mean", None, "lacks the key mean"),
        ("arch", None, "lacks the key arch"),
        ("size", None, "lacks the key size"),
        ("pooling", "max", "unknown key 'pooling'; allowed: arch, head_hidden, mean, std, size"),
        ("head_hidden", "5", 'head_hidden="5": must be a whole number'),
        ("head_hidden", 5.0, "head_hidden=5.0: must be a whole number"),
        ("head_hidden", True, "head_hidden=true: must be a whole number"),
        ("head_hidden", 0, "head_hidden=0: must be at least 1"),
        ("head_hidden", 10**12, "head_hidden=1000000000000: must be at most 65,536"),
        ("head_hidden", 10**1000, r"head_hidden=10*: must be at most 65,536"),
        ("size", -1, "size=-1: must be at least 1"),
        ("size", [40], r"size=\[40\]: must be a whole number"),
        ("arch", 18, "arch=18: must be a name"),
        ("arch", "resnet19", "arch=resnet19: no backbone of torchvision or timm"),
        ("mean", "abc", 'mean="abc": must be a list of three finite numbers'),
        ("mean", ["0.1", 0.2, 0.3], "mean=.*: must be a list of three finite numbers"),
        ("mean", [0.1, 0.2], r"mean=\[0.1, 0.2\]: must be a list of three finite numbers"),
        ("mean", [True, 0.2, 0.1], "mean=.*: must be a list of three finite numbers"),
        ("mean", [float("nan"), 0.2, 0.1], "mean=.*: must be a list of three finite numbers"),
        ("mean", [10**400, 0.2, 0.1], "mean=.*: must be a list of three finite numbers"),
        ("std", [float("inf"), 0.2, 0.1], "std=.*: must be a list of three finite numbers"),
        ("std", [0, 0.2, 0.1], "mean=.*, std=.*, std above 0"),
        ("std", {"r": 1}, "std=.*: must be a list of three finite numbers"),
    ],
)
def test_damaged_description_is_refused(folder, field, value, message):
    """A field that is missing (None), unknown or wrong; the line names it."""
    change(folder, field, value)
    assert_refused_in_a_line(folder, rf"classifier.json: {message}")


@pytest.mark.parametrize(("field", "value"), [("head_hidden", 6), ("arch", "alexnet")])
def test_description_that_does_not_fit_is_refused(folder, field, value):
    """A description of another network."""
    change(folder, field, value)
    assert_refused_in_a_line(folder, "weights.safetensors: weights do not fit arch=")


def change(folder, field, value):
    """Replace one field of the description; None removes it."""
    fields = json.loads((folder / "classifier.json").read_text()) | {field: value}
    fields = {name: kept for name, kept in fields.items() if kept is not None}
    (folder / "classifier.json").write_text(json.dumps(fields))


def assert_refused_in_a_line(folder, message):
    """Loading raises one line that says so."""
    with pytest.raises(InputError, match=message) as refusal:
        load_classifier(folder)
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 3_000
