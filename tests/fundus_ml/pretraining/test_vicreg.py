"""The three terms against their definition, written out number by number."""

import math

import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.pretraining import Coefficients, vicreg


def embeddings(count=5, width=3, *, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, width, generator=generator)


def written_out(one, two):
    """The paper's equations as loops over numbers."""
    one, two = one.double().tolist(), two.double().tolist()
    count, width = len(one), len(one[0])
    invariance = sum(
        (one[i][j] - two[i][j]) ** 2 for i in range(count) for j in range(width)
    ) / (count * width)  # fmt: skip
    variance = covariance = 0.0
    for view in (one, two):
        means = [sum(row[j] for row in view) / count for j in range(width)]
        between = [
            [
                sum((row[j] - means[j]) * (row[k] - means[k]) for row in view) / (count - 1)
                for k in range(width)
            ]
            for j in range(width)
        ]
        variance += (
            sum(max(0, 1 - math.sqrt(between[j][j] + 1e-4)) for j in range(width)) / width / 2
        )
        covariance += sum(
            between[j][k] ** 2 for j in range(width) for k in range(width) if j != k
        ) / width  # fmt: skip
    return invariance, variance, covariance


def test_terms_are_the_papers():
    """Each term by itself, and the sum with its coefficients."""
    one, two = 0.5 * embeddings(), embeddings(seed=1)
    terms = vicreg(one, two)
    wanted = written_out(one, two)
    found = terms.invariance, terms.variance, terms.covariance
    assert [float(term) for term in found] == pytest.approx(wanted, rel=1e-5)
    weighed = terms.total(Coefficients(invariance=2, variance=3, covariance=5))
    assert float(weighed) == pytest.approx(np.dot((2, 3, 5), wanted), rel=1e-5)


def test_what_the_loss_wants_costs_nothing():
    """Equal views, wide and uncorrelated."""
    signs = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    terms = vicreg(signs, signs)
    assert (float(terms.invariance), float(terms.variance), float(terms.covariance)) == (0, 0, 0)


def test_collapse_costs_the_variance_term_and_has_a_way_out():
    """Equal embeddings agree; the variance term alone objects, and its gradient is finite."""
    collapsed = torch.ones(4, 3, requires_grad=True)
    terms = vicreg(collapsed, collapsed)
    assert terms.invariance.item() == terms.covariance.item() == 0
    assert terms.variance.item() == pytest.approx(1 - math.sqrt(1e-4))
    terms.total(Coefficients()).backward()
    assert torch.isfinite(collapsed.grad).all()


def test_terms_stay_exact_where_the_network_is_not():
    """Half precision ends at the loss."""
    one, two = embeddings(), embeddings(seed=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = vicreg(one, two)
    assert terms.covariance.dtype == torch.float32
    assert torch.equal(terms.covariance, vicreg(one, two).covariance)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"covariance": -1}, "covariance=-1: must be 0 or more"),
        ({"invariance": math.inf}, "invariance=inf: must be 0 or more"),
        ({"variance": 0}, "variance=0: must be above 0"),
    ],
)
def test_other_coefficients_are_refused(changed, said):
    with pytest.raises(InputError, match=said):
        Coefficients(**changed)
