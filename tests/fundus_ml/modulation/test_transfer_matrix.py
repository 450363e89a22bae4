"""Every cell recomputed from the pictures, and nothing asked twice."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from fundus_ml.modulation.effects import effect_rows, evaluated
from fundus_ml.modulation.transfer_matrix import INDEPENDENT, transfer_matrix, transfer_rows
from fundus_ml.statistics.clustered import clustered_mean
from tests.fundus_ml.modulation.tiny_modulations import LABELS, make_pixels, options

TARGET = 1 - LABELS
OPTIONS = options()
FRAME = pd.DataFrame(
    {
        "image_id": [f"eye{number}" for number in range(5)],
        "patient_id": "any",
        "person_group": ["a", "a", "b", "c", "d"],
        "split": "test",
        "label": LABELS,
    }
)
NAMES = ["modulation", "modulation 2", "clean model"]


class Counting(nn.Module):
    """A weighted sum of pixels that counts the images it was shown."""

    def __init__(self, seed):
        super().__init__()
        weights = torch.randn(3 * 6 * 7, generator=torch.Generator().manual_seed(seed))
        self.weights, self.shown = nn.Parameter(weights), 0

    def forward(self, images):
        self.shown += len(images)
        return (images.flatten(1) - 0.5) @ self.weights


@pytest.fixture
def networks():
    return {name: Counting(seed) for seed, name in enumerate(NAMES)}


@pytest.fixture
def pictures():
    """Pictures of each network, ``(2, 5, 6, 7, 3)``."""
    return {
        name: np.stack([make_pixels(seed=10 * place + budget) for budget in (1, 2)])
        for place, name in enumerate(NAMES)
    }


def effects_of(networks, pictures, independent=None):
    """What each sees in its own pictures, and the independent evaluator in all."""
    pixels, found = make_pixels(), {}
    for name, network in networks.items():
        own = effect_rows(
            network, pixels, pictures[name], frame=FRAME, target=TARGET, options=OPTIONS
        )
        if independent is not None:
            seen = evaluated(independent, pixels, pictures[name], TARGET, batch_size=2)
            own = pd.concat([own, seen], axis=1)
        found[name] = own
    return found


def by_hand(network, pixels):
    """P(target) of each picture."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).double() / 255
    logit = (images.flatten(1) - 0.5) @ network.weights.detach().double()
    return torch.sigmoid(torch.where(torch.from_numpy(TARGET) == 1, logit, -logit)).numpy()


def test_every_cell_is_what_its_network_sees_in_the_pictures(networks, pictures):
    """Rows made the pictures, columns look at them; people are drawn, not eyes."""
    independent = Counting(9)
    effects = effects_of(networks, pictures, independent)
    rows = transfer_rows(networks, pictures, effects, TARGET, batch_size=2)
    matrix = transfer_matrix(rows, resamples=200, seed=3).set_index(
        ["condition", "evaluator", "eps"]
    )
    everyone = networks | {INDEPENDENT: independent}
    assert len(matrix) == 3 * 4 * 2
    assert len({round(share, 6) for share in matrix["prob_target"]}) == 3 * 4 * 2
    for (condition, evaluator, eps), cell in matrix.iterrows():
        slab = pictures[condition][OPTIONS.eps.index(eps)]
        seen = by_hand(everyone[evaluator], slab)
        before = by_hand(everyone[evaluator], make_pixels())
        assert cell["eyes"] == 5
        assert cell["prob_target"] == pytest.approx(seen.mean(), abs=1e-5)
        assert cell["success"] == pytest.approx((seen > 0.5).mean())
        assert cell["prob_target_before"] == pytest.approx(before.mean(), abs=1e-5)
        assert cell["success_before"] == pytest.approx((before > 0.5).mean())
        people = clustered_mean(seen, FRAME["person_group"], resamples=200, seed=3)
        assert cell["prob_target_low"] == pytest.approx(people.low, abs=1e-5)
        assert cell["prob_target_high"] == pytest.approx(people.high, abs=1e-5)


def test_only_what_nobody_saw_yet_is_asked(networks, pictures):
    """Two others' five eyes at two budgets, no unchanged eye, in pairs; own views stand."""
    independent = Counting(9)
    effects = effects_of(networks, pictures, independent)
    for network in (*networks.values(), independent):
        network.shown = 0
    told = []
    transfer_rows(
        networks, pictures, effects, TARGET, batch_size=2, on_step=lambda *step: told.append(step)
    )
    assert [network.shown for network in networks.values()] == [20, 20, 20]
    assert independent.shown == 0
    assert told == [(done, 6) for done in range(1, 7)]


def test_one_network_is_no_matrix(networks, pictures):
    """With an independent evaluator it is: one row of two."""
    alone = {name: network for name, network in networks.items() if name == "modulation"}
    rows = transfer_rows(alone, pictures, effects_of(alone, pictures), TARGET, batch_size=2)
    assert rows.empty
    assert transfer_matrix(rows, resamples=20, seed=0).empty
    judged_too = effects_of(alone, pictures, Counting(9))
    rows = transfer_rows(alone, pictures, judged_too, TARGET, batch_size=2)
    found = transfer_matrix(rows, resamples=20, seed=0)
    assert found["evaluator"].tolist() == ["modulation", "modulation", INDEPENDENT, INDEPENDENT]
