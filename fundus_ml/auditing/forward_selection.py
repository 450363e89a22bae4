"""Shortcuts named one after the other: what predicts sex beyond what the named ones say of it."""

from collections.abc import Sequence

from fundus_ml.auditing.columns import TREES, WHOLE, Shortcut
from fundus_ml.auditing.conditional_randomisation import ConditionalLabels
from fundus_ml.auditing.evidence import Trial

FAMILY_LEVEL = 0.01
"""Chance that a dataset without any shortcut has one named: a third for the shortcuts that stand in
the table, for those measured on the photographs, and for all together."""
DISMISSED_ABOVE = 0.05
"""A shortcut of a larger p-value, not corrected for their number, shows nothing."""
CHANCE_AUROC = 0.5


class ForwardSelection:
    """Forward selection: name, draw labels given what was named, ask again.

    Args:
        trial: That has measured every shortcut.
        shortcuts: To judge.

    Attributes:
        alone: Evidence of each shortcut by itself.
        named: Shortcuts in the order they were named.
        explained_by: The named shortcut that took away what another one predicted.
    """

    def __init__(self, trial: Trial, shortcuts: Sequence[Shortcut]) -> None:
        self._trial = trial
        self._all = {item.name: item for item in shortcuts}
        self._left = {name: item for name, item in self._all.items() if name not in WHOLE}
        self.alone = self._now = trial.alone(shortcuts)
        self._labels: ConditionalLabels | None = None
        self.named: list[str] = []
        self.explained_by: dict[str, str] = {}

    def run(self) -> "ForwardSelection":
        """Name until nothing is left that predicts sex."""
        for known in (True, False):
            while self._name_one(known=known):
                pass
        self._judge_whole()
        return self

    def _judge_whole(self) -> None:
        whole = [name for name in WHOLE if name in self._all]
        before = joined_by_and(self.named) if self.named else ""
        if not before:
            passing = self._passing(self.alone.family_p(whole))
            self.named = sorted(passing, key=self.alone.striking)[-1:]
        elif self._trees_add():
            self.named.append(TREES)
        for name in whole:
            if self.named and name not in self.named and self.alone.p(name) <= DISMISSED_ABOVE:
                self.explained_by[name] = before or self.named[0]

    def _trees_add(self) -> bool:
        """Whether all columns say more than the named shortcuts, by the score of the trees."""
        if TREES not in self._all or self.alone.p(TREES) > DISMISSED_ABOVE:
            return False
        scores = self._trial.scores[TREES]
        design = ((scores - scores.mean()) / scores.std())[:, None]
        found, _ = self._trial.given(self._given(), [Shortcut(TREES, known=False, design=design)])
        return found.p(TREES) <= FAMILY_LEVEL / 3

    def _name_one(self, *, known: bool) -> bool:
        passing = self._passing(self._now.family_p(self._family(known=known)))
        if not passing:
            return False
        chosen = "source" if "source" in passing else max(passing, key=self._now.striking)
        if not known:
            chosen = self._root_of(chosen)
        before, labels_before = self._standing(), self._labels
        del self._left[chosen]
        self.named.append(chosen)
        self.explained_by.pop(chosen, None)
        again = [item for item in self._left.values() if known or not item.known]
        self._now, self._labels = self._trial.given(self._given(), again)
        for name, standing in self._standing().items():
            if standing < before[name] and self._explained(name, labels_before, self._labels):
                self.explained_by[name] = chosen
        return True

    def _root_of(self, measured: str) -> str:
        """Find a known shortcut that beats most null labels and explains the measured one."""
        weak = [
            name
            for name in self._family(known=True)
            if name in self._now.null and self._now.p(name) <= DISMISSED_ABOVE
        ]
        for name in sorted(weak, key=self._now.striking, reverse=True):
            found, labels = self._trial.given(
                [*self._given(), self._left[name]], [self._left[measured]]
            )
            explained = self._explained(measured, self._labels, labels)
            if explained and found.p(measured) > FAMILY_LEVEL / 3:
                return name
        return measured

    def _explained(
        self, name: str, before: ConditionalLabels | None, now: ConditionalLabels
    ) -> bool:
        """Whether what was named last keeps half of what a shortcut predicts."""
        scores = self._trial.scores[name]
        start = CHANCE_AUROC if before is None else before.explained_auroc(scores)
        kept = now.explained_auroc(scores) - start
        return kept >= (self._trial.aurocs[name] - start) / 2

    def _given(self) -> list[Shortcut]:
        return [self._all[name] for name in self.named]

    def _standing(self) -> dict[str, int]:
        """2 what would be named, 1 what beats most null labels, 0 the rest."""
        passing = {
            name
            for known in (True, False)
            for name in self._passing(self._now.family_p(self._family(known=known)))
        }
        return {
            name: 2 if name in passing else int(self._now.p(name) <= DISMISSED_ABOVE)
            for name in self._now.null
            if name in self._left
        }

    def _family(self, *, known: bool) -> list[str]:
        return [
            name
            for name, item in self._left.items()
            if item.known == known and name in self._now.null
        ]

    def _passing(self, p: dict[str, float]) -> list[str]:
        return [name for name, value in p.items() if value <= FAMILY_LEVEL / 3]


def joined_by_and(names: Sequence[str]) -> str:
    """Join one name or more as a sentence does."""
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
