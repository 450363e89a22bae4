"""A pretraining from the command line: what it leaves behind, and what starts from it."""

import re

import pytest
import torch

from experiments import pretrain
from experiments.pretrain import PretrainConfig
from experiments.running.flags import execute
from experiments.running.start import start_classifier
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.training_eyes import read_training_eyes
from fundus_ml.errors import InputError
from tests.experiments.conftest import enter, flags, leave_unexported, leave_unrendered, own_client
from tests.fundus_ml.tiny_learning import make_dataset
from tests.tracking.conftest import end_all_runs
from tracking import registry
from tracking.exposure import download_training_eyes

SMALL = {
    "dataset": "tiny",
    "arch": "test_resnet",
    "head_hidden": 7,
    "epochs": 3,
    "batch_size": 8,
    "projector": 16,
    "pairs": "person",
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def pretrained_once(tmp_path_factory):
    """Two pretrainings, the second one from the first."""
    folder = tmp_path_factory.mktemp("pretraining")
    make_dataset(folder / "tiny", people={"train": 12, "val": 6})
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        leave_unexported(patch)
        leave_unrendered(patch)
        pretrain.main(flags(SMALL))
        start = "models:/fundus-pretrained@candidate"
        shorter = {"epochs": 1, "warmup": 0, "probe": "false", "pairs": "photograph"}
        pretrain.main(flags(SMALL | shorter | {"weights": start, "head_hidden": 5}))
    return folder


@pytest.fixture
def pretrained(pretrained_once, monkeypatch):
    enter(pretrained_once, monkeypatch)
    yield own_client()
    end_all_runs()


def test_the_version_says_what_it_is(pretrained):
    """A name of its own, the recipe as tags, a description that warns of the logit."""
    version = pretrained.get_model_version("fundus-pretrained", "1")
    tags = {"recipe": "vicreg", "pairs": "person", "epochs": "3", "weights": "none"}
    tags |= {"dataset_digest": open_dataset("tiny").digest, "arch": "test_resnet", "size": "12"}
    assert version.tags == tags | {"files_sha256": version.tags["files_sha256"]}
    assert "its logit means nothing yet" in version.description
    assert "weights=models:/fundus-pretrained/1" in version.description
    assert re.search(r"AUROC [01]\.\d{3}, before the pretraining [01]\.\d{3}", version.description)


def test_the_version_keeps_which_eyes_it_learned_from(pretrained, tmp_path):  # noqa: ARG001
    """What is trained from it inherits them."""
    version = registry.resolve("models:/fundus-pretrained/1")
    eyes = read_training_eyes(download_training_eyes(version, tmp_path))
    assert sorted(eyes["image_id"]) == sorted(open_dataset("tiny").frame["image_id"])


def test_the_run_shows_the_curves_and_their_numbers(pretrained):
    version = registry.resolve("models:/fundus-pretrained/1")
    run = pretrained.get_run(version.run_id)
    assert "pretraining_curves.png" in [f.path for f in pretrained.list_artifacts(version.run_id)]
    history = pretrained.get_metric_history(version.run_id, "train/loss")
    assert [point.step for point in history] == [1, 2, 3]
    assert run.data.metrics["paired_eyes"] == 24
    for name in ("val/probe_auroc", "val/start_probe_auroc"):
        assert 0 <= run.data.metrics[name] <= 1
    assert run.data.params["invariance"] == "25.0"


def test_a_pretraining_from_another_names_its_parent(pretrained):
    """As an input of the run and as a tag of the version; without a probe none is told."""
    first, second = (registry.resolve(f"models:/fundus-pretrained/{n}") for n in (1, 2))
    assert second.tags["parent_version"] == first.uri
    run = pretrained.get_run(second.run_id)
    assert [model.model_id for model in run.inputs.model_inputs] == [first.model_id]
    assert "val/probe_auroc" not in run.data.metrics
    description = pretrained.get_model_version("fundus-pretrained", "2").description
    assert "logistic regression" not in description


@pytest.mark.usefixtures("pretrained")
def test_the_trunk_arrives_and_the_rest_is_random(capsys):
    """A training of another head width begins with the pretrained feature extractor, and says what
    is new."""
    dataset = open_dataset("tiny")
    usual = {k: v for k, v in SMALL.items() if k != "head_hidden"} | {"head_hidden": 9}
    config = PretrainConfig(**usual, weights="models:/fundus-pretrained/1")

    def begin(config, run):
        return start_classifier(config, dataset, run)

    classifier, parent = execute("begin", begin, config)
    assert parent.uri == "models:/fundus-pretrained/1"
    said = capsys.readouterr().out
    assert "weights=models:/fundus-pretrained/1: start at random: fc.bias, fc.weight\n" in said
    trained = registry.load_classifier(parent.uri).backbone.state_dict()
    fresh, none = execute("begin", begin, PretrainConfig(**usual))
    assert none is None
    for name, value in classifier.backbone.state_dict().items():
        wanted = fresh.backbone.state_dict() if name.startswith("fc.") else trained
        assert torch.equal(value, wanted[name]), name
    assert not torch.equal(trained["conv1.0.weight"], fresh.backbone.state_dict()["conv1.0.weight"])


@pytest.mark.usefixtures("pretrained")
def test_the_head_of_the_version_is_the_random_one():
    """Pretraining touches the feature extractor alone."""
    dataset = open_dataset("tiny")
    config = PretrainConfig(**SMALL)
    fresh, _ = execute("begin", lambda config, run: start_classifier(config, dataset, run), config)
    kept = registry.load_classifier("models:/fundus-pretrained/1")
    assert torch.equal(kept.head[1].weight, fresh.head[1].weight)
    assert torch.equal(kept.backbone.fc.weight, fresh.backbone.fc.weight)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"balance": "sampler"}, "balance=sampler: pretrain takes none only, it goes by sex"),
        ({"label_smoothing": 0.1}, "label_smoothing=0.1: pretrain takes 0 only, no label"),
        ({"patience": 3}, "patience=3: pretrain takes 0 only, the schedule needs all its epochs"),
        ({"augment": "flip"}, "augment=flip: pretrain takes full only, the views have ranges"),
        ({"freeze": "backbone"}, "freeze=backbone: the backbone is what pretrain learns"),
        ({"variance": 0}, "variance=0: must be above 0"),
        ({"epochs": 2}, r"warmup=2.0: must be below epochs=2"),
    ],
)
def test_flags_that_mean_nothing_are_refused(changed, said):
    with pytest.raises(InputError, match=said):
        PretrainConfig(dataset="any", **changed)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"pairs": "patient"}, "pairs=patient: allowed: photograph, person"),
        ({"projector": 0}, "projector=0: must be at least 1"),
        ({"batch_size": 32}, "batch_size=32: larger than the 24 training eyes"),
        ({"weights": "models:/absent/1"}, "no model is registered as 'absent'"),
        ({"weights": "models:/fundus-pretrained/1", "arch": "resnet18"}, "not of arch=resnet18"),
    ],
)
def test_a_mistake_ends_in_one_line(pretrained, capsys, changed, said):
    """Exit code 2, and no version is left."""
    before = len(pretrained.search_model_versions())
    with pytest.raises(SystemExit, match="2"):
        pretrain.main(flags(SMALL | changed))
    line = capsys.readouterr().err.replace("\r", "\n").splitlines()[-1]
    assert line.startswith("pretrain: ")
    assert said in line
    assert len(pretrained.search_model_versions()) == before
