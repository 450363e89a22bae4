"""The ground: macular pigment in closed form, pigment and lens by age, the camera's light."""

import numpy as np
import pytest

from fundus_ml.synthesis.anatomy import DISC_DIAMETER
from fundus_ml.synthesis.cameras import CAMERAS
from fundus_ml.synthesis.ground import lens_of_age, paint_ground, paint_illumination


@pytest.mark.parametrize("darkness", [0.1, 0.34, 0.6])
@pytest.mark.parametrize("extent", [0.5, 0.9])
def test_the_fovea_loses_the_stated_share_of_green(make_eye, grid, darkness, extent):
    """At its centre exactly that share, less further out, none beyond its extent."""
    x, y = grid
    at = {"fovea_x": float(x[0, 60]), "fovea_y": float(y[90, 0])}
    without, pigmented = (
        paint_ground(make_eye(**at, sheen=0.0, macula_darkness=share, macula_extent=extent), x, y)
        for share in (0.0, darkness)
    )
    ratio = pigmented / without
    assert ratio[90, 60, 1] == pytest.approx(1 - darkness, rel=1e-5)
    assert ratio[90, 60, 0] > ratio[90, 60, 2] > ratio[90, 60, 1]
    radius = np.hypot(x - at["fovea_x"], y - at["fovea_y"]) / DISC_DIAMETER
    assert (ratio[radius >= extent] == 1).all()
    assert (ratio[radius < 0.98 * extent] < 1).all()
    rings = [ratio[(radius >= r) & (radius < r + 0.1)].mean() for r in np.arange(0, extent, 0.1)]
    assert (np.diff(rings) > 0).all()


def test_a_pigmented_fundus_is_darker_in_every_colour(make_eye, grid):
    """Melanin takes light everywhere, the more the more there is."""
    means = [
        paint_ground(make_eye(pigmentation=share), *grid).mean(axis=(0, 1)) for share in (0, 0.5, 1)
    ]
    assert (np.diff(means, axis=0) < 0).all()
    assert all(red > green > blue for red, green, blue in means)


def test_tessellation_is_contrast_away_from_the_macula(make_eye, grid):
    """Choroidal vessels add contrast to the periphery and hardly any to the fovea."""
    x, y = grid
    none, full = (paint_ground(make_eye(tessellation=share, sheen=0.0), x, y) for share in (0, 1))
    change = np.abs(np.log(full[..., 1] / none[..., 1]))
    radius = np.hypot(x + 0.30, y - 0.03)
    assert change[radius < 0.15].mean() < 0.5 * change[radius > 0.8].mean()
    assert change[radius > 0.8].mean() > 0.05


def test_sheen_lies_above_and_below_the_disc(make_eye, grid):
    """Nerve fibres shine where they are thick, hardly at the fovea and nasal edge."""
    x, y = grid
    dull, shining = (paint_ground(make_eye(sheen=share), x, y) for share in (0, 1))
    gain = (shining - dull)[..., 1]
    above = np.hypot(x - 0.40, y + 0.34) < 0.08
    below = np.hypot(x - 0.40, y - 0.26) < 0.08
    fovea = np.hypot(x + 0.30, y - 0.03) < 0.10
    assert min(gain[above].mean(), gain[below].mean()) > 10 * abs(gain[fovea].mean())


def test_the_lens_yellows_from_thirty():
    """Clear until thirty, then blue goes first and red last, further every year."""
    assert (lens_of_age(18) == 1).all()
    assert (lens_of_age(30) == 1).all()
    through = np.array([lens_of_age(age) for age in (30, 50, 70, 90)])
    assert (np.diff(through, axis=0) < 0).all()
    assert (np.diff(through[1:], axis=1) < 0).all()


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=lambda camera: camera.name)
def test_light_falls_off_towards_the_edge(make_eye, grid, camera):
    """On average over eyes the edge keeps less light, and the camera's glare veils it."""
    x, y = grid
    radius = np.hypot(x, y)
    middle, edge = radius < 0.3, (radius > 0.9) & (radius < 1)
    gains, veils = [], []
    for seed in range(6):
        gain, veil = paint_illumination(make_eye(paint_seed=seed, haze=0.0), camera, x, y)
        assert gain.shape == x.shape
        assert veil.shape == (*x.shape, 3)
        assert gain.min() > 0
        assert veil.min() >= 0
        gains.append(gain[edge].mean() / gain[middle].mean())
        veils.append(veil[edge].mean())
    assert np.mean(gains) == pytest.approx(1 - camera.vignette, abs=0.12)
    assert min(veils) >= 0.2 * camera.glare


def test_haze_veils_the_whole_field(make_eye, grid):
    """The veil rises with haze everywhere, most in the middle."""
    camera = CAMERAS["Osprey NM"]
    clear, hazy = (paint_illumination(make_eye(haze=haze), camera, *grid)[1] for haze in (0.0, 0.5))
    rise = (hazy - clear)[..., 1]
    assert rise.min() > 0
    assert rise[101, 102] == pytest.approx(rise.max(), rel=0.01)
