"""The probe finds what is in the features, and only reports it."""

import copy

import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.models.feature_extractor import FeatureExtractor
from fundus_ml.pretraining import check_probe, probe_auroc
from tests.fundus_ml.tiny_learning import make_dataset

HOW = {"batch_size": 5, "precision": "fp32"}


class RedTrunk(torch.nn.Module):
    """Features that hold, or do not hold, what tells the sexes apart in the tiny eyes."""

    width = 2

    def __init__(self, channel):
        super().__init__()
        self.channel = channel
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, images):
        upper = images[:, self.channel, : images.shape[2] // 2].mean(dim=(1, 2))
        lower = images[:, self.channel, images.shape[2] // 2 :].mean(dim=(1, 2))
        return self.scale * torch.stack((upper, lower, torch.full_like(upper, 9)), dim=1)


def test_sex_is_found_where_it_is_and_not_where_it_is_not(eyes):
    """Male eyes are redder; their green says nothing."""
    train, val = eyes.split("train"), eyes.split("val")
    assert probe_auroc(RedTrunk(0), train, val, **HOW) == 1
    assert 0.1 < probe_auroc(RedTrunk(1), train, val, **HOW) < 0.9


def test_the_trunk_stays_as_it_is(eyes, classifier):
    extractor = FeatureExtractor(classifier)
    before = copy.deepcopy(extractor.state_dict())
    found = probe_auroc(extractor, eyes.split("train"), eyes.split("val"), **HOW)
    assert found == probe_auroc(extractor, eyes.split("train"), eyes.split("val"), **HOW)
    assert extractor.training
    assert all(torch.equal(value, before[k]) for k, value in extractor.state_dict().items())


@pytest.mark.parametrize("people", [{"train": 4, "val": 2}, {"train": 6, "val": 1}])
def test_splits_too_small_for_a_probe_are_refused(tmp_path, people):
    eyes = make_dataset(tmp_path / "tiny", people=people)
    with pytest.raises(InputError, match=r"probe=true: \d \w+ people in train of tiny; at least 3"):
        check_probe(eyes.split("train"), eyes.split("val"))


def test_splits_that_are_large_enough_pass(eyes):
    check_probe(eyes.split("train"), eyes.split("val"))
