"""Similarities of maps: known values, ties, and maps that say nothing."""

import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.similarity import rank_correlation, structural_similarity
from tests.fundus_ml.faithfulness.tiny_maps import COUNT, make_maps


def test_the_rank_correlation_follows_ranks_alone_and_ties_share_theirs():
    one = torch.arange(12.0).view(1, 3, 4)
    assert rank_correlation(one, one.exp()) == pytest.approx(1)
    assert rank_correlation(one, -one) == pytest.approx(-1)
    # Ranks 2.5, 2.5, 2.5, 2.5, 5 against 1 to 5: 5 / sqrt(10 * 5).
    tied, rising = torch.tensor([[[0.0, 0, 0, 0, 1]]]), torch.tensor([[[1.0, 2, 3, 4, 5]]])
    assert rank_correlation(tied, rising) == pytest.approx(5 / np.sqrt(50))


def test_the_structural_similarity_looks_at_structure_not_at_scale():
    one, other = make_maps(1).abs(), make_maps(2).abs()
    alike = structural_similarity(one, (one + 0.1 * other) / 2)
    apart = structural_similarity(one, other)
    assert (alike > apart + 0.3).all()
    flat = torch.ones(1, 8, 8)
    # Constant maps scaled to 1 have the same luminance and no contrast.
    assert structural_similarity(flat, 5 * flat) == pytest.approx(1)


def test_limits():
    one = make_maps(1).abs()
    for score in (rank_correlation, structural_similarity):
        assert score(one, 3 * one) == pytest.approx(1)
        assert np.isnan(score(one, 0 * one)).all()


def test_maps_smaller_than_the_window_are_refused():
    small = torch.rand(COUNT, 9, 6)
    with pytest.raises(InputError, match=r"^maps: 9 x 6 pixels; the .* needs 7 x 7$"):
        structural_similarity(small, small)
