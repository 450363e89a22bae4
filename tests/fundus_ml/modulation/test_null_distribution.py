"""Null distribution over networks: ranks against loops, error rates against simulated networks."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.null_tests import drawn
from fundus_ml.modulation.control_table import MODULATION, SHUFFLED_MODEL
from fundus_ml.modulation.localisation import LEAST_SHARE
from fundus_ml.modulation.null_distribution import (
    is_shuffled,
    null_conditions,
    null_table,
    null_words,
    rank_pvalues,
)

PARTS = ("disc", "macula", "background")


def test_ranks_equal_loops():
    """One cell alone: 1 and the null models as large, over K + 1; then the largest of all cells."""
    generator = np.random.default_rng(0)
    own, nulls = generator.normal(size=4), generator.normal(size=(9, 4))
    p, p_max = rank_pvalues(own, nulls)
    standard = stats.zscore(np.vstack([own, nulls]), axis=0, ddof=1)
    for cell in range(4):
        assert p[cell] == (1 + sum(nulls[k, cell] >= own[cell] for k in range(9))) / 10
        larger = sum(standard[1 + k].max() >= standard[0, cell] for k in range(9))
        assert p_max[cell] == (1 + larger) / 10
    assert (p_max >= p).all()


def test_what_is_not_known_counts_against_the_finding():
    """A null model without a number in a cell, or in all; a cell of nobody; ties."""
    nulls = np.array([[0.0, 0.1], [0.1, np.nan], [np.nan, np.nan]])
    p, p_max = rank_pvalues(np.array([9.0, np.nan]), nulls)
    assert p[0] == p_max[0] == 2 / 4
    assert np.isnan([p[1], p_max[1]]).all()
    p, p_max = rank_pvalues(np.array([0.5, 0.1]), np.array([[np.nan, 0.2], [0.1, 0.0], [0.2, 0.3]]))
    assert p.tolist() == [2 / 4, 3 / 4]
    p, p_max = rank_pvalues(np.ones(2), np.ones((19, 2)))
    assert p.tolist() == p_max.tolist() == [1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["normal", "skewed", "zeros"])
def test_any_finding_among_networks_alike_is_rare(shape):
    """2,000 studies without a plant: one in 21 finds anything, whatever the distribution."""
    generator = np.random.default_rng(8)
    found = []
    for _ in range(2000):
        shares = drawn(generator, shape, 21, "none", 1)
        logits = np.log(shares + LEAST_SHARE) - np.log(1 - shares + LEAST_SHARE)
        _, p_max = rank_pvalues(logits[0].ravel(), logits[1:].reshape(20, -1))
        found.append((p_max < 0.05).any())
    assert np.mean(found) == pytest.approx(1 / 21, abs=0.015)


def enrichments(networks, *, planted=0.0):
    """Two budgets and three parts of a modulation, an edge map, and null models."""
    generator = np.random.default_rng(3)
    rows = []
    for condition in (MODULATION, *null_conditions(networks), "edge map"):
        for eps in (1.0, 2.0):
            shares = generator.dirichlet([4.0] * len(PARTS))
            if condition == MODULATION:
                shares = (1 - planted) * shares + planted * np.array([1.0, 0, 0])
            for part, share in zip(PARTS, shares, strict=True):
                sham = generator.uniform(0.02, 0.1) if part != "background" else np.nan
                if condition == MODULATION:
                    sham *= 1 - planted
                rows.append(
                    {
                        "condition": condition, "eps": eps, "part": part, "energy_share": share,
                        "enrichment": 3 * share, "sham_energy_share": sham, "sham": 3 * sham,
                        "over_sham": share / sham,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_the_table_asks_the_modulation_and_no_other_control():
    """A row per budget and part, then per sham; only null models are ranked with it."""
    enrichment = enrichments(4)
    table = null_table(enrichment)
    expected = [(eps, part) for eps in (1.0, 2.0) for part in PARTS]
    shams = [(eps, f"sham {part}") for eps in (1.0, 2.0) for part in PARTS[:2]]
    assert list(table[["eps", "part"]].itertuples(index=False, name=None)) == expected + shams
    assert set(table["condition"]) == {MODULATION}
    assert set(table["networks"]) == {4}
    for row in table[:6].to_dict("records"):
        same = enrichment[enrichment["eps"].eq(row["eps"]) & enrichment["part"].eq(row["part"])]
        nulls = same[same["condition"].map(is_shuffled)]
        ends = np.quantile(nulls["enrichment"], (0.5, 0, 1))
        assert [row["null"], row["null_low"], row["null_high"]] == pytest.approx(ends)
        over = nulls["over_sham"]
        beside = [row[f"null_over_sham{end}"] for end in ("", "_high")]
        assert beside == pytest.approx([over.median(), over.max()], nan_ok=True)
        assert row["p"] == (1 + (nulls["energy_share"] >= row["energy_share"]).sum()) / 5
        logit = np.log((nulls["energy_share"] + 1e-4) / (1 - nulls["energy_share"] + 1e-4))
        own = np.log((row["energy_share"] + 1e-4) / (1 - row["energy_share"] + 1e-4))
        assert row["z"] == pytest.approx((own - logit.mean()) / logit.std())
    assert null_table(enrichment, conditions=["edge map"])["condition"].unique() == ["edge map"]


def test_a_planted_part_is_found_and_its_sham_is_not():
    """Twenty null models that look everywhere, a modulation that goes to the disc."""
    table = null_table(enrichments(20, planted=0.97))
    found = table[table["p_max"] < 0.05]
    assert found["part"].unique().tolist() == ["disc"]
    assert set(found["finding"]) == {"more of the change than in 20 null models"}
    assert null_words(table) == "more of the change than in 20 null models: disc (p 0.048)"
    words = null_words(null_table(enrichments(20)))
    assert words.startswith("no part stands out from 20 null models (least p ")


def test_few_null_models_show_nothing_whatever_they_did():
    """Three: no p below .25, and the sentence says so."""
    table = null_table(enrichments(3, planted=0.999))
    said = "3 null models can reach no p below 0.25: nothing is shown against them; 20 are needed"
    assert set(table["finding"]) == {said}
    assert null_words(table) == said
    assert table["p_max"].min() >= 0.25
    assert null_table(enrichments(1)).empty
    assert null_words(null_table(enrichments(0).iloc[:0])) == ""


def test_a_null_model_without_change_in_a_part_counts():
    """Its share is 0, and it is one of the networks that the part is ranked among."""
    enrichment = enrichments(20)
    null = enrichment["condition"].eq(null_conditions(20)[0]) & enrichment["part"].eq("disc")
    before = null_table(enrichment)
    enrichment.loc[null, ["energy_share", "enrichment"]] = 0.0
    after = null_table(enrichment)
    assert after["networks"].eq(20).all()
    assert after.loc[after["part"].eq("disc"), "null_low"].eq(0).all()
    assert (after["p"] <= before["p"]).all()


def test_names():
    """Numbered only where there are several."""
    assert null_conditions(1) == [SHUFFLED_MODEL]
    assert null_conditions(2) == ["shuffled model 1", "shuffled model 2"]
    assert [is_shuffled(name) for name in (SHUFFLED_MODEL, "shuffled model 2", MODULATION)] == [
        True, True, False,
    ]  # fmt: skip
