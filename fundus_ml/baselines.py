"""Which shortcuts predict sex, and which of them only because another one does."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from fundus_ml.bootstrap import Interval
from fundus_ml.naming import DISMISSED_ABOVE, Naming, OnProgress, Trial, listed
from fundus_ml.shortcuts import Shortcut

CHANCE = 0.95
"""Share of shuffles that stay below the null level shown beside an AUROC."""
FEWEST_PEOPLE = 20
"""People of each sex below which no shortcut is judged."""
FEWEST_PERMUTATIONS = 299
"""Shuffles with which a p-value can pass a third of :data:`~fundus_ml.naming.FAMILY_LEVEL`."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """How well one shortcut alone predicts sex.

    Attributes:
        name: Of the shortcut.
        verdict: ``named``: it predicts sex beyond those named before it; ``carried``: it predicts
            sex no better than another shortcut makes it; ``hint``: it beats most shuffles, too few
            to be named among so many shortcuts; ``dismissed``: it shows nothing; ``not judged``.
        words: The verdict as a sentence.
        auroc: Cross-validated; with ``low`` and ``high``, its 95 % interval over people. None where
            not judged.
        low: Lower end.
        high: Upper end.
        null_high: AUROC that 95 % of the shuffles stay below.
        p: Share of shuffles that do as well, not corrected for the number of shortcuts.
        carried_by: The shortcut that explains it, empty unless ``carried``.
    """

    name: str
    verdict: str
    words: str
    auroc: float | None = None
    low: float | None = None
    high: float | None = None
    null_high: float | None = None
    p: float | None = None
    carried_by: str = ""


def judge_shortcuts(
    shortcuts: Sequence[Shortcut],
    frame: pd.DataFrame,
    *,
    permutations: int,
    seed: int,
    on_progress: OnProgress | None = None,
) -> list[Baseline]:
    """Hold each shortcut against shuffled labels, then against the shortcuts already named.

    Scores come from cross-validated ridge regressions, people kept whole. The strongest shortcut of
    the table that beats the shuffles is named first (the source before all else, since cameras and
    ages come with it), then labels are shuffled within its values only, and what still beats
    them is named next; shortcuts measured on the photographs follow in the same way, except that
    one which a weaker shortcut of the table explains gives its place to that. So what tells the
    sexes apart only because it tells the cameras apart is not named but ``carried``.

    Args:
        shortcuts: From :func:`fundus_ml.shortcuts.find_shortcuts`.
        frame: Manifest rows, in the order of the designs.
        permutations: Number of shuffles.
        seed: Of folds, shuffles and intervals.
        on_progress: Called with (rounds of shuffles done, rounds in all as far as known).

    Returns:
        One per shortcut, in the order given.

    Source:
        Permutation within strata: Good 2005, Permutation, Parametric and Bootstrap Tests of
        Hypotheses, chapter 6; correction: see :func:`fundus_ml.permutation.family_p_values`.
    """
    people = frame.groupby("sex")["person_group"].nunique()
    women, men = (int(people.get(sex, 0)) for sex in ("female", "male"))
    if min(women, men) < FEWEST_PEOPLE:
        reason = f"{women} women and {men} men are too few, {FEWEST_PEOPLE} of each are needed"
        return [_not_judged(shortcut.name, shortcut.missing or reason) for shortcut in shortcuts]
    trial = Trial(frame, permutations=permutations, seed=seed, on_progress=on_progress)
    judged = {shortcut.name: shortcut for shortcut in shortcuts if not shortcut.missing}
    measured = {name: trial.measure(shortcut) for name, shortcut in judged.items()}
    found = Naming(trial, list(judged.values())).run()
    return [
        _judged(shortcut.name, measured[shortcut.name], found, trial)
        if shortcut.name in judged
        else _not_judged(shortcut.name, shortcut.missing)
        for shortcut in shortcuts
    ]


def _judged(name: str, measured: Interval, found: Naming, trial: Trial) -> Baseline:
    null = found.null[name]
    p = trial.p(name, null)
    baseline = Baseline(
        name=name,
        verdict="",
        words="",
        auroc=measured.value,
        low=measured.low,
        high=measured.high,
        null_high=float(np.quantile(null, CHANCE)),
        p=p,
        carried_by=found.carried_by.get(name, ""),
    )
    if name in found.named:
        before = found.named[: found.named.index(name)]
        beyond = f", also among people of equal {listed(before)}" if before else ""
        return _said(baseline, "named", f"predicts sex{beyond}")
    if baseline.carried_by:
        return _said(baseline, "carried", f"predicts sex, but carried by {baseline.carried_by}")
    if p <= DISMISSED_ABOVE:
        doubt = f"{len(found.null)} shortcuts were tried"
        if found.named:
            doubt = f"not surely among people of equal {listed(found.named)}"
        if trial.permutations < FEWEST_PERMUTATIONS:
            doubt = f"{trial.permutations} shuffles are too few, {FEWEST_PERMUTATIONS} are needed"
        return _said(baseline, "hint", f"may predict sex (p = {p:.3f}), but {doubt}")
    return _said(baseline, "dismissed", "does not predict sex")


def _said(baseline: Baseline, verdict: str, finding: str) -> Baseline:
    words = (
        f"{_capital(baseline.name)}: {finding}; "
        f"AUROC {baseline.auroc:.3f} ({baseline.low:.3f} to {baseline.high:.3f}), "
        f"where 95 % of shuffled labels stay below {baseline.null_high:.3f}."
    )
    return replace(baseline, verdict=verdict, words=words)


def _not_judged(name: str, reason: str) -> Baseline:
    words = f"{_capital(name)}: could not be judged; {reason}."
    return Baseline(name=name, verdict="not judged", words=words)


def _capital(name: str) -> str:
    return name[0].upper() + name[1:]
