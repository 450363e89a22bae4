import numpy as np
import pytest

from fundus_ml.imaging.field_of_view import crop_to_field_of_view, rectangle_around
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.arteries import _two_groups, tell_arteries
from fundus_ml.imaging.regions.vessel_segments import cut_segments
from fundus_ml.synthesis.options import Population
from fundus_ml.synthesis.painting import paint_photograph
from fundus_ml.synthesis.population import draw_population
from fundus_ml.synthesis.truth import true_regions

SIDE = 640


@pytest.fixture(scope="module")
def eyes():
    """Square, masks of vessels, arteries and veins, and disc of some painted eyes."""
    painted = []
    for row in draw_population(Population(patients=4, seed=3)).to_dict("records"):
        truth = true_regions(row)
        masks = [truth.vessels.mask, truth.vessels.arteries, truth.vessels.veins]
        square, *masks = (
            crop_to_field_of_view(plane, truth.field, size=SIDE)
            for plane in (paint_photograph(row).image, *(m.astype(np.uint8) * 255 for m in masks))
        )
        left, top, _, high = rectangle_around(truth.field)
        disc = truth.disc.scaled(SIDE / high, left=left, top=top)
        painted.append((square, *(mask > 127 for mask in masks), disc))
    return painted


def test_most_of_what_is_told_is_right(eyes):
    right = wrong = there = 0
    for square, mask, arteries, veins, disc in eyes:
        told = tell_arteries(square, mask, disc=disc)
        away = disc.distance(mask.shape) / 2
        ring = (away > 0.5) & (away < 2)
        artery, vein = ring & arteries & ~veins, ring & veins & ~arteries
        right += (told.arteries & artery).sum() + (told.veins & vein).sum()
        wrong += (told.arteries & vein).sum() + (told.veins & artery).sum()
        there += artery.sum() + vein.sum()
    assert right / (right + wrong) > 0.85
    assert (right + wrong) / there > 0.3


def test_only_vessels_are_told_and_none_on_the_disc(eyes):
    square, mask, _, _, disc = eyes[0]
    told = tell_arteries(square, mask, disc=disc)
    assert not ((told.arteries | told.veins) & ~mask).any()
    assert not (told.arteries & told.veins).any()
    inner = disc.distance(mask.shape) < 0.5
    assert (told.arteries | told.veins)[inner].sum() < 0.2 * mask[inner].sum()


def test_vessels_of_one_colour_are_not_told_apart(eyes):
    square, mask, *_, disc = eyes[0]
    plain = np.full_like(square, 120)
    noise = np.random.default_rng(0).normal(0, 1, square.shape)
    plain = (plain - 40 * mask[..., None] + noise).round().astype(np.uint8)
    told = tell_arteries(plain, mask, disc=disc)
    assert (told.arteries | told.veins).sum() < 0.25 * mask.sum()


def test_darker_vessels_are_the_veins():
    square = np.full((SIDE, SIDE, 3), 150, np.uint8)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    level = {}
    for number in range(8):
        ends = (60 + 50 * number, 60), (60 + 50 * number, 450)
        level[number] = 110 if number % 2 else 80
        cv2.line(mask, *ends, 1, 6)
        cv2.line(square, *ends, (level[number],) * 3, 6)
    told = tell_arteries(square, mask > 0)
    for number in range(8):
        column = 60 + 50 * number
        assert (told.arteries if number % 2 else told.veins)[260, column]
    assert tell_arteries(square, np.zeros_like(mask, bool)).arteries.sum() == 0


def test_two_groups_are_those_of_least_variance():
    generator = np.random.default_rng(0)
    values, weights = generator.normal(size=12), generator.uniform(1, 5, 12)
    order = np.argsort(values)

    def within(cut):
        parts = order[:cut], order[cut:]
        means = [np.average(values[part], weights=weights[part]) for part in parts]
        return sum(
            (weights[p] * (values[p] - m) ** 2).sum() for p, m in zip(parts, means, strict=True)
        ), means

    (least, means) = min((within(cut) for cut in range(1, 12)), key=lambda pair: pair[0])
    low, high, apart = _two_groups(values, weights)
    np.testing.assert_allclose([low, high], means)
    assert apart == pytest.approx((high - low) / np.sqrt(least / weights.sum()))


def test_no_cut_leaves_two_groups_where_one_piece_is_nearly_all():
    """Two short pieces on either side of a long one, each too little for a group."""
    low, high, apart = _two_groups(np.array([-3.0, 0.0, 3.0]), np.array([1.0, 98.0, 1.0]))
    assert low == high
    assert apart == 0


def test_a_cross_is_four_pieces_of_which_two_pairs_go_on():
    mask = np.zeros((80, 90), np.uint8)
    mask[39:42, 10:80] = 1
    mask[5:75, 43:48] = 1
    pieces = cut_segments(mask > 0)
    assert len(pieces.lengths) == 4
    assert sorted(pieces.widths.round()) == [3, 3, 5, 5]
    straight = {tuple(sorted(pair)) for pair in pieces.links[pieces.straight > 0.9]}
    across = {tuple(sorted(map(int, np.flatnonzero(pieces.widths.round() == w)))) for w in (3, 5)}
    assert straight == across
    assert (pieces.owner >= 0).sum() == mask.sum()
    assert (pieces.degrees == 4).all()
