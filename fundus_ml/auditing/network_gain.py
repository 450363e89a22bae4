"""Does a network add to the shortcuts? Both on the same people, whom neither has seen."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import KFold

from fundus_ml.auditing.boosted_trees import SMALL_STEPS, known_somewhere, out_of_fold_trees
from fundus_ml.auditing.columns import TREES, Shortcut
from fundus_ml.auditing.conditional_randomisation import PENALTIES
from fundus_ml.auditing.permutation import FOLDS, grouped_folds
from fundus_ml.parallel import one_thread
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import paired_auroc_difference

FEWEST_PEOPLE = 20
"""People of each class below which the gain is not measured."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ShortcutScores:
    """What shortcuts say of every eye of a dataset.

    Attributes:
        logits: ``(n,)`` by boosted trees fitted on other people.
        design: ``(n, p)`` standardised columns of every shortcut.
        columns: ``(n, q)`` the same as measured, for trees.
    """

    logits: Floats
    design: Floats
    columns: Floats

    def of(self, rows: NDArray[np.intp]) -> "ShortcutScores":
        """Keep some rows, in their order."""
        return ShortcutScores(self.logits[rows], self.design[rows], self.columns[rows])


@dataclass(frozen=True, kw_only=True)
class NetworkGain:
    """What a network's logit adds to the shortcuts, per person.

    Attributes:
        people: People compared; those who stand under both labels are left out.
        gain: AUROC of shortcuts and network less that of the shortcuts; None if not measured.
        reason: Why it was not measured, or empty.
    """

    people: int
    gain: Interval | None = None
    reason: str = ""

    @property
    def adds(self) -> bool:
        """Whether the network tells more than the shortcuts."""
        return self.gain is not None and self.gain.low > 0

    def record(self) -> dict[str, object]:
        """All of it as plain values."""
        return asdict(self) if self.gain else {"people": self.people, "reason": self.reason}

    def __str__(self) -> str:
        """Say it in a line."""
        if self.gain is None:
            return f"network beside shortcuts: not measured ({self.reason})"
        verdict = "adds" if self.adds else "is not shown to add"
        return (
            f"the network {verdict} to the fitted shortcuts: AUROC per person {self.gain:+.3f}, "
            f"{self.people} people"
        )


def shortcut_scores(
    shortcuts: Sequence[Shortcut], labels: ArrayLike, groups: ArrayLike, *, seed: int
) -> ShortcutScores:
    """Score every eye by boosted trees on all shortcuts, fitted on other people.

    Args:
        shortcuts: From :func:`fundus_ml.auditing.shortcuts.find_shortcuts`.
        labels: ``(n,)``, 0 or 1.
        groups: ``(n,)`` person of each eye.
        seed: Seed of folds and trees.
    """
    truth = np.asarray(labels).astype(bool)
    whole = next(shortcut for shortcut in shortcuts if shortcut.name == TREES)
    folds = grouped_folds(groups, np.zeros(len(truth)), seed=seed)
    logits = out_of_fold_trees(whole.columns, truth, folds, seed=seed)
    return ShortcutScores(logits, whole.design, whole.columns)


def too_few_people(labels: ArrayLike, groups: ArrayLike) -> str:
    """Say why a gain cannot be measured on these people, or nothing."""
    people = _compared(np.asarray(labels), np.asarray(groups))
    fewest = min(int(people["label"].eq(label).sum()) for label in (0, 1))
    if fewest >= FEWEST_PEOPLE:
        return ""
    return f"{fewest} people of one class are too few, {FEWEST_PEOPLE} of each are needed"


def network_gain(
    labels: ArrayLike,
    logits: ArrayLike,
    groups: ArrayLike,
    scores: ShortcutScores,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> NetworkGain:
    """Ask whether a network's logit predicts the label beyond the shortcuts.

    The eyes of a person are averaged, so that people are independent rows. From the network's
    logit is taken what a ridge regression on the shortcuts, and boosted trees on what that leaves,
    make of it on people they were not fitted to: a network that reads nothing but shortcuts, though
    better than the trees do, would otherwise count as adding to them. A logistic regression on the
    shortcut logit with the rest is then compared with one on the shortcut logit alone.

    Args:
        labels: ``(n,)``, 0 or 1, of eyes whose people the network has not seen.
        logits: ``(n,)`` of the network.
        groups: ``(n,)`` person of each eye.
        scores: Shortcuts of the same eyes, out of fold.
        resamples: Bootstrap samples of people.
        seed: Seed of folds and bootstrap.

    Returns:
        The gain in AUROC, both sides cross-fitted, with its interval over people. Where a class
        has fewer than 20 people, the reason.

    Source:
        Pepe, Kerr, Longton & Wang 2013, Testing for improvement in prediction model performance,
        Statistics in Medicine 32(9): the test of a difference of AUROCs is conservative for nested
        models. That is wanted here: a likelihood ratio calls a network that reads an interaction
        of shortcuts better than the trees do an addition in half of the cohorts
        (docs/results/network_gain.csv). Taking out what the shortcuts explain: Robinson 1988,
        Econometrica 56(4).
    """
    truth, person = np.asarray(labels).astype(int), np.asarray(groups)
    reason = too_few_people(truth, person)
    people = _compared(truth, person)
    if reason:
        return NetworkGain(people=len(people), reason=reason)
    rows = pd.DataFrame({"person": person, "shortcut": scores.logits, "network": logits})
    averaged = rows.groupby("person").mean().loc[people.index]
    design, columns = (
        pd.DataFrame(values).groupby(person).mean().loc[people.index].to_numpy()
        for values in (scores.design, scores.columns)
    )
    shortcut = _standardised(averaged["shortcut"].to_numpy())
    network = _standardised(averaged["network"].to_numpy())
    design = np.column_stack([design, shortcut, shortcut**2])
    rest = _standardised(network - _read_off_shortcuts(network, design, columns, seed=seed))
    labels, both = people["label"].to_numpy(), np.column_stack([shortcut, rest])
    together = _cross_fitted_sum(both, labels, seed=seed)
    alone = _cross_fitted_sum(shortcut[:, None], labels, seed=seed)
    gain = paired_auroc_difference(
        labels, together, alone, people.index.to_numpy(), resamples=resamples, seed=seed
    )
    return NetworkGain(people=len(people), gain=gain)


def _compared(labels: NDArray[np.int_], groups: NDArray[np.generic]) -> pd.DataFrame:
    """People of one label each, by name."""
    of = pd.DataFrame({"label": labels}).groupby(groups)["label"].agg(["min", "max"])
    return of.loc[of["min"] == of["max"], ["min"]].rename(columns={"min": "label"})


def _standardised(values: Floats) -> Floats:
    spread = float(values.std())
    return np.asarray((values - values.mean()) / (spread if spread > 0 else 1.0), np.float64)


def _read_off_shortcuts(network: Floats, design: Floats, columns: Floats, *, seed: int) -> Floats:
    predicted = np.empty_like(network)
    for learned, held_out in KFold(FOLDS, shuffle=True, random_state=seed).split(design):
        ridge = RidgeCV(alphas=PENALTIES).fit(design[learned], network[learned])
        left = network[learned] - ridge.predict(design[learned])
        known = known_somewhere(columns[learned])
        with one_thread():
            trees = HistGradientBoostingRegressor(
                **SMALL_STEPS, min_samples_leaf=10, random_state=seed
            ).fit(columns[np.ix_(learned, known)], left)
            beyond = trees.predict(columns[np.ix_(held_out, known)])
            predicted[held_out] = ridge.predict(design[held_out]) + beyond
    return predicted


def _cross_fitted_sum(columns: Floats, labels: NDArray[np.int_], *, seed: int) -> Floats:
    """Weighted sum of columns, weights from other people; no intercept."""
    summed = np.empty(len(labels))
    for learned, held_out in KFold(FOLDS, shuffle=True, random_state=seed).split(columns):
        weights = LogisticRegression(C=np.inf).fit(columns[learned], labels[learned]).coef_[0]
        summed[held_out] = columns[held_out] @ weights
    return summed
