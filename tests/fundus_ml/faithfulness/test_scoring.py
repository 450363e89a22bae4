"""One long table: what it holds, that a batch is its images alone, and removals made once."""

import dataclasses

import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.faithfulness import (
    SCORES,
    FaithfulnessOptions,
    explained,
    quickened,
    removals_of,
    score_maps,
)
from fundus_ml.imaging.regions.energy_shares import PartAreas
from fundus_ml.imaging.regions.maps import PARTS
from fundus_ml.imaging.regions.zones import RING
from tests.fundus_ml.faithfulness.tiny_maps import (
    COUNT,
    Curved,
    Weighted,
    input_gradient,
    make_images,
    make_maps,
    make_regions,
)

OPTIONS = FaithfulnessOptions(
    batch_size=4, levels=3, fills=("mean", "blur", "black"), patch=6, removed_shares=(0.2, 0.5),
    subsets=4, noise_draws=2, stages=2, repeats=2,
)  # fmt: skip


def noisy(model, images, seed):
    noise = torch.rand(images.shape[1:], generator=torch.Generator().manual_seed(seed))
    return input_gradient(model, images) * (1 + noise.mean(0))


def scored(rows=slice(None), model=None, **how):
    model = Curved() if model is None else model
    images = make_images()[rows]
    given = {
        "options": OPTIONS,
        "explain": input_gradient,
        "seeded_explain": noisy,
        "regions": make_regions()[rows],
    }
    return score_maps(model, images, input_gradient(model.eval(), images), **(given | how))


def test_every_score_has_its_rows():
    steps = []
    found = scored(on_step=lambda *step: steps.append(step))
    assert list(found.columns) == ["row", "score", "part", "value"]
    assert set(found["score"]) == set(SCORES)
    assert steps == [(done, 7) for done in range(1, 8)]
    for score, rows in found.groupby("score"):
        parts = [*PARTS, RING, "sham disc", "sham macula", "sham vessels", f"sham {RING}"]
        wanted = parts if SCORES[score].needs == "regions" else [""]
        assert set(rows["part"]) == set(wanted)
        assert len(rows) == COUNT * len(wanted)
        assert rows["value"].dtype == np.float64
    known = found[found["part"] == ""]
    assert known["value"].notna().all()
    assert {each.better for each in SCORES.values()} == {"more", "less"}


def test_areas_of_regions_can_be_shared():
    how = {"explain": None, "seeded_explain": None}
    areas = PartAreas(make_regions(), with_ring=True)
    assert scored(**how, regions=areas).equals(scored(**how))


def test_a_network_is_folded_once(monkeypatch):
    model = Curved()
    whole = scored(model=model)
    quick = quickened(model, make_images())
    monkeypatch.delattr(explained, "folded_where_equal")
    assert scored(model=model, quick=quick).equals(whole)
    removals = removals_of(model, make_images(), options=OPTIONS, quick=quick)
    assert scored(model=model, quick=quick, removals=removals).equals(whole)


def test_what_is_not_given_is_left_out():
    found = scored(explain=None, seeded_explain=None, regions=None)
    assert set(found["score"]) == {name for name, each in SCORES.items() if not each.needs}
    only = scored(options=dataclasses.replace(OPTIONS, fills=("blur",)))
    assert not any("mean" in name or "black" in name for name in only["score"])


def test_scores_that_ask_the_method_again_can_stand_alone():
    whole, again = scored(), scored(only_asked_again=True)
    asking = {name for name, each in SCORES.items() if "explain" in each.needs}
    assert set(again["score"]) == asking
    assert whole[whole["score"].isin(asking)].reset_index(drop=True).equals(again)


def test_a_batch_is_its_images_alone():
    whole = scored().set_index(["row", "score", "part"])["value"]
    for place in (1, COUNT - 1):
        alone = scored(slice(place, place + 1)).assign(row=place)
        alone = alone.set_index(["row", "score", "part"])["value"]
        assert alone.to_numpy() == pytest.approx(
            whole[alone.index].to_numpy(), rel=1e-3, abs=1e-4, nan_ok=True
        )


def test_a_method_that_names_the_truth_scores_best():
    model, images = Weighted(bias=0.2), make_images()
    options = dataclasses.replace(OPTIONS, fills=("black",), removal_fill="black")
    maps = {"own": (model.weight * images).sum(1).detach(), "other": make_maps()}
    removals = removals_of(model, images, options=options)
    means = {
        name: score_maps(model, images, own, options=options, removals=removals)
        .groupby("score")["value"]
        .mean()
        for name, own in maps.items()
    }
    better = {"deletion_black", "insertion_black", "sensitivity_n", "infidelity"}
    for name in better | {"scaled_infidelity"}:
        gap = means["own"][name] - means["other"][name]
        assert (gap > 0) == (SCORES[name].better == "more")
    assert means["own"]["sensitivity_n"] == pytest.approx(1)


def test_removals_are_made_once_and_must_fit():
    class Counting(Curved):
        seen = 0

        def forward(self, images):
            Counting.seen += len(images)
            return super().forward(images)

    bare = {"explain": None, "seeded_explain": None, "regions": None}
    model = Counting().eval()
    removals = removals_of(model, make_images(), options=OPTIONS)
    tables, seen = [], []
    for own in (None, removals):
        Counting.seen = 0
        tables.append(scored(model=model, removals=own, **bare)["value"].to_numpy())
        seen.append(Counting.seen)
    assert tables[0] == pytest.approx(tables[1], abs=1e-5)
    assert seen[0] - seen[1] == COUNT * 2 * 4
    fewer = removals_of(model, make_images()[:3], options=OPTIONS)
    said = r"^removals: \(3, 2, 4\) losses of patches of 6 pixels do not fit \(5, 2, 4\) of 6$"
    with pytest.raises(InputError, match=said):
        scored(removals=fewer)
    with pytest.raises(InputError, match=r"do not fit .* of 5$"):
        scored(removals=removals, options=dataclasses.replace(OPTIONS, patch=5))


def test_a_stage_without_a_map_leaves_no_mean():
    def explain(network, images):
        maps = input_gradient(network, images)
        maps[0] *= network is not model and torch.equal(network.stem.weight, model.stem.weight)
        return maps

    model = Curved()
    found = scored(model=model, explain=explain, seeded_explain=None, regions=None)
    cascade = found[found["score"].str.startswith("cascade")]
    # The first of each pass of four.
    assert cascade["value"].isna().tolist() == 2 * [True, False, False, False, True]
