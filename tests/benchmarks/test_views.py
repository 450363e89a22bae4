"""Versions that see parts of an eye: what is compared on which eyes."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.views import TOGETHER, compare_views
from fundus_ml.model_selection.comparison import mean_prediction
from fundus_ml.statistics.clustered import auroc

MODELS = ["whole", "disc"]


@pytest.fixture
def eyes():
    """Two views of the same trait with noise of their own; one eye in five shows no disc."""
    generator = np.random.default_rng(0)
    label = np.arange(300) // 2 % 2
    seen = {name: label + generator.normal(size=300) for name in MODELS}
    frame = pd.DataFrame({"image_id": range(300), "person_group": np.arange(300) // 2,
                          "label": label, **seen})  # fmt: skip
    frame.loc[::5, "disc"] = np.nan
    return frame


def test_versions_are_compared_on_eyes_that_all_have_seen(eyes):
    found = compare_views(eyes, MODELS, resamples=50)
    found = found[found["per"] == "eye"].set_index(["eyes", "model"])
    seen = eyes.dropna()
    both = mean_prediction([seen[name].to_numpy() for name in MODELS])
    at = found.loc["seen by all"]
    assert at["count"].tolist() == [240, 240, 240]
    labels = seen["label"].to_numpy(np.float32)
    for name in MODELS:
        assert at.loc[name, "auroc"] == pytest.approx(auroc(labels, seen[name].to_numpy()))
    assert at.loc[TOGETHER, "auroc"] == pytest.approx(auroc(labels, both))
    assert at.loc[TOGETHER, "difference"] < 0


def test_an_eye_that_a_version_has_not_seen_is_left_to_the_others(eyes):
    found = compare_views(eyes, MODELS, resamples=50)
    every = found[(found["eyes"] == "all") & (found["per"] == "eye")].set_index("model")
    assert every["count"].tolist() == [300, 300]
    known = eyes["disc"].notna()
    logits = eyes["whole"].to_numpy().copy()
    logits[known] = mean_prediction([eyes.loc[known, name].to_numpy() for name in MODELS])
    wanted = auroc(eyes["label"].to_numpy(np.float32), logits)
    assert every.loc[TOGETHER, "auroc"] == pytest.approx(wanted)
