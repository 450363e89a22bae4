"""The curves of a pretraining show the numbers they were given."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.figures.pretraining import pretraining_curves

COEFFICIENTS = {"invariance": 25.0, "variance": 20.0, "covariance": 1.0}


@pytest.fixture
def history():
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "train_loss": [30.0, 20.0, 15.0],
            "val_loss": [28.0, 19.0, 21.0],
            "val_invariance": [0.5, 0.4, 0.3],
            "val_variance": [0.6, 0.2, 0.1],
            "val_covariance": [0.1, 1.0, 2.0],
            "val_embedding_std": [0.2, 0.7, 0.9],
            "val_feature_rank": [4.0, 16.0, 32.0],
        }
    )


def drawn(axes):
    return {
        line.get_label(): line.get_ydata() for line in axes.lines if line.get_marker() != "None"
    }


def test_every_line_is_its_column(history):
    losses, terms, apart = pretraining_curves(history, coefficients=COEFFICIENTS, width=64).axes
    assert "lowest in epoch 2" in losses.get_title(loc="left")
    for axes, wanted in (
        (losses, {"train": history["train_loss"], "validation": history["val_loss"]}),
        (
            terms,
            {
                "25 invariance": 25 * history["val_invariance"],
                "20 variance": 20 * history["val_variance"],
                "1 covariance": history["val_covariance"],
            },
        ),
        (
            apart,
            {
                "spread of the embeddings (wanted: 1)": history["val_embedding_std"],
                "rank of the features, share of 64": [1 / 16, 1 / 4, 1 / 2],
            },
        ),
    ):
        found = drawn(axes)
        assert list(found) == list(wanted)
        for name, values in wanted.items():
            np.testing.assert_allclose(found[name], values)


def test_what_cannot_be_drawn_is_refused(history):
    with pytest.raises(InputError, match="columns missing: val_covariance"):
        pretraining_curves(
            history.drop(columns="val_covariance"), coefficients=COEFFICIENTS, width=64
        )
    with pytest.raises(InputError, match="coefficients: missing for variance, covariance"):
        pretraining_curves(history, coefficients={"invariance": 1.0}, width=64)
