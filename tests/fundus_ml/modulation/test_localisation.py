"""Energy per part against loops over pixels, and enrichments in closed form."""

import numpy as np
import pandas as pd
import pytest

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.maps import PARTS, REGION_FLAGS
from fundus_ml.imaging.regions.zones import RING
from fundus_ml.modulation.localisation import (
    enrichment_by_condition,
    enrichment_by_part,
    region_shares,
)
from fundus_ml.statistics.clustered import clustered_ratio

EPS = (0.5, 2.0)
IDS = ["x/0", "x/1", "x/2", "x/3"]


@pytest.fixture
def pixels():
    """``(4, 6, 7, 3)`` uint8 eyes."""
    return np.random.default_rng(0).integers(0, 256, (4, 6, 7, 3), dtype=np.uint8)


@pytest.fixture
def modulated(pixels):
    """Two budgets; the second eye does not change at the first."""
    change = np.random.default_rng(1).integers(-30, 31, (2, *pixels.shape))
    change[0, 1] = 0
    return (pixels + change).clip(0, 255).astype(np.uint8)


@pytest.fixture
def regions():
    """Every part and some overlaps in every eye, but no disc in the last."""
    flags = np.array([0, 28, 1, 3, 5, 9, 11, 17, 21, 31], np.uint8)
    drawn = np.random.default_rng(2).choice(flags, (4, 6, 7))
    drawn[3] &= ~np.uint8(REGION_FLAGS["disc"])
    return drawn


def part_of(flags):
    """The most specific structure of one pixel, by plain questions."""
    if not flags & 1:
        return "outside"
    for name in ("disc", "vessels", "macula", "periphery"):
        if flags & REGION_FLAGS[name]:
            return name
    return "background"


def test_shares_equal_a_loop_over_pixels(pixels, modulated, regions):
    """Every pixel's squared change goes to one part; the retina is the whole of its parts."""
    shares = region_shares(pixels, modulated, regions, image_ids=IDS, eps=EPS)
    assert len(shares) == 2 * 4 * len(PARTS)
    by_key = shares.set_index(["eps", "image_id", "part"])
    for i, eps in enumerate(EPS):
        for j, name in enumerate(IDS):
            energy, area = dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)
            for place in np.ndindex(6, 7):
                part = part_of(regions[j][place])
                change = modulated[i, j][place].astype(int) - pixels[j][place]
                energy[part] += int((change**2).sum())
                area[part] += 1
            for part in PARTS:
                row = by_key.loc[(eps, name, part)]
                kept = [each for each in PARTS if part == "outside" or each != "outside"]
                total, ground = (sum(found[each] for each in kept) for found in (energy, area))
                share = energy[part] / total if total else np.nan
                enrichment = share / (area[part] / ground) if area[part] else np.nan
                assert row["area_share"] == pytest.approx(area[part] / ground)
                assert row["energy_share"] == pytest.approx(share, nan_ok=True)
                assert row["enrichment"] == pytest.approx(enrichment, nan_ok=True)


def test_shares_of_a_picture_add_up_to_one(pixels, modulated, regions):
    """Shares of the retina's energy and area; a picture that did not change has none."""
    shares = region_shares(pixels, modulated, regions, image_ids=IDS, eps=EPS)
    shares = shares[shares["part"] != "outside"]
    sums = shares.groupby(["eps", "image_id"])[["energy_share", "area_share"]].sum(min_count=5)
    assert sums["area_share"].to_numpy() == pytest.approx(np.ones(8))
    unchanged = sums.pop("energy_share")
    assert unchanged.isna().sum() == 1
    assert np.isnan(unchanged[(0.5, "x/1")])
    assert unchanged.dropna().to_numpy() == pytest.approx(np.ones(7))


def test_an_even_change_has_enrichment_one(regions):
    """Spread evenly, each part gets what its area says."""
    pixels = np.full((4, 6, 7, 3), 100, np.uint8)
    shares = region_shares(pixels, pixels[None] + np.uint8(9), regions, image_ids=IDS, eps=(1.0,))
    assert shares["enrichment"].dropna().to_numpy() == pytest.approx(1.0)
    assert shares.loc[shares["enrichment"].isna(), ["image_id", "part"]].to_numpy().tolist() == [
        ["x/3", "disc"]
    ]


def test_black_around_the_eye_is_no_baseline():
    """A colour cast of the eye alone has enrichment 1, where the square as baseline gave 1.33."""
    pixels, regions = np.full((1, 8, 8, 3), 100, np.uint8), np.ones((1, 8, 8), np.uint8)
    regions[:, :2] = 0
    regions[0, 4, 4] |= REGION_FLAGS["macula"]
    cast = (pixels + (regions[..., None] & 1) * 9)[None]
    shares = region_shares(pixels, cast, regions, image_ids=["x"], eps=(1.0,))
    found = shares.set_index("part")[["energy_share", "enrichment"]].dropna()
    assert found.loc[["macula", "background"], "enrichment"].to_numpy() == pytest.approx([1, 1])
    assert found.loc["outside"].tolist() == [0, 0]
    lit = cast.copy()
    lit[:, :, :2] += 9
    shares = region_shares(pixels, lit, regions, image_ids=["x"], eps=(1.0,)).set_index("part")
    assert shares.loc["outside", "energy_share"] == pytest.approx(0.25)
    assert shares.loc["macula", "enrichment"] == pytest.approx(1)


@pytest.fixture
def discs():
    """Eight eyes with a disc on the right, of six people, and the same in a frame."""
    down, across = np.mgrid[:32, :32]
    eye = (np.hypot(down - 15.5, across - 15.5) < 15).astype(np.uint8)
    eye[np.hypot(down - 15.5, across - 25.5) < 3] |= REGION_FLAGS["disc"]
    people = ["a", "a", "b", "b", "c", "d", "e", "f"]
    frame = pd.DataFrame({"image_id": [f"x/{i}" for i in range(8)], "person_group": people})
    return np.stack([eye] * 8), frame


def test_a_part_is_set_beside_its_sham(discs):
    """Energy 5 times as dense on the disc as on its mirror image, in every eye."""
    regions, frame = discs
    disc = (regions & REGION_FLAGS["disc"]) > 0
    energy = np.where(disc, 5, 1) * np.where(np.arange(32) < 10, 1.0, 0.5)
    change = np.sqrt(2000 * np.repeat(energy[..., None], 3, axis=3)).round()
    pixels = np.zeros((*regions.shape, 3), np.uint8)
    found = enrichment_by_condition(
        pixels, {"one": change.astype(np.uint8)[None]}, regions, frame, eps=(1.0,), resamples=500,
        seed=0,
    ).set_index("part")  # fmt: skip
    row = found.loc["disc"]
    assert row["sham_eyes"] == row["eyes"] == 8
    assert row["over_sham"] == pytest.approx(2.5, rel=0.02)
    assert row["enrichment"] / row["sham"] == pytest.approx(2.5, rel=0.02)
    assert row["over_sham_low"] > 2.4
    assert row["over_sham_p"] == pytest.approx(2 / 2**6)
    assert found.loc["background", ["sham", "over_sham"]].isna().all()


def test_an_eye_without_a_sham_abstains(discs):
    """A disc in the middle has no other side: it counts for its enrichment alone."""
    regions, frame = discs
    regions[0] &= ~np.uint8(REGION_FLAGS["disc"])
    regions[0, 13:19, 13:19] |= REGION_FLAGS["disc"]
    pixels = np.zeros((*regions.shape, 3), np.uint8)
    found = enrichment_by_condition(
        pixels, {"one": pixels[None] + np.uint8(3)}, regions, frame, eps=(1.0,), resamples=50,
        seed=0,
    ).set_index("part")  # fmt: skip
    assert found.loc["disc", ["eyes", "sham_eyes"]].tolist() == [8, 7]
    assert found.loc["disc", ["enrichment", "sham", "over_sham"]].tolist() == pytest.approx(
        [1, 1, 1], abs=0.02
    )


def test_without_region_maps_there_are_no_rows(pixels, modulated):
    """Same columns, nothing in them, and pooling them gives nothing."""
    shares = region_shares(pixels, modulated, None, image_ids=IDS, eps=EPS)
    assert shares.empty
    assert shares.columns.tolist() == [
        "image_id", "eps", "part", "energy_share", "area_share", "enrichment",
        "baseline", "sham_energy_share", "sham_area_share",
    ]  # fmt: skip
    eyes = pd.DataFrame({"image_id": IDS, "person_group": IDS})
    pooled = enrichment_by_part(shares, eyes, resamples=10, seed=0)
    assert pooled.empty
    assert "enrichment" in pooled


@pytest.mark.parametrize("wrong", ["budgets", "regions", "names", "pixels"])
def test_shapes_that_do_not_match_are_refused(pixels, modulated, regions, wrong):
    """The message shows every shape."""
    eps = (1.0,) if wrong == "budgets" else EPS
    regions = regions[:, :5] if wrong == "regions" else regions
    image_ids = IDS[:3] if wrong == "names" else IDS
    pixels = pixels[:3] if wrong == "pixels" else pixels
    with pytest.raises(InputError, match=r"modulated \(2, 4, 6, 7, 3\), regions .* do not fit"):
        region_shares(pixels, modulated, regions, image_ids=image_ids, eps=eps)


def test_pooled_enrichment_is_a_ratio_of_sums(pixels, modulated, regions):
    """Sums of shares over the eyes that changed and show the part, intervals over people."""
    shares = region_shares(pixels, modulated, regions, image_ids=IDS, eps=EPS)
    eyes = pd.DataFrame({"image_id": IDS[::-1], "person_group": ["p3", "p2", "p1", "p1"]})
    pooled = enrichment_by_part(shares, eyes, resamples=200, seed=5)
    assert len(pooled) == 2 * len(PARTS)
    people = {"x/0": "p1", "x/1": "p1", "x/2": "p2", "x/3": "p3"}
    for row in pooled.itertuples():
        part = shares[(shares["eps"] == row.eps) & (shares["part"] == row.part)]
        part = part[part["energy_share"].notna() & (part["area_share"] > 0)]
        assert row.eyes == len(part) == (3 if row.eps == 0.5 else 4) - (row.part == "disc")
        assert row.enrichment == pytest.approx(
            part["energy_share"].sum() / part["area_share"].sum()
        )
        assert row.energy_share == pytest.approx(part["energy_share"].mean())
        assert row.area_share == pytest.approx(part["area_share"].mean())
        interval = clustered_ratio(
            part["energy_share"], part["area_share"], part["image_id"].map(people),
            resamples=200, seed=5,
        )  # fmt: skip
        assert (row.low, row.high) == (interval.low, interval.high)


def test_part_that_few_eyes_show_is_pooled_over_those(pixels, modulated, regions):
    """A disc in one eye of four has its enrichment, and no interval with nobody to resample."""
    regions[:3] &= ~np.uint8(REGION_FLAGS["disc"])
    regions[0, 0, :3] = REGION_FLAGS["retina"] | REGION_FLAGS["disc"]
    shares = region_shares(pixels, modulated, regions, image_ids=IDS, eps=EPS)
    eyes = pd.DataFrame({"image_id": IDS, "person_group": IDS})
    pooled = enrichment_by_part(shares, eyes, resamples=200, seed=0)
    disc = pooled[pooled["part"] == "disc"]
    wanted = shares[(shares["part"] == "disc") & (shares["image_id"] == "x/0")]
    assert disc["enrichment"].tolist() == pytest.approx(wanted["enrichment"].tolist())
    assert disc["eyes"].tolist() == [1, 1]
    assert disc[["low", "high"]].isna().all(axis=None)


def test_part_that_is_nowhere_is_left_out(pixels, modulated):
    """A dataset whose eyes show retina alone has one enrichment."""
    retina = np.full((4, 6, 7), REGION_FLAGS["retina"], np.uint8)
    shares = region_shares(pixels, modulated, retina, image_ids=IDS, eps=EPS)
    eyes = pd.DataFrame({"image_id": IDS, "person_group": IDS})
    pooled = enrichment_by_part(shares, eyes, resamples=20, seed=0)
    assert pooled["part"].tolist() == ["background", "background"]
    assert pooled["enrichment"].to_numpy() == pytest.approx(1.0)


def test_origins_stand_below_one_another_as_each_alone(pixels, modulated, regions):
    """Two conditions, each with the enrichments it has by itself."""
    eyes = pd.DataFrame({"image_id": IDS, "person_group": ["a", "b", "b", "c"]})
    how = {"resamples": 20, "seed": 3}
    pictures = {"one": modulated, "other": modulated[:, ::-1]}
    found = enrichment_by_condition(pixels, pictures, regions, eyes, eps=EPS, **how)
    for condition, made in pictures.items():
        shares = region_shares(pixels, made, regions, image_ids=IDS, eps=EPS)
        alone = enrichment_by_part(shares, eyes, **how)
        own = (
            found[found["condition"] == condition].drop(columns="condition").reset_index(drop=True)
        )
        pd.testing.assert_frame_equal(own, alone)
    assert list(found["condition"].unique()) == ["one", "other"]


def test_the_ring_around_the_disc_is_one_more_part_with_a_sham(discs):
    """Energy on the ring alone: it is found there, what the other parts get stays as it was."""
    regions, frame = discs
    ring = np.roll((regions & REGION_FLAGS["disc"]) > 0, -4, axis=2) & ((regions & 6) == 0)
    pixels = np.zeros((*regions.shape, 3), np.uint8)
    change = (10 + 50 * ring[..., None]).repeat(3, axis=3).astype(np.uint8)[None]
    plain, ringed = (
        region_shares(pixels, change, regions, image_ids=list(frame["image_id"]), eps=(1.0,), **how)
        for how in ({}, {"with_ring": True})
    )
    pd.testing.assert_frame_equal(
        ringed[ringed["part"] != RING].reset_index(drop=True), plain, check_like=True
    )
    found = ringed[ringed["part"] == RING]
    assert len(found) == len(frame)
    assert (found["enrichment"] > 2).all()
    assert (found["sham_energy_share"] / found["sham_area_share"] < 1).all()
