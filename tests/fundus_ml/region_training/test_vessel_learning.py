import json

import pytest
from sklearn.metrics import f1_score, roc_auc_score

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions import vessels
from fundus_ml.imaging.regions.vessel_network import load_vessel_network
from fundus_ml.imaging.regions.vessels import vessel_probability
from fundus_ml.region_training import vessel_learning
from fundus_ml.region_training.painted_vessels import paint_marked
from fundus_ml.region_training.vessel_learning import (
    learn_vessels,
    learn_without_some,
    measure_vessels,
)
from fundus_ml.region_training.vessels import VesselTraining

TINY = VesselTraining(steps=2, batch_size=2, crop_size=32, warmup=0, precision="fp32")


@pytest.fixture
def few_painted(monkeypatch):
    monkeypatch.setattr(vessel_learning, "PAINTED", 1)
    monkeypatch.setattr(vessels, "SIDE", 128)


def one_eye_each(people, seed):
    return list({eye.person: eye for eye in paint_marked(people, seed=seed)}.values())


@pytest.mark.slow
@pytest.mark.usefixtures("few_painted")
def test_each_release_is_measured_by_a_network_that_never_saw_it(tmp_path):
    releases = {"first": one_eye_each(2, 6), "second": one_eye_each(2, 7)}
    seen = []
    trained = learn_vessels(releases, TINY, tmp_path, on_step=lambda *step: seen.append(step[:2]))
    assert [what for what, step in seen if step == 1] == ["second", "first", "first+second"]
    card = json.loads(trained.card.read_text(encoding="utf-8"))
    assert {name.rpartition("_")[0] for name in card["left_out"]} == {"first", "second"}
    assert trained.figures["first_dice"] == pytest.approx(card["left_out"]["first_dice"], abs=1e-4)
    assert load_vessel_network(tmp_path).threshold == card["threshold"]
    # Gone on with: nothing is left to learn, the same bytes are written.
    before = trained.weights.read_bytes()
    again = learn_vessels(releases, TINY, tmp_path, on_step=lambda *_: pytest.fail("learned"))
    assert again.weights.read_bytes() == before


def test_one_release_measures_nothing(tmp_path):
    with pytest.raises(InputError, match=r"^releases=\['only'\]: two are needed"):
        learn_vessels({"only": []}, TINY, tmp_path)


@pytest.mark.usefixtures("few_painted")
def test_the_last_people_are_kept_out_and_measures_are_those_of_another_library(tmp_path):
    eyes = one_eye_each(2, 8)
    weights = learn_without_some({"painted_too": eyes}, TINY, tmp_path)
    begun = json.loads((tmp_path / "checkpoints-painted_too/training.json").read_text("utf-8"))
    assert set(begun["identity"]["releases"]) == {"painted", "painted_too"}
    eye = eyes[0]
    measured = measure_vessels(eye, weights)
    probability = vessel_probability(eye.image, eye.field, weights=weights)[eye.counted]
    marks = eye.vessels[eye.counted]
    assert measured["auroc"] == pytest.approx(roc_auc_score(marks, probability))
    assert measured["dice"] == pytest.approx(f1_score(marks, probability >= weights.threshold))
