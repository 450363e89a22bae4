"""The forest of several scorers: every interval where its numbers say."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures.comparisons import comparison_forest
from fundus_ml.model_selection.comparison import compare_scorers


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 2)
    eyes = pd.DataFrame({"person_group": people, "label": people % 2})
    logits = {
        name: eyes["label"].to_numpy() * signal + rng.normal(size=120)
        for name, signal in (("average", 1.0), ("models:/fundus-sex/3", 0.6), ("mean", 0.9))
    }
    return compare_scorers(eyes, logits, reference="average", resamples=200, seed=0)


def test_every_interval_is_drawn_at_its_numbers(table):
    figure = comparison_forest(table, reference="average", eyes="test split of odir")
    own, apart = figure.axes
    assert [label.get_text() for label in own.get_yticklabels()] == list(table["model"][:3])
    for axes, measure, count in ((own, "auroc", 6), (apart, "difference", 4)):
        drawn = {
            tuple(np.round(segment[:, 0], 9))
            for lines in axes.collections
            for segment in lines.get_segments()
        }
        numbers = table.dropna(subset=[measure])[[f"{measure}_low", f"{measure}_high"]]
        assert drawn == {tuple(row) for row in numbers.to_numpy().round(9)}
        assert len(drawn) == count
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["per eye, n = 120", "per person, n = 60"]


def test_what_cannot_be_drawn_is_refused(table):
    with pytest.raises(InputError, match="columns missing: people"):
        comparison_forest(table.drop(columns="people"), reference="average", eyes="")
    with pytest.raises(InputError, match="reference=best: allowed: average, models:/fundus-sex/3"):
        comparison_forest(table, reference="best", eyes="")
