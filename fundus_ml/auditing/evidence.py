"""One cross-validation that every shortcut goes through, and what labels without a cause score."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.auditing.boosted_trees import out_of_fold_trees
from fundus_ml.auditing.columns import TREES, Shortcut
from fundus_ml.auditing.conditional_randomisation import ConditionalLabels
from fundus_ml.auditing.permutation import (
    Shuffles,
    column_aurocs,
    family_p_values,
    grouped_folds,
    null_aurocs,
    out_of_fold,
    shuffle_between_people,
)
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_auroc

Floats = NDArray[np.float64]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class Evidence:
    """A statistic of each shortcut, for the true labels and for many that owe it nothing.

    Attributes:
        observed: For the true labels, by name.
        null: ``(permutations,)`` by name, the same labels in the same places.
    """

    observed: dict[str, float]
    null: dict[str, Floats]

    def p(self, name: str) -> float:
        """Share of null labels that do as well, the true ones counted with them."""
        null = self.null[name]
        return float((1 + (null >= self.observed[name]).sum()) / (1 + len(null)))

    def family_p(self, names: Collection[str]) -> dict[str, float]:
        """Likewise, corrected for the number of shortcuts."""
        if not names:
            return {}
        observed = np.array([self.observed[name] for name in names])
        p = family_p_values(observed, np.stack([self.null[name] for name in names]))
        return dict(zip(names, p.tolist(), strict=True))

    def striking(self, name: str) -> float:
        """Distance from the null in its standard deviations."""
        null = self.null[name]
        return (self.observed[name] - float(null.mean())) / float(null.std())


class Trial:
    """Scores of every shortcut out of fold, and its evidence with and without others given.

    Args:
        frame: Manifest rows.
        permutations: Number of shuffles, and of draws.
        seed: Seed of folds, trees, shuffles, draws and intervals.
        on_progress: Called with (tests done, tests in all as far as known).

    Attributes:
        scores: ``(n,)`` scores of every row by shortcut, of those measured so far.
        aurocs: Their AUROCs.
    """

    def __init__(
        self, frame: pd.DataFrame, *, permutations: int, seed: int, on_progress: OnProgress | None
    ) -> None:
        self.labels = frame["label"].to_numpy()
        self.groups = frame["person_group"].to_numpy()
        self.permutations, self.seed = permutations, seed
        self._on_progress, self._done = on_progress, 0
        self._folds = grouped_folds(self.groups, frame["source"].to_numpy(), seed=seed)
        self.scores: dict[str, Floats] = {}
        self.aurocs: dict[str, float] = {}

    def measure(self, shortcut: Shortcut) -> Interval:
        """AUROC on the true labels, with its interval over people."""
        if shortcut.name == TREES:
            truth = self.labels.astype(bool)
            scores = out_of_fold_trees(shortcut.columns, truth, self._folds, seed=self.seed)
        else:
            targets = self.labels[:, None].astype(np.float64)
            scores = out_of_fold(shortcut.design, targets, self._folds)[:, 0]
        found = clustered_auroc(self.labels, scores, self.groups, seed=self.seed)
        self.scores[shortcut.name], self.aurocs[shortcut.name] = scores, found.value
        return found

    def alone(self, shortcuts: Sequence[Shortcut]) -> Evidence:
        """AUROC of each shortcut by itself, against labels shuffled between people."""
        shuffles = shuffle_between_people(
            self.labels, self.groups, permutations=self.permutations, seed=self.seed
        )
        nulls = {}
        for left, shortcut in enumerate(shortcuts, start=1 - len(shortcuts)):
            nulls[shortcut.name] = self._null(shortcut, shuffles)
            self._tell(-left)
        return Evidence({name: self.aurocs[name] for name in nulls}, nulls)

    def given(
        self, named: Sequence[Shortcut], shortcuts: Sequence[Shortcut]
    ) -> tuple[Evidence, ConditionalLabels]:
        """What each shortcut tells beyond the named ones, against labels drawn given those."""
        labels = ConditionalLabels(
            self.labels, self.groups, named, draws=self.permutations, seed=self.seed
        )
        found = {item.name: labels.statistic(item.design) for item in shortcuts}
        self._tell(0)
        evidence = Evidence(
            {name: observed for name, (observed, _) in found.items()},
            {name: null for name, (_, null) in found.items()},
        )
        return evidence, labels

    def _null(self, shortcut: Shortcut, shuffles: Shuffles) -> Floats:
        """AUROCs on shuffled labels; trees are too dear to fit each time, their scores stay."""
        if shortcut.name != TREES:
            return null_aurocs(shortcut.design, shuffles, self._folds)
        scores = self.scores[TREES]
        return np.concatenate(
            [
                column_aurocs(labels, np.repeat(scores[:, None], labels.shape[1], 1))
                for labels in shuffles.blocks()
            ]
        )

    def _tell(self, left: int) -> None:
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(self._done, self._done + left)
