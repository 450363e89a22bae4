"""Clean and attacked scores against plain passes, and their measures against scikit-learn."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, roc_auc_score

from fundus_ml.attacks import ThreatModel, pgd
from fundus_ml.errors import InputError
from fundus_ml.evaluation.calibration import Calibration
from fundus_ml.evaluation.metrics import MEASURES, clustered_measures
from fundus_ml.evaluation.scores import (
    BOUNDS,
    LEVELS,
    check_calibratable,
    check_measurable,
    clean_auroc,
    headline,
    long_scores,
    per_person,
    predictions,
    score_of,
    scores,
)
from fundus_ml.imaging.pictures import to_images
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_auroc, clustered_mean
from tests.fundus_ml.tiny_learning import SmallNetwork, make_dataset


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    """14 test eyes of 7 people, 8 of them female."""
    return make_dataset(tmp_path_factory.mktemp("eyes") / "tiny", people={"test": 7}).split("test")


@pytest.fixture(scope="module")
def model():
    """Untrained, and left in training mode: scoring must not depend on it."""
    return SmallNetwork(seed=2).train()


def predict_all(model, eyes, **changed):
    """Predictions at two budgets that come in no order."""
    usual = {
        "constraint": "l2", "eps": (0.8, 0.2), "attack_steps": 3, "step_size": "auto",
        "batch_size": 5, "precision": "fp32",
    }  # fmt: skip
    return predictions(model, eyes, **usual | changed)


@pytest.mark.parametrize("constraint", ["l2", "linf"])
def test_predictions_are_pgd_then_a_clean_pass(model, eyes, constraint):
    """Clean first, then each budget in the order given, every eye in its place."""
    predicted = predict_all(model, eyes, constraint=constraint)
    assert predicted["eps"].tolist() == [0.0] * 14 + [0.8] * 14 + [0.2] * 14
    assert predicted["attack"].tolist() == ["none"] * 14 + ["pgd"] * 28
    assert predicted["constraint"].tolist() == ["none"] * 14 + [constraint] * 28
    images, labels = to_images(eyes.pixels(np.arange(14))), torch.from_numpy(eyes.labels)
    still = SmallNetwork(seed=2).eval()
    for eps, rows in predicted.groupby("eps"):
        x_adv = pgd(
            still, images, labels, threat=ThreatModel(constraint=constraint, eps=eps),
            step_size=2.5 * eps / 3, attack_steps=3, precision="fp32",
        )  # fmt: skip
        with torch.no_grad():
            logit = still(x_adv).numpy()
        np.testing.assert_allclose(rows["logit"], logit, atol=2e-5)
        np.testing.assert_allclose(rows["prob"], 1 / (1 + np.exp(-logit)), atol=1e-5)
        for name in ("image_id", "patient_id", "person_group", "split", "label"):
            assert rows[name].tolist() == eyes.frame[name].tolist()


def test_clean_is_scored_once(model, eyes):
    """0 among the budgets, or a budget named twice, adds no rows."""
    predicted = predict_all(model, eyes, eps=(0, 0.5, 0.5, 0.0))
    assert predicted.groupby("eps", sort=False).size().to_dict() == {0.0: 14, 0.5: 14}
    assert len(predict_all(model, eyes, eps=())) == 14


def test_progress_runs_over_all_budgets(model, eyes):
    """Eyes done never fall and end at the number of eyes times budgets."""
    steps = []
    predict_all(model, eyes, on_step=lambda done, total: steps.append((done, total)))
    assert [done for done, _ in steps] == [5, 10, 14, 19, 24, 28, 33, 38, 42]
    assert {total for _, total in steps} == {42}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"eps": (0.5, -1.0)}, "eps=-1.0: must be a finite number, 0 or more"),
        ({"eps": (float("nan"),)}, "eps=nan: must be a finite number"),
        ({"constraint": "l1"}, "constraint=l1: allowed: l2, linf"),
        ({"attack_steps": 0}, "attack_steps=0: must be at least 1"),
        ({"step_size": -1.0}, "step_size=-1.0: must be auto or a finite number above 0"),
        ({"precision": "fp64"}, "precision=fp64: allowed"),
    ],
)
def test_predictions_refuse(eyes, changed, message):
    """Before the first eye is scored."""

    def untouched(_images):
        raise AssertionError

    model = SmallNetwork()
    model.forward = untouched
    with pytest.raises(InputError, match=message):
        predict_all(model, eyes, **changed)


def test_eyes_that_cannot_be_measured_are_refused(eyes):
    """What ``scores`` would refuse after the work, this refuses before it."""
    check_measurable(eyes, resamples=50)
    with pytest.raises(InputError, match="holds one class only, both are needed"):
        check_measurable(eyes.select(eyes.labels == 1), resamples=50)
    both = eyes.select([int((eyes.labels == 1).argmax()), int((eyes.labels == 0).argmax())])
    with pytest.raises(InputError, match="more patients are needed"):
        check_measurable(both, resamples=50)


def test_scores_are_those_of_scikit_learn(model, eyes):
    """One row per budget, in order; intervals over people, not eyes."""
    predicted = predict_all(model, eyes)
    table = scores(predicted, resamples=300, seed=4)
    assert table["eps"].tolist() == [0.0, 0.8, 0.2]
    for row in table.itertuples():
        part = predicted[predicted["eps"] == row.eps]
        assert row.auroc == pytest.approx(roc_auc_score(part["label"], part["logit"]))
        assert row.accuracy == pytest.approx(accuracy_score(part["label"], part["logit"] > 0))
        assert (row.eyes, row.people) == (14, 7)
        assert row.majority == pytest.approx(8 / 14)
        people, correct = part["person_group"], (part["logit"] > 0) == (part["label"] == 1)
        auroc = clustered_auroc(part["label"], part["logit"], people, resamples=300, seed=4)
        accuracy = clustered_mean(correct, people, resamples=300, seed=4)
        assert (row.auroc_low, row.auroc_high) == (auroc.low, auroc.high)
        ends = (row.accuracy_low, row.accuracy_high)
        assert ends == pytest.approx((accuracy.low, accuracy.high))


def test_runs_are_compared_by_a_few_measures():
    """Those of clean eyes, and under attack those of the largest budget."""
    names = [f"{measure}{level}" for measure in MEASURES for level in LEVELS.values()]
    columns = [f"{name}{bound}" for name in names for bound in BOUNDS]
    rows = [
        {"attack": attack, "eps": eps} | {name: more + i for i, name in enumerate(columns)}
        for attack, eps, more in (("none", 0, 0), ("pgd", 2, 200), ("pgd", 0.5, 100))
    ]
    place = columns.index
    metrics = headline(pd.DataFrame(rows), split="val")
    assert metrics["val/auroc_low"] == place("auroc_low")
    assert metrics["val/auroc_per_person"] == place("auroc_per_person")
    assert metrics["val/robust_auroc_high"] == 200 + place("auroc_high")
    assert len(metrics) == 11
    assert all(name.startswith("val/") for name in metrics)
    assert len(headline(pd.DataFrame(rows[:1]), split="test")) == 7


def test_every_measure_can_be_read_back(model, eyes):
    table = scores(predict_all(model, eyes), resamples=300, seed=4)
    rows = long_scores(table)
    clean = Interval.of(table.iloc[0], "auprc_per_person")
    assert score_of(rows, "auprc", per="person") == clean
    assert score_of(rows, "ece", eps=0.8) == Interval.of(table.iloc[1], "ece")
    with pytest.raises(InputError, match=r"scores hold no ece per eye at eps 0\.3$"):
        score_of(rows, "ece", eps=0.3)


def test_every_level_is_measured_from_the_same_predictions(model, eyes):
    """Per eye and per person, at the given temperature and threshold; in wide and long form."""
    predicted = predict_all(model, eyes, eps=())
    calibration = Calibration(temperature=0.7, threshold=float(predicted["logit"].median()))
    table = scores(predicted, resamples=80, seed=4, calibration=calibration)
    people = per_person(predicted)
    long = long_scores(table).set_index(["per", "measure"])
    assert len(long) == 2 * len(MEASURES)
    for per, judged in {"eye": predicted, "person": people}.items():
        found = clustered_measures(
            judged["label"], judged["logit"], judged["person_group"],
            calibration=calibration, resamples=80, seed=4,
        )  # fmt: skip
        for name, interval in found.items():
            wanted = (interval.value, interval.low, interval.high)
            assert tuple(long.loc[(per, name), ["value", "low", "high"]]) == pytest.approx(wanted)
            assert long.loc[(per, name), "count"] == {"eye": 14, "person": 7}[per]
    assert clean_auroc(table) == clustered_auroc(
        predicted["label"], predicted["logit"], predicted["person_group"], resamples=80, seed=4
    )


def test_a_person_is_the_mean_of_their_eyes():
    """Those called both female and male have no label: they count per eye only."""
    eyes = pd.DataFrame(
        {
            "person_group": ["b", "a", "b", "c", "c", "d"],
            "label": [1, 0, 1, 0, 1, 0],
            "logit": [2.0, -1.0, 1.0, 5.0, 5.0, 0.5],
        }
    )
    people = per_person(eyes)
    assert people.to_dict("list") == {
        "person_group": ["b", "a", "d"], "label": [1, 0, 0], "logit": [1.5, -1.0, 0.5],
    }  # fmt: skip
    many = pd.concat([eyes.assign(person_group=eyes["person_group"] + str(i)) for i in range(8)])
    row = scores(many.assign(attack="none", constraint="none", eps=0.0), resamples=20, seed=0)
    assert row[["eyes", "people", "contradicting"]].to_numpy().tolist() == [[48, 32, 8]]
    assert set(long_scores(row).query("per == 'person'")["count"]) == {24}


def test_eyes_of_one_sex_calibrate_nothing(eyes):
    check_calibratable(eyes)
    with pytest.raises(InputError, match="holds one class only, both are needed"):
        check_calibratable(eyes.select(eyes.labels == 0))
