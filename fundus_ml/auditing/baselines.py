"""Which shortcuts predict sex, and which of them only because another one does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fundus_ml.auditing.columns import Shortcut
from fundus_ml.auditing.evidence import OnProgress, Trial
from fundus_ml.auditing.forward_selection import (
    DISMISSED_ABOVE,
    ForwardSelection,
    joined_by_and,
)
from fundus_ml.data.contrasts import SEX_CONTRAST, Contrast
from fundus_ml.statistics.bootstrap import Interval

CHANCE = 0.95
"""Share of shuffles that stay below the null level shown beside an AUROC."""
FEWEST_PEOPLE = 20
"""People of each class below which no shortcut is judged."""
FEWEST_PERMUTATIONS = 299
"""Shuffles with which a p-value can pass a third of ``forward_selection.FAMILY_LEVEL``."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """How well one shortcut alone predicts sex.

    Attributes:
        name: Name of the shortcut.
        verdict: ``named``: it predicts sex beyond those named before it; ``open``: so does it, but
            it was measured on the retina, so that what a model is meant to find may be behind it
            and it is not called a shortcut; ``explained``: it predicts
            sex no better than another shortcut makes it; ``hint``: it beats most shuffles, too few
            to be named among so many shortcuts; ``dismissed``: it shows nothing; ``not judged``.
        finding: What that means, such as ``predicts sex, but explained by camera``.
        auroc: Cross-validated; with ``low`` and ``high``, its 95 % interval over people. None where
            not judged.
        low: Lower end.
        high: Upper end.
        null_high: AUROC that 95 % of the shuffles stay below.
        p: Share of shuffles that do as well, not corrected for the number of shortcuts.
        explained_by: The shortcut that explains it, empty unless ``explained``.
    """

    name: str
    verdict: str
    finding: str
    auroc: float | None = None
    low: float | None = None
    high: float | None = None
    null_high: float | None = None
    p: float | None = None
    explained_by: str = ""

    @property
    def words(self) -> str:
        """The finding as a sentence with its numbers."""
        said = f"{self.name[0].upper()}{self.name[1:]}: {self.finding}"
        if self.auroc is None:
            return f"{said}."
        return (
            f"{said}; AUROC {self.auroc:.3f} ({self.low:.3f} to {self.high:.3f}), "
            f"where 95 % of shuffled labels stay below {self.null_high:.3f}."
        )


def judge_shortcuts(
    shortcuts: Sequence[Shortcut],
    frame: pd.DataFrame,
    *,
    permutations: int,
    seed: int,
    contrast: Contrast = SEX_CONTRAST,
    on_progress: OnProgress | None = None,
) -> list[Baseline]:
    """Hold each shortcut against shuffled labels, then against labels that the named ones explain.

    Scores come from cross-validated ridge regressions, people kept whole; of all columns together
    also from boosted trees. The strongest shortcut of the table that beats the shuffles is named
    first (the source before all else, since cameras and ages come with it). Then labels are drawn
    from their fitted probability given the named ones, and what goes together with the true labels
    better than with those is named next; shortcuts measured on the photographs follow in the same
    way, except that one which a weaker shortcut of the table explains gives its place to that. So
    what tells the sexes apart only because it tells the cameras apart is not named but
    ``explained``.

    Args:
        shortcuts: From :func:`fundus_ml.auditing.shortcuts.find_shortcuts`.
        frame: Manifest rows, in the order of the designs.
        permutations: Number of shuffles, and of draws.
        seed: Seed of folds, trees, shuffles, draws and intervals.
        contrast: What the labels of ``frame`` answer.
        on_progress: Called with (tests done, tests in all as far as known).

    Returns:
        One per shortcut, in the order given.

    Source:
        Shuffles: Good 2005, Permutation, Parametric and Bootstrap Tests of Hypotheses; draws: see
        :class:`~fundus_ml.auditing.conditional_randomisation.ConditionalLabels`; correction: see
        ``permutation.family_p_values``.
    """
    people = frame.groupby("label")["person_group"].nunique()
    first, second = (int(people.get(label, 0)) for label in (0, 1))
    if min(first, second) < FEWEST_PEOPLE:
        of = contrast.people
        reason = (
            f"{first} {of[0]} and {second} {of[1]} are too few, {FEWEST_PEOPLE} of each are needed"
        )
        return [_not_judged(shortcut.name, shortcut.missing or reason) for shortcut in shortcuts]
    trial = Trial(frame, permutations=permutations, seed=seed, on_progress=on_progress)
    judged = {shortcut.name: shortcut for shortcut in shortcuts if not shortcut.missing}
    measured = {name: trial.measure(shortcut) for name, shortcut in judged.items()}
    found = ForwardSelection(trial, list(judged.values())).run()
    return [
        _judged(shortcut, measured[shortcut.name], found, trial, contrast.name)
        if shortcut.name in judged
        else _not_judged(shortcut.name, shortcut.missing)
        for shortcut in shortcuts
    ]


def _judged(
    shortcut: Shortcut, measured: Interval, found: ForwardSelection, trial: Trial, what: str
) -> Baseline:
    name = shortcut.name
    null, explained_by = found.alone.null[name], found.explained_by.get(name, "")
    p = found.alone.p(name)
    if name in found.named:
        before = found.named[: found.named.index(name)]
        beyond = f", also among people of equal {joined_by_and(before)}" if before else ""
        verdict, finding = "named", f"predicts {what}{beyond}"
        if shortcut.retinal:
            verdict, finding = "open", f"{finding}, but the eye's own anatomy may move it"
    elif explained_by:
        verdict, finding = "explained", f"predicts {what}, but explained by {explained_by}"
    elif p <= DISMISSED_ABOVE:
        verdict, finding = "hint", _hint(p, found, trial.permutations, what)
    else:
        verdict, finding = "dismissed", f"does not predict {what}"
    return Baseline(
        name=name,
        verdict=verdict,
        finding=finding,
        auroc=measured.value,
        low=measured.low,
        high=measured.high,
        null_high=float(np.quantile(null, CHANCE)),
        p=p,
        explained_by=explained_by,
    )


def _hint(p: float, found: ForwardSelection, permutations: int, what: str) -> str:
    if permutations < FEWEST_PERMUTATIONS:
        doubt = f"{permutations} shuffles are too few, {FEWEST_PERMUTATIONS} are needed"
    elif found.named:
        doubt = f"less surely so among people of equal {joined_by_and(found.named)}"
    else:
        doubt = f"{len(found.alone.null)} shortcuts were tried"
    return f"may predict {what} (p = {p:.3f}), but {doubt}"


def _not_judged(name: str, reason: str) -> Baseline:
    return Baseline(name=name, verdict="not judged", finding=f"could not be judged: {reason}")
