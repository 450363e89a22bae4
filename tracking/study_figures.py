"""What a study looks like: pictures of what its trials show, stored on a run."""

import io
import math
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import matplotlib.pyplot as plt
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as drawing

from tracking.runs import Run
from tracking.studies import Study
from tracking.trial_tables import trials_table

SLICES_PER_ROW = 4
INCHES = (9.5, 4.6)
INCHES_PER_AXIS = 1.3
DOTS_PER_INCH = 110

Draw = Callable[[optuna.Study, str], Figure]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of a study.

    Attributes:
        content: Bytes of a PNG file.
        caption: What it shows, for a reader who has not seen one before.
    """

    content: bytes
    caption: str


def draw_study(study: Study, *, metric: str) -> dict[str, Picture]:
    """Draw what the complete trials show; all but the history needs two that differ.

    Args:
        study: To draw.
        metric: What its values are, as the axes say it.

    Returns:
        Pictures by name: ``history``, ``importance``, ``parallel_coordinates``, ``slice``.
    """
    complete = _complete(study.optuna)
    if not complete:
        return {}
    differ = len({row.value for row in complete}) > 1 and _varied(study.optuna)
    wanted = _DRAWINGS if differ else {"history": _DRAWINGS["history"]}
    return {
        name: Picture(content=_drawn(study, draw, metric), caption=caption)
        for name, (draw, caption) in wanted.items()
    }


def log_study(study: Study, run: Run, *, metric: str) -> dict[str, Picture]:
    """Store the study on ``run``, under ``study/``: its trials and its pictures, handed back."""
    run.log_text(trials_table(study.rows(), study.space).to_csv(index=False), "study/trials.csv")
    pictures = draw_study(study, metric=metric)
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in pictures.items():
            (Path(folder) / f"{name}.png").write_bytes(picture.content)
        run.log_artifacts(Path(folder), "study")
    return pictures


def _drawn(study: Study, draw: Draw, metric: str) -> bytes:
    target = io.BytesIO()
    # Optuna's drawings change the style for good and call themselves experimental.
    with plt.rc_context({"figure.figsize": INCHES}), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        figure = draw(study.optuna, metric)
        figure.savefig(target, format="png", dpi=DOTS_PER_INCH, bbox_inches="tight", pad_inches=0.2)
        plt.close(figure)
    return target.getvalue()


def _history(study: optuna.Study, metric: str) -> Figure:
    axes: Axes = drawing.plot_optimization_history(study, target_name=metric)
    axes.set_title("")
    dots, line = axes.get_legend_handles_labels()[0]
    axes.legend([dots, line], ["complete trial", "best so far"], loc="lower right")
    return _figure(axes)


def _importance(study: optuna.Study, metric: str) -> Figure:
    axes: Axes = drawing.plot_param_importances(study, target_name=metric)
    axes.set_title("", loc="left")
    axes.set(xlabel=f"share of the spread of {metric}", ylabel="")
    if (legend := axes.get_legend()) is not None:
        legend.remove()
    return _figure(axes)


def _parallel_coordinates(study: optuna.Study, metric: str) -> Figure:
    axes: Axes = drawing.plot_parallel_coordinate(study, _varied(study), target_name=metric)
    axes.set_title("")
    figure = _figure(axes)
    figure.set_size_inches(max(INCHES[0], INCHES_PER_AXIS * len(figure.axes)), INCHES[1])
    (lines,) = axes.collections
    # Optuna's palest lines cannot be seen on white.
    lines.set_cmap("viridis" if study.direction is StudyDirection.MINIMIZE else "viridis_r")
    return figure


def _slice(study: optuna.Study, metric: str) -> Figure:
    """One row of all parameters is too wide to read: they are set in rows of a few."""
    drawn = drawing.plot_slice(study, _varied(study), target_name=metric)
    every: list[Axes] = [drawn] if isinstance(drawn, Axes) else list(drawn)
    figure = _figure(every[0])
    figure.suptitle("")
    categorical = {
        name
        for name, distribution in _complete(study)[0].distributions.items()
        if isinstance(distribution, CategoricalDistribution)
    }
    rows = math.ceil(len(every) / SLICES_PER_ROW)
    figure.set_size_inches(INCHES[0], 2.8 * rows)
    (bar,) = set(figure.axes) - set(every)
    grid = figure.add_gridspec(rows, SLICES_PER_ROW, right=0.9, hspace=0.45, wspace=0.15)
    for place, axes in enumerate(every):
        axes.set_subplotspec(grid[place])
        axes.set_title("")
        if axes.get_xlabel() in categorical:
            names = [label.get_text().strip("'") for label in axes.get_xticklabels()]
            axes.set_xticks(axes.get_xticks(), names)
            axes.set_xlim(-0.5, len(names) - 0.5)
        axes.tick_params(labelleft=place % SLICES_PER_ROW == 0)
        axes.set_ylabel(metric if place % SLICES_PER_ROW == 0 else "")
    bar.set_position((0.92, 0.15, 0.015, 0.7))
    return figure


def _complete(study: optuna.Study) -> list[FrozenTrial]:
    return list(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))


def _varied(study: optuna.Study) -> list[str]:
    """Parameters of which the complete trials hold more than one value."""
    complete = _complete(study)
    return [name for name in complete[0].params if len({row.params[name] for row in complete}) > 1]


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure


_DRAWINGS: Mapping[str, tuple[Draw, str]] = MappingProxyType(
    {
        "history": (_history, "Each dot is a complete trial; the line is the best so far."),
        "importance": (
            _importance,
            "How much of what makes trials good each parameter explains, by PED-ANOVA.",
        ),
        "parallel_coordinates": (
            _parallel_coordinates,
            "Each line is a complete trial, from its value to its parameters; dark is good.",
        ),
        "slice": (
            _slice,
            "Each dot is a complete trial; the darker, the later.",
        ),
    }
)
