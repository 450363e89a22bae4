"""Another real label of the same eyes: read right, and no help with the true one."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.data.other_labels import balanced_rows, other_labels
from fundus_ml.errors import InputError


def eyes(*, tie=0.0, people=300):
    """Two eyes each, of people whose age goes with their label as ``tie`` says."""
    draw = np.random.default_rng(0)
    label = draw.integers(2, size=people)
    camera = np.where(draw.random(people) < 0.3 + 0.3 * label, "a", draw.choice(["b", "c"], people))
    frame = pd.DataFrame(
        {
            "split": draw.choice(["train", "val", "test"], people, p=[0.6, 0.2, 0.2]),
            "label": label,
            "age": np.where(draw.random(people) < 0.1, np.nan, 50 + 20 * tie * label
                            + draw.normal(0, 10, people)),
            "camera": np.where(draw.random(people) < 0.1, "", camera),
            "source": "one",
        }
    )  # fmt: skip
    both = pd.concat([frame.assign(eye="left"), frame.assign(eye="right")], ignore_index=True)
    both.loc[[3, 5], "eye"] = "unknown"
    return both


@pytest.mark.parametrize("labels", ["eye", "age", "camera"])
def test_what_is_learned_says_nothing_about_the_truth(labels):
    """Though in all eyes it does: within each class both stand equally often."""
    frame = eyes(tie=1)
    other = other_labels(frame, labels)
    kept = balanced_rows(frame, other, labels=labels, seed=0)
    assert kept[frame["split"] == "test"].all()
    for split in ("train", "val"):
        mask = frame["split"].eq(split)
        counts = pd.crosstab(frame["label"][mask & kept], other[mask & kept]).to_numpy()
        assert counts.shape == (2, 2)
        assert (counts[:, 0] == counts[:, 1]).all()
        assert not other[mask & kept].isna().any()
        every = pd.crosstab(frame["label"][mask], other[mask]).to_numpy()
        assert (counts[:, 0] == every.min(axis=1)).all()  # no more are left out than must be
    again = [balanced_rows(frame, other, labels=labels, seed=seed) for seed in (0, 1)]
    assert (again[0] == kept).all()
    assert (again[1] != kept).any()


def test_labels_are_read_as_they_are_named():
    frame = eyes()
    side = other_labels(frame, "eye")
    assert side[frame["eye"] == "right"].eq(1).all()
    assert side[frame["eye"] == "left"].eq(0).all()
    assert side[frame["eye"] == "unknown"].isna().all()
    older = other_labels(frame, "age")
    train = frame["split"].eq("train")
    assert older[train].mean() == pytest.approx(0.5, abs=0.01)
    assert frame["age"][older == 1].min() > frame["age"][older == 0].max()
    assert older.isna().equals(frame["age"].isna())
    camera = other_labels(frame, "camera")
    assert camera.isna().equals(frame["camera"].eq(""))
    assert camera.groupby(frame["camera"]).nunique().max() == 1
    assert 0.25 < camera[train].mean() < 0.75


def test_what_cannot_be_balanced_is_refused():
    frame = eyes()
    with pytest.raises(InputError, match="labels=source: in the train split no eye of label 0"):
        balanced_rows(frame, other_labels(frame, "source"), labels="source", seed=0)
    with pytest.raises(InputError, match="labels=sex: allowed: eye, age, camera, source"):
        other_labels(frame, "sex")
