"""Panels written by processes of their own, which start with no more than drawing needs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fundus_ml.figures.panels import modulation_panel
from fundus_ml.figures.style import figure_png

THUMBNAIL_WIDTH = 720
"""Pixels; what the version's page has room for."""


@dataclass(frozen=True, kw_only=True)
class PanelFile:
    """What one panel shows, and where it goes.

    Attributes:
        pixels: ``(H, W, 3)`` uint8 RGB, the eye itself.
        modulated: ``(E, H, W, 3)`` uint8 RGB, one picture per budget.
        given: What else :func:`~fundus_ml.figures.panels.modulation_panel` takes.
        path: PNG to write.
        thumbnail: Smaller PNG to write beside it; None writes none.
    """

    pixels: NDArray[np.uint8]
    modulated: NDArray[np.uint8]
    given: Mapping[str, Any]
    path: Path
    thumbnail: Path | None


def draw_panel_file(panel: PanelFile) -> None:
    """Draw a panel and write it."""
    figure = modulation_panel(panel.pixels, list(panel.modulated), **panel.given)
    panel.path.write_bytes(figure_png(figure))
    if panel.thumbnail is not None:
        dpi = round(THUMBNAIL_WIDTH / figure.get_figwidth())
        panel.thumbnail.write_bytes(figure_png(figure, dpi=dpi))
