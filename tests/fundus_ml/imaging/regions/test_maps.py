"""Parts of the eye cover the square once, whatever structures overlap."""

import numpy as np

from fundus_ml.imaging.regions.maps import PARTS, REGION_FLAGS, part_masks


def slow_part(flags):
    """The part of one pixel, by the order of the docstring."""
    if not flags & REGION_FLAGS["retina"]:
        return "outside"
    for name in ("disc", "vessels", "macula", "periphery"):
        if flags & REGION_FLAGS[name]:
            return name
    return "background"


def test_flags_are_bits_of_their_own():
    """So that structures can overlap in one byte."""
    assert sorted(REGION_FLAGS.values()) == [1 << bit for bit in range(8)]


def test_every_combination_of_flags_is_in_exactly_the_part_it_should_be():
    """All 256 combinations against a slow rewrite, as a ``(4, 8, 8)`` batch."""
    regions = np.arange(256).astype(np.uint8).reshape(4, 8, 8)
    masks = part_masks(regions)
    assert tuple(masks) == PARTS
    assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()
    for place in np.ndindex(regions.shape):
        assert masks[slow_part(regions[place])][place]


def test_a_single_map_gives_what_it_gives_in_a_batch():
    """Batch equals singles."""
    regions = np.random.default_rng(0).integers(32, size=(3, 5, 7), dtype=np.uint8)
    together = part_masks(regions)
    for index, single in enumerate(regions):
        for name, mask in part_masks(single).items():
            np.testing.assert_array_equal(mask, together[name][index])
