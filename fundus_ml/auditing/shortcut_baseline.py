"""The AUROC below which a model has shown nothing on a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fundus_ml.auditing.baselines import CHANCE, Baseline
from fundus_ml.auditing.columns import WHOLE
from fundus_ml.auditing.permutation import column_aurocs
from fundus_ml.statistics.bootstrap import cluster_codes

CHANCE_DRAWS = 2000
NOT_DISMISSED = ("named", "open", "explained", "hint")
BY_CHANCE = "chance"
_ASKED = "A model has shown something only where its interval lies above"


@dataclass(frozen=True)
class ShortcutBaseline:
    """Where a model's score begins to mean something.

    Attributes:
        value: AUROC from 0.5 to 1; 1 where no score could mean anything.
        by: The shortcut that sets it, or ``chance``.
        words: Both as a sentence.
    """

    value: float
    by: str
    words: str


def chance_level(labels: ArrayLike, groups: ArrayLike, *, seed: int) -> float:
    """AUROC that 95 % of scores that know nothing of sex stay below, on these people.

    Both eyes of a person get one score, as a network that reads the person off the picture would
    give them, or each its own, whichever spreads wider: the first where both carry one label.

    Args:
        labels: ``(n,)``, 0 or 1, of the test eyes.
        groups: ``(n,)`` their people.
        seed: Seed of the scores.

    Returns:
        A number from 0.5 to 1: 1 where one sex is absent.
    """
    truth = np.asarray(labels).astype(bool)
    if truth.all() or not truth.any():
        return 1.0
    person, people = cluster_codes(groups)
    rng = np.random.default_rng(seed)
    columns = np.broadcast_to(truth[:, None], (len(truth), CHANCE_DRAWS))
    by_person = rng.random((people, CHANCE_DRAWS))[person]
    by_eye = rng.random(columns.shape)
    levels = (np.quantile(column_aurocs(columns, each), CHANCE) for each in (by_person, by_eye))
    return max(0.5, *map(float, levels))


def make_shortcut_baseline(
    baselines: Sequence[Baseline], *, chance: float, test_eyes: int
) -> ShortcutBaseline:
    """Take the highest of chance and of every shortcut that was not dismissed.

    Args:
        baselines: Every shortcut, ``everything together`` included.
        chance: From :func:`chance_level`, on the test split.
        test_eyes: Eyes in it.
    """
    reached = {item.name: item.auroc for item in baselines if item.verdict in NOT_DISMISSED}
    best = max(reached, key=lambda name: reached[name] or 0.0, default=None)
    value = 0.0 if best is None else reached[best] or 0.0
    if best is not None and value >= chance:
        alone = "all shortcuts together reach" if best in WHOLE else f"{best} alone reaches"
        return ShortcutBaseline(
            value, best, f"{_ASKED} {value:.3f}, what {alone} without the eye's anatomy."
        )
    if chance == 1:
        words = "No AUROC means anything on this dataset: its test split holds too few people."
        return ShortcutBaseline(1.0, BY_CHANCE, words)
    words = f"{chance:.3f}, what chance alone reaches once in twenty on {test_eyes} test eyes."
    return ShortcutBaseline(chance, BY_CHANCE, f"{_ASKED} {words}")
