"""Localisation against plain loops; planted maps; parts that an eye does not show."""

import numpy as np
import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.localisation import Localised
from fundus_ml.imaging.regions.energy_shares import PartAreas
from fundus_ml.imaging.regions.maps import PARTS, part_masks
from fundus_ml.imaging.regions.shams import sham_regions
from fundus_ml.imaging.regions.zones import RING, inner_rings
from tests.fundus_ml.faithfulness.tiny_maps import (
    COUNT,
    HEIGHT,
    WIDTH,
    Weighted,
    make_explained,
    make_maps,
    make_regions,
)

SHAMS = ("sham disc", "sham macula", "sham vessels", "sham disc ring")
NAMES = (*PARTS, RING, *SHAMS)


def all_masks():
    regions = make_regions()
    shams = sham_regions(regions)
    ring, sham_ring = inner_rings(regions, shams["disc"])
    told = {f"sham {name}": mask for name, mask in (shams | {RING: sham_ring}).items()}
    return {**part_masks(regions), RING: ring, **told}


def planted(part, *, sham=0.0):
    """Maps that are high in a part, lower in its sham, and noise elsewhere."""
    masks = all_masks()
    maps = 0.1 * make_maps()
    own, other = (torch.from_numpy(masks[name]) for name in (part, f"sham {part}"))
    return maps + 5 * own + sham * other


def located(maps, *, model=None, signed=True):
    model = Weighted(bias=1e3) if model is None else model
    return Localised(make_explained(model, maps, signed=signed), make_regions())


@pytest.mark.parametrize("tolerance", [0, 1.5])
@pytest.mark.parametrize("signed", [True, False])
def test_scores_equal_loops(signed, tolerance):
    model, maps, masks = Weighted(), make_maps(), all_masks()
    localised = located(maps, model=model, signed=signed)
    assert localised.names == NAMES
    assert len(set(localised._explained.direction.tolist())) == 2
    directed = localised._explained.directed.double().numpy()
    assert signed == bool((directed < 0).any())
    found = {
        "point": localised.pointing_game(tolerance=tolerance),
        "mass": localised.relevance_mass,
        "rank": localised.relevance_rank,
    }
    for place in range(COUNT):
        own = directed[place]
        top = np.unravel_index(own.argmax(), own.shape)
        for column, name in enumerate(NAMES):
            mask = masks[name][place]
            wanted = {"point": np.nan, "mass": np.nan, "rank": np.nan}
            if mask.any():
                near = min(np.hypot(*np.subtract(top, each)) for each in np.argwhere(mask))
                best = np.argsort(-own.flatten())[: mask.sum()]
                wanted = {
                    "point": float(near <= tolerance),
                    "mass": own[mask & (own > 0)].sum() / own[own > 0].sum(),
                    "rank": mask.flatten()[best].mean(),
                }
            for score, value in wanted.items():
                assert float(found[score][place, column]) == pytest.approx(value, nan_ok=True)


@pytest.mark.parametrize("energy", ["square", "magnitude"])
def test_enrichment_is_that_of_a_change(energy):
    maps = make_maps()
    found = located(maps).enrichment(energy=energy)
    power = 2 if energy == "square" else 1
    shares = PartAreas(make_regions(), with_ring=True).shares(
        np.abs(maps.double().numpy()) ** power
    )
    for column, name in enumerate(NAMES):
        rows = shares[shares["part"] == name.removeprefix("sham ")]
        wanted = rows["enrichment"]
        if name.startswith("sham"):
            wanted = rows["sham_energy_share"] / rows["sham_area_share"]
        assert found[:, column].tolist() == pytest.approx(wanted.tolist(), nan_ok=True)


def test_a_planted_part_is_found_and_its_sham_is_not():
    localised = located(planted("macula", sham=1.0))
    own, sham = NAMES.index("macula"), NAMES.index("sham macula")
    known = ~localised.relevance_mass[:, sham].isnan()
    assert known.any()
    for found in (
        localised.relevance_mass,
        localised.relevance_rank,
        localised.enrichment(energy="square"),
        localised.pointing_game(tolerance=0),
    ):
        assert (found[known, own] > found[known, sham]).all()
    assert localised.pointing_game(tolerance=0)[:, own].tolist() == [1.0] * COUNT
    assert localised.relevance_rank[:, own].tolist() == [1.0] * COUNT


def test_what_is_not_shown_or_says_nothing_is_missing():
    maps = planted("disc")
    maps[0] = -maps[0].abs()  # nothing speaks for the decision
    localised = located(maps)
    disc = NAMES.index("disc")
    for found in (
        localised.pointing_game(tolerance=2),
        localised.relevance_mass,
        localised.relevance_rank,
    ):
        assert found[0].isnan().all()
        assert found[-1, disc].isnan()
        assert not found[1:-1, : len(PARTS)].isnan().any()
    assert localised.enrichment(energy="square")[-1, disc].isnan()


def test_several_largest_values_count_by_their_share():
    maps = torch.zeros(COUNT, HEIGHT, WIDTH)
    maps[:, 8:10, 6:14] = 1
    found, masks = located(maps).pointing_game(tolerance=0), all_masks()
    for column, name in enumerate(PARTS):
        shown = masks[name].any(axis=(1, 2))
        wanted = masks[name][:, 8:10, 6:14].mean(axis=(1, 2))
        assert found[shown, column].numpy() == pytest.approx(wanted[shown])


def test_regions_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"^regions: shape must be \(5, 20, 26\), not \(4, 20"):
        Localised(make_explained(), make_regions()[:4])
