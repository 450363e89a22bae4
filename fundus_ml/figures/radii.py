"""What training for a larger radius costs and buys: scores, and the looks of the modulation."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.figures.changes import (
    SIGNED_LABEL,
    change_bar,
    change_limit,
    show_signed,
    signed_change,
)
from fundus_ml.figures.inputs import check_columns, check_pictures
from fundus_ml.figures.style import (
    BODY_SIZE,
    FAINT,
    INK,
    legend,
    make_figure,
    series_styles,
    tidy,
)

KINDS = {"clean": "clean eyes", "robust": "under attack at its own radius"}
"""What is scored, in the words of the legend."""
COLUMNS = (
    "contrast",
    "grey_levels",
    *(kind + end for kind in KINDS for end in ("", "_low", "_high")),
)
CELL = 1.25
"""Side of one picture, in inches."""


def radii_figure(frame: pd.DataFrame) -> Figure:
    """AUROC by the radius trained for, clean and under attack, a panel for each contrast.

    Args:
        frame: One row per contrast and network: ``contrast grey_levels baseline passed``, and
            ``clean`` and ``robust`` with their ``_low`` and ``_high``. ``grey_levels`` is the
            radius as per-value RMS, 0 for the network before robust training; ``robust`` is NaN
            there.

    Raises:
        InputError: A column is missing, or there is no row.
    """
    check_columns(frame, [*COLUMNS, "baseline", "passed"])
    contrasts = list(dict.fromkeys(frame["contrast"]))
    if not contrasts:
        raise InputError("frame: holds no network")
    figure = make_figure(2.9 * len(contrasts) + 0.6, 3.2)
    panels = figure.subplots(1, len(contrasts), sharey=True, squeeze=False)[0]
    for axes, contrast in zip(panels, contrasts, strict=True):
        _panel(axes, frame[frame["contrast"] == contrast].sort_values("grey_levels"))
        ylabel = "AUROC on test eyes" if axes is panels[0] else ""
        tidy(axes, xlabel="radius trained for, grey levels (RMS)", ylabel=ylabel, title=contrast)
        axes.set_ylim(-0.02, 1.02)
    legend(panels[-1], loc="lower right")
    return figure


def looks_figure(
    original: NDArray[np.uint8], modulated: NDArray[np.uint8], names: Sequence[str]
) -> Figure:
    """The same eyes as each network modulates them, and what each changed.

    Args:
        original: ``(n, H, W, 3)`` uint8 RGB.
        modulated: ``(k, n, H, W, 3)`` uint8 RGB, by network.
        names: ``k`` names of networks.

    Returns:
        Two rows per eye, pictures above signed changes, on one scale.

    Raises:
        InputError: Wrong shapes, or another number of names.
    """
    check_pictures("original", original)
    if modulated.shape[1:] != original.shape or len(names) != len(modulated):
        raise InputError(
            f"modulated: shape {modulated.shape} does not fit {len(names)} networks and original's "
            f"{original.shape}"
        )
    count = len(original)
    figure = make_figure(CELL * (len(names) + 1) + 0.9, 2 * CELL * count + 0.3)
    cells = figure.subplots(2 * count, len(names) + 1, squeeze=False)
    changes = signed_change(original, modulated)
    limit = change_limit(changes.reshape(-1, *changes.shape[2:]))
    for axes in cells.flat:
        axes.set_axis_off()
    for place, name in enumerate(["unchanged", *names]):
        cells[0, place].set_title(name, fontsize=BODY_SIZE - 1, color=INK)
    for eye in range(count):
        cells[2 * eye, 0].imshow(original[eye])
        for network in range(len(names)):
            cells[2 * eye, network + 1].imshow(modulated[network, eye])
            shown = show_signed(cells[2 * eye + 1, network + 1], changes[network, eye], limit=limit)
    bar = figure.colorbar(shown, ax=list(cells[:, -1]), fraction=0.09, pad=0.04).ax
    bar.clear()
    change_bar(figure, shown, bar, label=SIGNED_LABEL, extend="both")
    return figure


def _panel(axes: Axes, rows: pd.DataFrame) -> None:
    for (kind, label), (colour, marker) in zip(
        KINDS.items(), series_styles(len(KINDS)), strict=True
    ):
        known = rows[rows[kind].notna()]
        axes.plot(
            known["grey_levels"],
            known[kind],
            color=colour,
            marker=marker,
            markersize=5,
            label=label,
        )
        axes.vlines(known["grey_levels"], known[f"{kind}_low"], known[f"{kind}_high"], color=colour)
    refused = rows[rows["robust"].notna() & ~rows["passed"].astype(bool)]
    axes.plot(
        refused["grey_levels"], refused["robust"], linestyle="none", marker="x", color=INK,
        markersize=9, label="not given the alias robust",
    )  # fmt: skip
    axes.axhline(
        rows["baseline"].iloc[0], color=FAINT, linewidth=1, linestyle="dashed",
        label="shortcut baseline",
    )  # fmt: skip
    axes.set_xticks(rows["grey_levels"].tolist(), [f"{level:.2g}" for level in rows["grey_levels"]])
