"""Two versions on the same eyes: the table, the figures, and a sentence that claims no more."""

import pytest
from sklearn.metrics import roc_auc_score

from experiments import compare
from fundus_ml.data.opening import open_dataset
from fundus_ml.training import predict
from tests.experiments.conftest import flags
from tests.experiments.tiny_versions import artifact, logged_table, newest
from tracking.registry import load_classifier


def enter(versions, **changed):
    usual = {
        "models": "models:/eye/1,models:/eye/3", "dataset": versions.a, "bootstrap": 200
    }  # fmt: skip
    compare.main(flags(usual | changed))
    return newest("compare")


def test_the_difference_is_that_of_both_on_the_same_eyes(versions, capsys):
    run = enter(versions)
    eyes = open_dataset(versions.a).split("test")
    one, other = (
        roc_auc_score(
            eyes.labels, predict(load_classifier(uri), eyes, batch_size=9, precision="fp32")
        )
        for uri in ("models:/eye/1", "models:/eye/3")
    )
    metrics = run.data.metrics
    assert metrics["test/auroc_difference"] == pytest.approx(one - other, abs=1e-6)
    assert metrics["test/auroc_difference_low"] < one - other
    assert metrics["test/auroc_difference_per_person"] > 0
    table = logged_table(run, "comparison.json")
    assert table["model"].tolist() == ["models:/eye/1", "models:/eye/3"] * 2
    assert table["count"].tolist() == [60, 60, 30, 30]
    for picture in ("roc.png", "comparison.png"):
        assert artifact(run, picture).stat().st_size > 10_000
    said = run.data.tags["comparison"]
    assert said.startswith(
        "60 eyes of 30 people, test split of a: AUROC of models:/eye/1 minus models:/eye/3 is"
    )
    assert "so models:/eye/1 is shown to score higher; per person" in said
    captured = capsys.readouterr()
    assert said + "\n" in captured.out
    assert "trained on another dataset" not in captured.err
    assert len(run.inputs.model_inputs) == 2


@pytest.mark.usefixtures("unrendered")
def test_what_is_not_shown_is_not_claimed(versions, capsys):
    """Two good versions; the second was taught elsewhere, which is said."""
    said = enter(versions, models="models:/eye/1,models:/eye/2", split="val")
    assert (
        "not shown that either scores higher, nor that they are equal"
        in (said.data.tags["comparison"])
    )
    assert "val/auroc_difference" in said.data.metrics
    assert "models:/eye/2: was trained on another dataset" in capsys.readouterr().err


@pytest.mark.usefixtures("unrendered")
def test_the_training_split_flatters(versions, capsys):
    run = enter(versions, split="train")
    assert "models:/eye/1: the training split is scored" in capsys.readouterr().err
    assert run.data.tags["possibly_trained_on"] == "models:/eye/1,models:/eye/3"


@pytest.mark.parametrize(
    ("models", "line"),
    [
        ("models:/eye/1", "models=models:/eye/1: 1 given, 2 needed, such as"),
        ("models:/eye/1,models:/eye/2,models:/eye/3", "3 given, 2 needed"),
        ("models:/eye/1,models:/eye/1", "names models:/eye/1 twice"),
        ("models:/eye/1,models:/eye/8", "'eye' has no such version, there is: 1, 2, 3, 4"),
    ],
)
def test_mistakes_end_in_one_line(versions, capsys, models, line):
    with pytest.raises(SystemExit, match="2"):
        enter(versions, models=models)
    assert line in capsys.readouterr().err
    assert newest("compare").info.status == "FAILED"
