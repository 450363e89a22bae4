"""The exact regions of a painted eye, for those who look for regions or measure them."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fundus_ml.imaging.field import FieldOfView
from fundus_ml.imaging.opencv import cv2
from fundus_ml.imaging.regions.structures import Ellipse, Landmark, Laterality, Regions, Vessels
from fundus_ml.synthesis.anatomy import Eye
from fundus_ml.synthesis.cameras import CAMERAS, aperture
from fundus_ml.synthesis.optic_disc import CUP_BORDER, CUP_SHIFT, DISC_BORDER
from fundus_ml.synthesis.painting import Frame
from fundus_ml.synthesis.vessels import Segments, grow_vessels

_FINE = 4
"""Canvas pixels per frame pixel on which vessels are drawn."""

_SHIFT = 4
"""Fractional bits of a coordinate handed to OpenCV."""


def true_regions(row: Mapping[str, object]) -> Regions:
    """Say where the parts of a painted eye lie, vessels too.

    A vessel covers a pixel where it covers at least half of it. Arguments, result and errors are
    those of :func:`true_landmarks`.
    """
    found = true_landmarks(row)
    eye = Eye.from_row(row)
    return replace(
        found, vessels=_vessels(grow_vessels(eye), Frame(CAMERAS[eye.camera]), found.retina)
    )


def true_landmarks(row: Mapping[str, object]) -> Regions:
    """Say where disc, cup and fovea of a painted eye lie, and which eye it is.

    Disc and cup are the ellipses at which their soft borders are half crossed, without the small
    waves of their outlines.

    Args:
        row: A row of :func:`~fundus_ml.synthesis.population.draw_population`.

    Returns:
        In pixels of the frame that :func:`~fundus_ml.synthesis.painting.paint_photograph` paints.
        Disc and fovea may lie outside the field of view.

    Raises:
        InputError: A column is missing from the row.
    """
    eye = Eye.from_row(row)
    camera = CAMERAS[eye.camera]
    frame = Frame(camera)
    (disc_x, disc_y), (cup_x, cup_y), (fovea_x, fovea_y), field = (
        frame.place(x, y)
        for x, y in (
            (eye.disc_x, eye.disc_y),
            (eye.disc_x + CUP_SHIFT * eye.temporal * eye.disc_radius, eye.disc_y),
            (eye.fovea_x, eye.fovea_y),
            (0.0, 0.0),
        )
    )
    retina = aperture(camera) > 127  # noqa: PLR2004 (half open)
    wide = 2 * DISC_BORDER * eye.disc_radius * camera.field_radius
    cup = 2 * CUP_BORDER * eye.cup_disc_ratio * eye.disc_radius * camera.field_radius
    return Regions(
        shape=(camera.height, camera.width),
        field=FieldOfView(*field, camera.field_radius),
        retina=retina,
        disc=Ellipse(x=disc_x, y=disc_y, width=wide, height=wide * eye.disc_aspect),
        cup=Ellipse(x=cup_x, y=cup_y, width=cup, height=cup * eye.disc_aspect),
        fovea=Landmark(x=fovea_x, y=fovea_y),
        eye=Laterality(eye=eye.eye),
    )


def _vessels(grown: Segments, frame: Frame, retina: NDArray[np.bool_]) -> Vessels:
    arteries = _covered(grown, grown.artery, frame) & retina
    veins = _covered(grown, ~grown.artery, frame) & retina
    return Vessels(mask=arteries | veins, arteries=arteries, veins=veins)


def _covered(grown: Segments, chosen: NDArray[np.bool_], frame: Frame) -> NDArray[np.bool_]:
    camera = frame.camera
    canvas = np.zeros((camera.height * _FINE, camera.width * _FINE), np.uint8)
    points = frame.pixels(grown.ends[chosen], _FINE)
    widths = np.rint(grown.widths[chosen] * camera.field_radius * _FINE).astype(np.int64)
    for width in np.unique(widths.clip(1)):
        drawn = list(points[widths.clip(1) == width])
        cv2.polylines(canvas, drawn, isClosed=False, color=255, thickness=int(width), shift=_SHIFT)
    size = (camera.width, camera.height)
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA) > 127)  # noqa: PLR2004
