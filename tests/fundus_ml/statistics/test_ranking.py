"""AUROC and AUPRC of weighted rows against scikit-learn, ties and absent rows included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from fundus_ml.errors import InputError
from fundus_ml.statistics.ranking import rank


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(-3, 3), st.integers(0, 3)),
        min_size=2,
        max_size=30,
    )
)
@settings(deadline=None)
def test_weighted_rows_are_ranked_as_scikit_learn_ranks_them(rows):
    labels, scores, weights = np.array(rows).T
    if labels.min() == labels.max():
        with pytest.raises(InputError, match="AUROC needs both classes"):
            rank(labels, scores)
        return
    ranking = rank(labels, scores)
    (auroc,), (auprc,) = ranking.measure(weights[None, ranking.order])
    if len(np.unique(labels[weights > 0])) < 2:
        assert np.isnan([auroc, auprc]).all()
        return
    assert auroc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    kept = weights > 0  # scikit-learn warns of scores whose rows weigh nothing
    wanted = average_precision_score(labels[kept], scores[kept], sample_weight=weights[kept])
    assert auprc == pytest.approx(wanted)


def test_scores_without_ties_skip_the_tie_groups():
    """Both ways through the same numbers: distinct scores, and the same ones twice."""
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 40), rng.normal(size=40)
    once, twice = rank(labels, scores), rank(np.tile(labels, 2), np.tile(scores, 2))
    assert once.ends is None
    assert len(twice.ends) == 40
    single = np.array(once.measure(np.ones((1, 40))))
    np.testing.assert_allclose(single, twice.measure(np.ones((1, 80))), rtol=1e-12)
