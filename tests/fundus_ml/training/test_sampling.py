"""What a step sees depends on its number and on nothing before it."""

import numpy as np
import pytest
import torch

from fundus_ml.training.distribution import World
from fundus_ml.training.sampling import epoch_order, shares, step_seed
from tests.fundus_ml.tiny_learning import make_dataset


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("eyes") / "tiny", people={"train": 20})


def test_seeds_differ_between_any_two_steps():
    seeds = {
        step_seed(seed, epoch, step)
        for seed in range(10)
        for epoch in range(1, 20)
        for step in range(30)
    }
    assert len(seeds) == 10 * 19 * 30
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_epoch_holds_every_eye_once(train):
    first = epoch_order(train, seed=3, epoch=1, weighted=False)
    assert sorted(first.tolist()) == list(range(40))
    assert torch.equal(first, epoch_order(train, seed=3, epoch=1, weighted=False))
    assert not torch.equal(first, epoch_order(train, seed=3, epoch=2, weighted=False))
    assert not torch.equal(first, epoch_order(train, seed=4, epoch=1, weighted=False))


def test_weighted_eyes_come_as_often_as_they_weigh(train):
    train.frame["weight"] = np.repeat([0.0, 1.0, 3.0, 4.0], 10)
    counts = np.zeros(40)
    for epoch in range(1, 401):
        rows = epoch_order(train, seed=0, epoch=epoch, weighted=True)
        assert len(rows) == 40
        counts += np.bincount(rows, minlength=40)
    by_weight = counts.reshape(4, 10).sum(axis=1) / counts.sum()
    assert by_weight == pytest.approx(np.array([0, 1, 3, 4]) / 8, abs=0.01)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("after", [0, 2])
def test_processes_share_a_batch_without_an_eye_in_two(size, after):
    order = torch.randperm(43)
    parts = [list(shares(order, 8, World(rank, size), after=after)) for rank in range(size)]
    batches = [torch.cat(share) for share in zip(*parts, strict=True)]
    assert len(batches) == 5 - after
    for place, batch in enumerate(batches, after):
        assert torch.equal(batch, order[8 * place : 8 * place + 8])
