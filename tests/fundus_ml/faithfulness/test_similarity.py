"""Similarities of maps against scipy and scikit-image."""

import pytest
import torch
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity as skimage_ssim

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.similarity import rank_correlation, structural_similarity
from tests.fundus_ml.faithfulness.tiny_maps import COUNT, make_maps


@pytest.fixture
def pair():
    one = make_maps(1)
    return one.abs(), (0.5 * one + make_maps(2)).abs()


def test_the_rank_correlation_is_scipys_with_ties(pair):
    one, other = pair[0].clamp(max=0.8), (pair[1] * 4).round()
    found = rank_correlation(one, other)
    for place in range(COUNT):
        wanted = spearmanr(one[place].flatten(), other[place].flatten()).statistic
        assert float(found[place]) == pytest.approx(wanted, abs=1e-9)


def test_the_structural_similarity_is_that_of_scikit_image(pair):
    found = structural_similarity(*pair)
    for place in range(COUNT):
        one, other = ((each[place] / each[place].max()).double().numpy() for each in pair)
        wanted = skimage_ssim(one, other, data_range=1.0)
        assert float(found[place]) == pytest.approx(wanted, abs=1e-6)


def test_limits(pair):
    one = pair[0]
    for score in (rank_correlation, structural_similarity):
        assert score(one, 3 * one).numpy() == pytest.approx(1)
        assert score(one, 0 * one).isnan().all()


def test_maps_smaller_than_the_window_are_refused():
    small = torch.rand(COUNT, 9, 6)
    with pytest.raises(InputError, match=r"^maps: 9 x 6 pixels; the .* needs 7 x 7$"):
        structural_similarity(small, small)
