"""A read-out states causes as surely as the maps allow, for people that it never saw."""

import argparse
import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.edited_cells import Cell
from benchmarks.stated_causes import Groups, ReadOut, group_features, most_used, ranking
from fundus_ml.errors import InputError

EDITS = ("disc_magnification", "hue", "none")
PEOPLE = np.array([f"p{at:03d}" for at in range(120)])
GROUP = 5
SPREAD = 1.0


def uses(most):
    return {
        name: {"mean": 2.0 * (name == most), "se": 0.1} for name in ("disc_magnification", "hue")
    }


def write_cells(folder, *, gap, seeds=(0, 1, 2, 3), noise_seed=0):
    """Networks whose maps' first region is log enriched by ``gap`` times the place of the edit."""
    generator = np.random.default_rng(noise_seed)
    cells = []
    for seed in seeds:
        for place, edit in enumerate(EDITS):
            cell = Cell(out=folder, edit=edit, auroc=0.85, seed=seed, given=argparse.Namespace())
            cell.folder.mkdir(parents=True)
            told = {"edit": edit, "auroc": 0.85, "seed": seed, "robust_rms": 0, "confounds": ""}
            told["uses"] = uses(edit)
            (cell.folder / "truth.json").write_text(json.dumps(told), encoding="utf-8")
            logs = np.zeros((len(PEOPLE), 7))
            logs[:, 0] = gap * place + SPREAD * generator.normal(size=len(PEOPLE))
            np.savez(
                cell.folder / "m.npz",
                people=PEOPLE, seconds_per_eye=0.5, enrichment=np.exp(logs) - 1e-3,
                signed=np.zeros((len(PEOPLE), 7)), pointing=np.full(len(PEOPLE), 0.25),
                truth_area=np.full(len(PEOPLE), 0.1), in_truth=np.full(len(PEOPLE), 2.0),
                in_sham=np.full(len(PEOPLE), 0.5),
            )  # fmt: skip
            cells.append(cell)
    return cells


def scores_of(cells, groups):
    fitting = [cell for cell in cells if cell.seed < 2]
    read_out = ReadOut.fit("m", fitting, groups, rows=8, seed=0)
    return read_out.score("m", [cell for cell in cells if cell.seed >= 2], groups)


@pytest.fixture(scope="module")
def groups():
    return Groups.draw(PEOPLE, size=GROUP, seed=0)


def test_everyone_has_one_role_and_no_one_fits_and_is_scored(groups):
    assert (groups.role == -1).sum() == (groups.role == -2).sum() == 30
    assert np.bincount(groups.role[groups.role >= 0]).tolist() == [5] * 12
    np.testing.assert_array_equal(groups.of(PEOPLE[::-1]), groups.role[::-1])


def test_the_log_score_is_that_of_the_known_posterior(groups, tmp_path):
    """Three normal means, known spread: Bayes' rule by hand on the same groups."""
    gap = 0.6
    cells = write_cells(tmp_path, gap=gap)
    found = scores_of(cells, groups)
    expected = []
    for _, row in found.iterrows():
        with np.load(tmp_path / row["cell"] / "m.npz") as npz:
            logs = np.log(npz["enrichment"] + 1e-3)
        own = logs[groups.of(PEOPLE) == row["group"], 0]
        logs = -0.5 * np.square(own.mean() - gap * np.arange(3)) * GROUP / SPREAD**2
        expected.append(logs[EDITS.index(row["edit"])] - np.log(np.exp(logs).sum()))
    assert found["log_score"].mean() == pytest.approx(np.mean(expected), abs=0.08)
    assert found["log_score"].mean() > np.log(1 / 3) + 0.2


def test_maps_that_say_nothing_score_as_chance(groups, tmp_path):
    found = scores_of(write_cells(tmp_path, gap=0.0), groups)
    assert found["log_score"].mean() == pytest.approx(np.log(1 / 3), abs=0.05)


def test_maps_that_say_all_are_named_and_claim_nothing_falsely(groups, tmp_path):
    found = scores_of(write_cells(tmp_path, gap=9.0), groups)
    assert found["log_score"].mean() > -0.1
    assert found["named"].all()
    assert found.loc[found["edit"] == "none", "false_claim"].tolist() == [0] * 24
    planted = found[found["edit"] != "none"]
    assert planted["false_claim"].isna().all()
    np.testing.assert_allclose(planted["over_sham"], np.log(2.001 / 0.501))
    assert found.loc[found["edit"] == "none", "pointing"].isna().all()


def test_the_fit_sees_nobody_who_is_scored(groups, tmp_path):
    cells = write_cells(tmp_path, gap=0.6)
    before = scores_of(cells, groups)
    for cell in cells:
        if cell.seed < 2:
            found = cell.maps_of("m")
            found["enrichment"][groups.of(found["people"]) >= 0] = 77
            np.savez(cell.folder / "m.npz", **found)
    pd.testing.assert_frame_equal(scores_of(cells, groups), before)


def test_a_network_without_a_sure_use_uses_none():
    assert most_used({"uses": uses("hue")}) == "hue"
    unsure = {"hue": {"mean": -0.3, "se": 0.2}, "rim_pallor": {"mean": np.nan, "se": np.nan}}
    assert most_used({"uses": unsure}) == "none"


def test_a_region_that_no_eye_shows_counts_as_even():
    found = {"enrichment": np.array([[np.nan, 3.0], [np.nan, np.nan]]), "signed": np.ones((2, 2))}
    np.testing.assert_allclose(group_features(found, np.arange(2)), [0, np.log(3.001), 1, 1])


def table(values):
    """Six networks of two groups, the log score of each moved by ``values``."""
    shape = np.random.default_rng(1).normal(-1.5, 0.3, (6, 2)) + values
    rows = [
        {"cell": f"c{network}", "group": group, "log_score": shape[network, group]}
        | dict.fromkeys(
            ("named", "false_claim", "log_score_used", "pointing", "truth_area", "over_sham",
             "in_truth", "in_sham", "seconds_per_eye"), 0.5,
        )
        for network in range(6)
        for group in range(2)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_methods_are_ranked_in_pairs_beside_chance_and_the_centre():
    tables = {"centre": table(0), "good": table(0.5), "poor": table(-0.25)}
    found = ranking(tables, causes=8).set_index("method")
    assert found.index.tolist() == ["good", "centre", "poor"]
    assert (found["chance"] == np.log(1 / 8)).all()
    # Constant differences: the interval over networks and people is the point itself.
    for end in ("", "_low", "_high"):
        assert found.loc["good", f"over_centre{end}"] == pytest.approx(0.5)
        assert found.loc["poor", f"behind_best{end}"] == pytest.approx(0.75)
    assert found.loc["good", "over_centre_pvalue"] == pytest.approx(2 / 2**6)
    assert np.isnan(found.loc["good", "behind_best"])
    assert found.loc["good", "log_score"] == pytest.approx(tables["good"]["log_score"].mean())


def test_too_few_people_groups_or_seeds_are_refused(groups, tmp_path):
    with pytest.raises(InputError, match="people: 3; 4 or more"):
        Groups.draw(PEOPLE[:3], size=2, seed=0)
    with pytest.raises(InputError, match="group=0: must be 1 or more"):
        Groups.draw(PEOPLE, size=0, seed=0)
    cells = write_cells(tmp_path, gap=1.0, seeds=(0,))
    with pytest.raises(InputError, match="fitting_seeds: two or more"):
        ReadOut.fit("m", cells, groups, rows=2, seed=0)
