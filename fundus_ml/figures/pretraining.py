"""How a pretraining went: its loss, what the loss is made of, whether the eyes stay apart."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fundus_ml.errors import InputError
from fundus_ml.figures.inputs import check_columns
from fundus_ml.figures.style import FAINT, legend, make_figure, series_styles, tidy

LOSSES = {"train_loss": "train", "val_loss": "validation"}
TERMS = {
    "val_invariance": "invariance",
    "val_variance": "variance",
    "val_covariance": "covariance",
}


def pretraining_curves(
    history: pd.DataFrame, *, coefficients: Mapping[str, float], width: int
) -> Figure:
    """Loss, weighed terms and signs of collapse by epoch, the best epoch marked.

    Args:
        history: One row per epoch: ``epoch train_loss val_loss``, the terms ``val_invariance
            val_variance val_covariance``, ``val_embedding_std`` and ``val_feature_rank``.
        coefficients: What each term counts: ``invariance``, ``variance``, ``covariance``.
        width: Number of features, the highest rank they can have.

    Returns:
        Three panels: losses; terms; spread of the embeddings and rank of the features.

    Raises:
        InputError: A column or a coefficient is missing, or ``history`` is empty.
    """
    check_columns(history, ("epoch", *LOSSES, *TERMS, "val_embedding_std", "val_feature_rank"))
    missing = [name for name in TERMS.values() if name not in coefficients]
    if missing:
        raise InputError(f"coefficients: missing for {', '.join(missing)}")
    figure = make_figure(11, 3.2)
    losses, terms, apart = figure.subplots(1, 3)
    _draw(losses, history, {label: history[name] for name, label in LOSSES.items()})
    _draw(
        terms,
        history,
        {
            f"{coefficients[label]:g} {label}": coefficients[label] * history[name]
            for name, label in TERMS.items()
        },
    )
    spread = "spread of the embeddings (wanted: 1)"
    rank = f"rank of the features, share of {width}"
    columns = {spread: history["val_embedding_std"], rank: history["val_feature_rank"] / width}
    _draw(apart, history, columns)
    apart.axhline(0, color=FAINT, linewidth=1, linestyle="dotted", label="collapsed")
    best = int(history["epoch"].to_numpy()[history["val_loss"].argmin()])
    tidy(losses, xlabel="epoch", ylabel="loss (VICReg)", title=f"Loss; lowest in epoch {best}")
    tidy(terms, xlabel="epoch", ylabel="share of the loss", title="Terms of the validation loss")
    tidy(apart, xlabel="epoch", ylabel="0 is collapse", title="Are eyes still told apart?")
    for panel in (losses, terms, apart):
        panel.axvline(best, color=FAINT, linewidth=1, linestyle="dashed")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_ylim(bottom=min(0, panel.get_ylim()[0]))
        legend(panel)
    return figure


def _draw(panel: Axes, history: pd.DataFrame, columns: Mapping[str, pd.Series]) -> None:
    for (label, values), (colour, marker) in zip(
        columns.items(), series_styles(len(columns)), strict=True
    ):
        panel.plot(history["epoch"], values, color=colour, marker=marker, markersize=3, label=label)
