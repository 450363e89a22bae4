"""Small things to draw: pictures, histories, budgets, panels."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.imaging.regions.maps import REGION_FLAGS
from tests.fundus_ml.figures.drawn import EPS


@pytest.fixture
def rng():
    """One seeded generator per test."""
    return np.random.default_rng(11)


@pytest.fixture
def eyes(rng):
    """Seven small pictures, wider than high."""
    return rng.integers(0, 256, size=(7, 20, 24, 3), dtype=np.uint8)


@pytest.fixture
def history():
    """Four epochs, the third best clean, the second best attacked."""
    return pd.DataFrame(
        {
            "epoch": [1, 2, 3, 4],
            "train_loss": [0.70, 0.52, 0.41, 0.33],
            "val_loss": [0.69, 0.60, 0.58, 0.63],
            "val_auroc": [0.55, 0.71, 0.78, 0.77],
            "robust_val_auroc": [0.50, 0.62, 0.60, np.nan],
        }
    )


@pytest.fixture
def success():
    """Two models at four budgets, rows in no order."""
    rows = [
        {
            "model": model,
            "eps": eps,
            **{
                name + end: rise * eps / 8 + shift
                for name in ("success", "prob_target")
                for end, shift in (("", 0.05), ("_low", 0.0), ("_high", 0.1))
            },
        }
        for model, rise in (("clean", 0.9), ("robust", 0.4))
        for eps in EPS[::-1]
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def enrichments():
    """Two models over three parts, the disc planted."""
    return pd.DataFrame(
        {
            "model": ["clean"] * 3 + ["robust"] * 3,
            "part": ["vessels", "disc", "outside"] * 2,
            "enrichment": [1.4, 2.0, 0.3, 0.9, 7.5, 0.0],
            "low": [1.2, 1.5, 0.2, 0.7, 6.0, 0.0],
            "high": [1.6, 2.6, 0.4, 1.1, 9.0, 0.0],
            "planted": [False, True, False] * 2,
        }
    )


@pytest.fixture
def make_panel(rng):
    """Build the panel's arguments: one eye changed more at each budget, mostly in its disc."""

    def build(size=32, eps=EPS):
        original = rng.integers(40, 200, size=(size, size, 3), dtype=np.uint8)
        regions = np.full((size, size), REGION_FLAGS["retina"], dtype=np.uint8)
        regions[4:12, 6:14] |= REGION_FLAGS["disc"]
        regions[14:22, 16:24] |= REGION_FLAGS["macula"]
        modulated = []
        for place in range(len(eps)):
            change = rng.normal(size=original.shape) * (place + 1)
            change[4:12, 6:14] *= 4
            modulated.append(np.clip(original + np.round(change), 0, 255).astype(np.uint8))
        return {
            "original": original,
            "modulated": modulated,
            "eps": list(eps),
            "prob_target_before": 0.1,
            "prob_target": list(np.linspace(0.3, 0.95, len(eps))),
            "target": "female",
            "title": "synthetic/3_left: male towards female",
            "regions": regions,
        }

    return build
