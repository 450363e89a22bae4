"""Versions averaged, compared with their parents, registered with where they came from."""

import pytest
import torch

from experiments import average
from fundus_ml.data.opening import open_dataset
from fundus_ml.data.training_eyes import read_training_eyes
from fundus_ml.model_selection.averaging import mean_weights, reestimate_statistics
from tests.experiments.conftest import flags
from tests.experiments.tiny_versions import artifact, logged_table, newest
from tracking.exposure import datasets_seen, download_training_eyes
from tracking.registry import find_alias, load_classifier, resolve
from tracking.stores import initialise_tracking

PARENTS = ["models:/eye/1", "models:/eye/2"]
# Twelve pixels leave the audit of a composite no rim to measure.
tiny_audit = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def enter(versions, **changed):
    usual = {
        "models": ",".join(PARENTS), "dataset": versions.a, "bootstrap": 200, "precision": "fp32",
        "register_as": "soup",
    }  # fmt: skip
    average.main(flags(usual | changed))
    return newest("average")


@pytest.mark.slow
@tiny_audit
def test_a_version_of_each_site_averaged_on_both(versions, capsys, tmp_path):
    """The documented example: neither is warned of, since each was taught on a part of it."""
    run = enter(versions, dataset=f"{versions.a},{versions.b}")
    version = resolve("models:/soup@candidate")
    both = open_dataset(f"{versions.a},{versions.b}")
    alone = [open_dataset(folder).digest for folder in (versions.a, versions.b)]
    assert version.tags["recipe"] == "average"
    assert version.tags["method"] == "uniform"
    assert version.tags["parents"] == "models:/eye/1,models:/eye/2"
    assert version.tags["dataset_digest"] == both.digest
    assert list(datasets_seen(version).values()) == [both.digest, *alone]
    assert len(run.inputs.model_inputs) == 2
    plain = mean_weights([load_classifier(uri) for uri in PARENTS])
    reestimate_statistics(plain, both.split("train"), batch_size=32, precision="fp32")
    found = load_classifier(version.uri)
    assert found.spec == plain.spec
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value)
    table = logged_table(run, "comparison.json")
    assert table["model"].tolist() == ["average", *PARENTS, "mean of predictions"] * 2
    assert table["count"].tolist() == [120] * 4 + [60] * 4
    assert table["auroc"][0] == pytest.approx(run.data.metrics["test/auroc"])
    assert artifact(run, "comparison.png").stat().st_size > 10_000
    eyes = read_training_eyes(download_training_eyes(version, tmp_path))
    assert set(eyes["image_id"]) == set(both.frame.loc[both.frame["split"] != "test", "image_id"])
    said = capsys.readouterr()
    assert "registered models:/soup/1 as candidate" in said.out
    assert "trained on another dataset" not in said.err


@pytest.mark.usefixtures("unrendered")
def test_greedy_that_keeps_one_registers_nothing(versions, capsys):
    """The one kept was taught elsewhere, which is said."""
    run = enter(versions, models="models:/eye/3,models:/eye/2", method="greedy")
    assert run.info.status == "FINISHED"
    assert run.data.tags["averaged"] == "models:/eye/2"
    assert logged_table(run, "trail.json")["kept"].tolist() == [True, False]
    said = capsys.readouterr()
    assert "greedy keeps models:/eye/2 alone" in said.out
    with pytest.raises(ValueError, match="no model is registered as 'soup'"):
        resolve("models:/soup/1")
    assert find_alias("eye", "candidate") is None
    assert "models:/eye/2: was trained on another dataset" in said.err
    assert run.data.tags["possibly_trained_on"] == "models:/eye/2"


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"models": "models:/eye/1"}, "1 given, 2 or more needed"),
        (
            {"models": "models:/eye/1,models:/eye/4"},
            "head_hidden=6 size=12 both_flips=False, models:/eye/4 is arch=test_resnet head=last",
        ),
        ({"method": "best"}, "method=best: allowed: uniform, greedy"),
        ({"batch_size": 1}, "batch_size=1: must be at least 2"),
        ({"seed": -1}, "seed=-1: must be from 0 to 4294967295"),
        ({"precision": "fp8"}, "precision=fp8: allowed"),
    ],
)
def test_mistakes_end_in_one_line(versions, capsys, changed, line):
    with pytest.raises(SystemExit, match="2"):
        enter(versions, **changed)
    assert line in capsys.readouterr().err
    assert newest("average").info.status == "FAILED"


def test_a_control_is_not_averaged(versions, capsys):
    """The average would count as having learned true labels."""
    initialise_tracking().set_model_version_tag("eye", "3", "labels", "shuffled")
    with pytest.raises(SystemExit, match="2"):
        enter(versions, models="models:/eye/1,models:/eye/3")
    assert "models:/eye/3 learned shuffled labels; it is a control" in capsys.readouterr().err
