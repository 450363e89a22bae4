"""The optic disc: rim, cup and border; everything its trait changes stays within its region."""

import numpy as np

from fundus_ml.synthesis.anatomy import Eye, Plane, distance

DISC_BORDER = 0.98
"""Where the soft border of the disc is half crossed, in its radius."""

CUP_BORDER = 0.92
"""Where the soft border of the cup is half crossed, in its nominal radius."""

CUP_SHIFT = 0.08
"""How far the cup's centre lies towards the fovea, in the disc's radius."""


def disc_distance(eye: Eye, x: Plane, y: Plane) -> Plane:
    """Distance from the disc's centre, 1 on its border.

    Args:
        eye: Gives the disc's centre, radius and aspect.
        x: ``(h, w)`` retina units, to the right.
        y: ``(h, w)`` retina units, down.
    """
    return distance(
        (x - np.float32(eye.disc_x)) / np.float32(eye.disc_radius),
        (y - np.float32(eye.disc_y)) / np.float32(eye.disc_radius * eye.disc_aspect),
    )


def paint_disc(ground: Plane, eye: Eye, x: Plane, y: Plane) -> Plane:
    """Paint the disc over the ground around it.

    Args:
        ground: ``(h, w, 3)`` float32 RGB reflectance.
        eye: Gives disc, cup and rim.
        x: ``(h, w)`` retina units, to the right.
        y: ``(h, w)`` retina units, down.

    Returns:
        ``(h, w, 3)`` float32 RGB reflectance, changed within the disc's region alone.
    """
    generator = eye.generator(4)
    away = (x - np.float32(eye.disc_x)) * np.float32(eye.temporal) / np.float32(eye.disc_radius)
    down = (y - np.float32(eye.disc_y)) / np.float32(eye.disc_radius * eye.disc_aspect)
    angle = np.arctan2(down, away)
    phases = generator.uniform(0, 2 * np.pi, 4)
    outline = 1 + 0.018 * np.cos(2 * angle + phases[0]) + 0.014 * np.cos(3 * angle + phases[1])
    from_centre = distance(away, down) / outline
    cup_away = away - np.float32(CUP_SHIFT)
    cup_outline = 1 + 0.05 * np.cos(2 * angle + phases[2]) + 0.04 * np.cos(3 * angle + phases[3])
    cup_distance = distance(cup_away, down) / (cup_outline * eye.cup_disc_ratio)

    deep = np.array([0.98, 0.37, 0.170], np.float32)
    pale = np.array([1.45, 0.80, 0.48], np.float32)
    rim = deep + (pale - deep) * np.float32(eye.rim_pallor)
    # The temporal rim is thinner and paler, the nasal one thicker and pinker.
    side = 1 + 0.09 * away.clip(-1, 1) + 0.03 * np.cos(5 * angle + phases[1])
    rim_light = side[..., None] * rim
    cup_share = _step(cup_distance, CUP_BORDER + 0.30, CUP_BORDER - 0.30)[..., None]
    pores = 1 - 0.05 * (0.5 + 0.5 * np.sin(38 * away + phases[2]) * np.sin(41 * down + phases[3]))
    inside = rim_light + (pores[..., None] * pale - rim_light) * cup_share

    scleral = generator.uniform(0, 0.30) * _step(np.abs(from_centre - 1.03), 0.06, 0.01)
    crescent = generator.uniform(0, 0.30) * _step(np.abs(from_centre - 1.06), 0.05, 0.01)
    border = 1 + scleral - crescent * (0.5 + 0.5 * np.cos(angle + phases[0] / 4))
    share = _step(from_centre, DISC_BORDER + 0.08, DISC_BORDER - 0.08)[..., None]
    painted = ground * border[..., None] * (1 - share) + inside * share
    return np.asarray(painted, np.float32)


def _step(values: Plane, outside: float, inside: float) -> Plane:
    """Go smoothly from 0 at ``outside`` to 1 at ``inside``."""
    share = ((values - np.float32(outside)) / np.float32(inside - outside)).clip(0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
