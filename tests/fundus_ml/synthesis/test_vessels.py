"""Vessel trees: rooted in the disc, tapering by Murray's law, mirrored, nested by density."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fundus_ml.synthesis import vessels as module
from fundus_ml.synthesis.anatomy import DISC_DIAMETER
from fundus_ml.synthesis.vessels import grow_vessels

SEEDS = (1, 2, 3)


def as_widths(tree):
    """Width of every piece by its ends, for looking pieces up in another tree."""
    keys = map(bytes, np.ascontiguousarray(tree.ends).reshape(len(tree.ends), -1))
    return dict(zip(keys, tree.widths, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_every_piece_hangs_on_the_disc_or_reaches_the_edge(make_eye, seed):
    """No twig floats: pieces that share ends form components, each rooted where vessels enter."""
    eye = make_eye(paint_seed=seed, vessel_density=0.9)
    ends = grow_vessels(eye).ends
    points, number = np.unique(ends.reshape(-1, 2).round(9), axis=0, return_inverse=True)
    first, second = number.reshape(-1, 2).T
    links = coo_array((np.ones(len(first)), (first, second)), shape=(len(points),) * 2)
    count, component = connected_components(links, directed=False)
    from_disc = np.hypot(*(points - [eye.disc_x, eye.disc_y]).T)
    rooted = (from_disc < eye.disc_radius) | (np.hypot(*points.T) > 0.95)
    assert set(component[rooted]) == set(range(count))


@pytest.mark.parametrize("seed", SEEDS)
def test_vessels_narrow_on_their_way(make_eye, seed):
    """Between consecutive pieces of one path the width never grows."""
    tree = grow_vessels(make_eye(paint_seed=seed))
    follows = (tree.ends[1:, 0] == tree.ends[:-1, 1]).all(axis=1)
    assert follows.sum() > 300
    assert (np.diff(tree.widths)[follows] <= 1e-12).all()


def test_widths_at_a_branch_obey_murray(make_eye):
    """The cubes of what goes on and of what leaves add up to the cube of what came."""
    rng = np.random.default_rng(0)
    parents = module._grow_trunks(make_eye(), rng)
    branching = module._GENERATIONS[0]
    places, share, left = module._place_branches(parents, branching, rng)
    for vessel in range(len(places)):
        for place, part in zip(places[vessel], share[vessel], strict=True):
            came, went = left[vessel, place], left[vessel, place + 1]
            together = np.sum(places[vessel] == place)
            if together == 1:
                assert went**3 + (came * part) ** 3 == pytest.approx(came**3)


def test_veins_are_wider_than_their_arteries(make_eye):
    """At the disc an artery has about three quarters of its vein's width."""
    ratios = []
    for seed in range(12):
        tree = grow_vessels(make_eye(paint_seed=seed))
        ratios.append(tree.widths[tree.artery].max() / tree.widths[~tree.artery].max())
    assert np.mean(ratios) == pytest.approx(0.74, abs=0.03)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_denser_tree_contains_the_sparser(make_eye, seed):
    """More density adds pieces and moves none."""
    trees = [
        as_widths(grow_vessels(make_eye(paint_seed=seed, vessel_density=density)))
        for density in (0.3, 0.6, 0.9)
    ]
    assert len(trees[0]) < len(trees[1]) < len(trees[2])
    assert trees[0].items() <= trees[1].items() <= trees[2].items()


@pytest.mark.parametrize("seed", SEEDS)
def test_calibre_is_a_factor_on_every_width(make_eye, seed):
    """Wider vessels run the same paths; some that were too fine to paint join."""
    narrow, wide = (
        as_widths(grow_vessels(make_eye(paint_seed=seed, vessel_calibre=calibre)))
        for calibre in (0.8, 1.2)
    )
    assert narrow.keys() < wide.keys()
    ratios = [wide[key] / width for key, width in narrow.items()]
    np.testing.assert_allclose(ratios, 1.5)
    assert min(narrow.values()) > module._FINEST


@pytest.mark.parametrize("seed", SEEDS)
def test_a_left_eye_is_a_mirrored_right_eye(make_eye, seed):
    """With landmarks mirrored, every piece is mirrored."""
    right = make_eye(paint_seed=seed)
    left = replace(right, eye="left", disc_x=-right.disc_x, fovea_x=-right.fovea_x)
    ours, theirs = grow_vessels(right), grow_vessels(left)
    np.testing.assert_allclose(theirs.ends, ours.ends * [-1, 1], atol=1e-12)
    np.testing.assert_array_equal(theirs.widths, ours.widths)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_fovea_is_free_of_vessels(make_eye, seed):
    """No piece comes nearer than the avascular zone, whatever its calibre and density."""
    eye = make_eye(paint_seed=seed, vessel_density=0.98, vessel_calibre=1.5)
    nearest = np.hypot(*(grow_vessels(eye).ends.mean(axis=1) - [eye.fovea_x, eye.fovea_y]).T)
    assert nearest.min() > 0.25 * DISC_DIAMETER


def test_four_arcades_leave_the_disc(make_eye):
    """Wide vessels run through all four quadrants around the disc."""
    eye = make_eye()
    tree = grow_vessels(eye)
    away = tree.ends[tree.widths > 0.5 * tree.widths.max()].mean(axis=1)
    temporal = (away[:, 0] - eye.disc_x) * eye.temporal > 0
    upper = away[:, 1] < eye.disc_y
    assert {*zip(temporal, upper, strict=True)} == {(a, b) for a in (0, 1) for b in (0, 1)}


def test_tortuosity_bends_paths(make_eye):
    """Straight vessels turn less in all from piece to piece than tortuous ones."""

    def turning(tortuosity):
        ends = grow_vessels(make_eye(vessel_tortuosity=tortuosity)).ends
        steps = np.diff(ends, axis=1)[:, 0]
        angle = np.arctan2(steps[:, 1], steps[:, 0])
        follows = (ends[1:, 0] == ends[:-1, 1]).all(axis=1)
        change = (np.diff(angle) + np.pi) % (2 * np.pi) - np.pi
        return np.abs(change[follows]).mean()

    assert turning(0.0) < turning(0.16) < turning(0.35)
