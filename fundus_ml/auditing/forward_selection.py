"""Shortcuts named one after the other: what predicts sex even where the named ones are equal."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.auditing.permutation import (
    family_p_values,
    grouped_folds,
    null_aurocs,
    out_of_fold,
    shuffle_between_people,
)
from fundus_ml.auditing.shortcuts import TOGETHER, Shortcut
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_auroc

FAMILY_LEVEL = 0.01
"""Chance that a dataset without any shortcut has one named: a third for the shortcuts that stand in
the table, for those measured on the photographs, and for all together."""
DISMISSED_ABOVE = 0.05
"""A shortcut of a larger p-value, not corrected for their number, shows nothing."""
SCORE_BINS = 10
"""Groups of people by a shortcut's score within which others are judged given that shortcut."""

Floats = NDArray[np.float64]
OnProgress = Callable[[int, int], None]


class Trial:
    """One cross-validation that every shortcut goes through, with true and with shuffled labels.

    Args:
        frame: Manifest rows.
        permutations: Number of shuffles.
        seed: Seed of folds, shuffles and intervals.
        on_progress: Called with (rounds of shuffles done, rounds in all as far as known).

    Attributes:
        observed: AUROC by shortcut, of those measured so far.
        scores: Scores of every row, likewise.
    """

    def __init__(
        self, frame: pd.DataFrame, *, permutations: int, seed: int, on_progress: OnProgress | None
    ) -> None:
        self.labels = frame["label"].to_numpy()
        self.groups = frame["person_group"].to_numpy()
        self.permutations, self.seed, self.on_progress = permutations, seed, on_progress
        self.folds = grouped_folds(self.groups, frame["source"].to_numpy(), seed=seed)
        self.observed: dict[str, float] = {}
        self.scores: dict[str, Floats] = {}

    def measure(self, shortcut: Shortcut) -> Interval:
        """AUROC on the true labels, with its interval over people."""
        targets = self.labels[:, None].astype(np.float64)
        scores = out_of_fold(shortcut.design, targets, self.folds)[:, 0]
        found = clustered_auroc(self.labels, scores, self.groups, seed=self.seed)
        self.scores[shortcut.name], self.observed[shortcut.name] = scores, found.value
        return found

    def nulls(
        self, shortcuts: Sequence[Shortcut], strata: NDArray[np.intp], *, done: int
    ) -> dict[str, Floats]:
        """AUROCs of each shortcut on labels shuffled within strata, by name."""
        shuffles = shuffle_between_people(
            self.labels, self.groups, strata, permutations=self.permutations, seed=self.seed
        )
        nulls = {}
        for place, shortcut in enumerate(shortcuts, start=1):
            nulls[shortcut.name] = null_aurocs(shortcut.design, shuffles, self.folds)
            if self.on_progress is not None:
                self.on_progress(done + place, done + len(shortcuts))
        return nulls

    def p(self, name: str, null: Floats) -> float:
        """Share of shuffles that do as well, the true labels counted with them."""
        return float((1 + (null >= self.observed[name]).sum()) / (1 + len(null)))

    def family_p(self, nulls: dict[str, Floats]) -> dict[str, float]:
        """Likewise, corrected for the number of shortcuts."""
        if not nulls:
            return {}
        observed = np.array([self.observed[name] for name in nulls])
        p = family_p_values(observed, np.stack(list(nulls.values())))
        return dict(zip(nulls, p.tolist(), strict=True))

    def strata_of(self, shortcut: Shortcut) -> NDArray[np.intp]:
        """Rows among which a shortcut is equal, by number."""
        equal = shortcut.equal
        if equal is None:
            score = pd.Series(self.scores[shortcut.name]).groupby(self.groups).transform("mean")
            equal = pd.qcut(score.rank(), SCORE_BINS, labels=False, duplicates="drop").to_numpy()
        return pd.factorize(equal)[0]


class ForwardSelection:
    """Forward selection: name, shuffle within what was named, ask again.

    Attributes:
        null: Per shortcut the AUROCs of labels shuffled freely.
        named: Shortcuts in the order they were named.
        explained_by: The named shortcut that took away what another one predicted.
    """

    def __init__(self, trial: Trial, shortcuts: list[Shortcut]) -> None:
        self._trial = trial
        self._left = {item.name: item for item in shortcuts if item.name != TOGETHER}
        self._strata = np.zeros(len(trial.labels), np.intp)
        self.null = trial.nulls(shortcuts, self._strata, done=0)
        self._done = len(shortcuts)
        self._now = {name: self.null[name] for name in self._left}
        self.named: list[str] = []
        self.explained_by: dict[str, str] = {}

    def run(self) -> "ForwardSelection":
        """Name until nothing is left that predicts sex."""
        for known in (True, False):
            while self._name_one(known=known):
                pass
        together = {name: null for name, null in self.null.items() if name == TOGETHER}
        if not self.named:
            self.named = self._passing(together)
        elif together and self._trial.p(TOGETHER, together[TOGETHER]) <= DISMISSED_ABOVE:
            self.explained_by[TOGETHER] = joined_by_and(self.named)
        return self

    def _name_one(self, *, known: bool) -> bool:
        passing = self._passing(self._family(known=known))
        if not passing:
            return False
        chosen = "source" if "source" in passing else max(passing, key=self._striking)
        if not known:
            chosen = self._root_of(chosen)
        before, nulls_before = self._standing(), self._now
        taken = self._left.pop(chosen)
        self.named.append(chosen)
        self.explained_by.pop(chosen, None)
        self._strata = self._within(taken)
        again = [item for item in self._left.values() if known or not item.known]
        self._now = self._trial.nulls(again, self._strata, done=self._done)
        self._done += len(again)
        for name, standing in self._standing().items():
            if standing < before[name] and self._explained(name, nulls_before[name]):
                self.explained_by[name] = chosen
        return True

    def _root_of(self, measured: str) -> str:
        """Find a known shortcut that beats most shuffles and explains the measured one."""
        weak = [
            name
            for name, null in self._family(known=True).items()
            if self._trial.p(name, null) <= DISMISSED_ABOVE
        ]
        for name in sorted(weak, key=self._striking, reverse=True):
            item, strata = self._left[measured], self._within(self._left[name])
            null = self._trial.nulls([item], strata, done=self._done)[measured]
            self._done += 1
            p = self._trial.family_p({measured: null})[measured]
            before = self._now[measured]
            if p > FAMILY_LEVEL / 3 and self._explained(measured, before, null):
                return name
        return measured

    def _explained(self, name: str, before: Floats, now: Floats | None = None) -> bool:
        """Whether shuffling within what was named keeps half of what a shortcut predicts."""
        kept = float((self._now[name] if now is None else now).mean() - before.mean())
        return kept >= (self._trial.observed[name] - float(before.mean())) / 2

    def _within(self, shortcut: Shortcut) -> NDArray[np.intp]:
        finer = self._trial.strata_of(shortcut)
        return pd.factorize(self._strata * (len(finer) + 1) + finer)[0]

    def _standing(self) -> dict[str, int]:
        """2 what would be named, 1 what beats most shuffles, 0 the rest."""
        passing = {
            name for known in (True, False) for name in self._passing(self._family(known=known))
        }
        return {
            name: 2 if name in passing else int(self._trial.p(name, null) <= DISMISSED_ABOVE)
            for name, null in self._now.items()
        }

    def _family(self, *, known: bool) -> dict[str, Floats]:
        return {
            name: null
            for name, null in self._now.items()
            if name in self._left and self._left[name].known == known
        }

    def _passing(self, family: dict[str, Floats]) -> list[str]:
        p = self._trial.family_p(family)
        return [name for name, value in p.items() if value <= FAMILY_LEVEL / 3]

    def _striking(self, name: str) -> float:
        null = self._now[name]
        return (self._trial.observed[name] - float(null.mean())) / float(null.std())


def joined_by_and(names: Sequence[str]) -> str:
    """Join one name or more as a sentence does."""
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
