"""Whether P(male) means what it says: the share of men at each P(male), and how many eyes it is."""

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from fundus_ml.calibration import BINS, ece, reliability
from fundus_ml.errors import InputError
from fundus_ml.figures.style import FAINT, legend, make_figure, series_styles, tidy

FEW = 10
"""Bins of fewer eyes are drawn hollow: their share of men is mostly chance."""


def reliability_figure(curves: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> Figure:
    """Reliability diagram of several readings of the same eyes, with the eyes in each bin.

    Args:
        curves: Per name, labels ``(n,)`` of 0 and 1 and P(male) ``(n,)`` in [0, 1].

    Returns:
        Above, the share of men against P(male) by bin, the diagonal where the two agree, and the
        expected calibration error in the legend; bins of fewer than :data:`FEW` eyes hollow.
        Below, how many eyes each bin holds.

    Raises:
        InputError: ``curves`` is empty, or a P(male) lies outside [0, 1].
    """
    if not curves:
        raise InputError("curves: empty, at least one is needed")
    figure = make_figure(5.2, 6.2)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    width = 1 / BINS / len(curves)
    for place, ((name, (labels, prob)), (colour, marker)) in enumerate(
        zip(curves.items(), series_styles(len(curves)), strict=True)
    ):
        table = reliability(labels, prob)
        label = f"{name}: ECE {ece(labels, prob):.3f}"
        above.plot(table["prob"], table["male"], color=colour, linewidth=1.4, label=label)
        for few, face in ((False, colour), (True, "white")):
            bins = table[(table["eyes"] < FEW) == few]
            above.plot(
                bins["prob"],
                bins["male"],
                linestyle="none",
                marker=marker,
                markersize=5.5,
                color=colour,
                markerfacecolor=face,
            )
        left = table["low"].to_numpy() + (place + 0.5) * width
        below.bar(left, table["eyes"], width=0.9 * width, color=colour, linewidth=0)
    above.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="dotted", label="perfect")
    above.set(xlim=(-0.01, 1.01), ylim=(-0.02, 1.02))
    tidy(above, xlabel="", ylabel="share of eyes that are male")
    tidy(below, xlabel="P(male)", ylabel="eyes")
    below.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    legend(above, title=f"{BINS} bins; hollow: fewer than {FEW} eyes")
    return figure
