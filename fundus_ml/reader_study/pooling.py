"""Intervals over readers and eyes, who are crossed: every reader answers to the same eyes."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from fundus_ml.statistics.bootstrap import CONFIDENCE, Counts, Floats, row_replicates

Statistic = Callable[[Counts], Floats]
"""Maps ``(block, n)`` how often each answer counts to ``(measures, block)``."""


def crossed_errors(
    statistic: Statistic, answers: pd.DataFrame, *, resamples: int, seed: int
) -> Floats:
    """Half the width of the 95 % interval of each measure, for other readers and other eyes.

    Readers and eyes both were drawn from more of their kind, and each answer belongs to one of
    either. The bootstrap that draws whole readers sees what readers differ by, the one over
    patients what their eyes differ by, the one over single answers the chance that both of these
    hold as well: the variance is readers + max(patients - answers, 0). It knows as little as the
    readers are few, so that Student's t has Hillis' degrees of freedom. Where readers by chance
    agree better than coins would, the interval stays as wide as with answers in their place.

    Args:
        statistic: The measures of the answers.
        answers: ``reader patient_id`` of n answers.
        resamples: Bootstrap samples of each of the three kinds.
        seed: Seed of the draws.

    Returns:
        ``(measures,)``. With one reader it says nothing about others.

    Source:
        Obuchowski & Rockette 1995, Commun. Stat. 24(2), and Hillis 2007, Stat. Med. 26(3), for one
        modality, their covariances taken by bootstrap; Cameron, Gelbach & Miller 2011, J. Bus.
        Econ. Stat. 29(2), for the difference of variances.
    """

    def variance(groups: pd.Series) -> Floats:
        drawn = row_replicates(statistic, groups.to_numpy(), resamples=resamples, seed=seed)
        clusters = groups.nunique()
        if clusters == 1:
            return np.full(len(drawn), math.nan)
        # A bootstrap of few clusters sees (k - 1)/k of the variance.
        return pd.DataFrame(drawn).var(axis=1, ddof=0).to_numpy() * clusters / (clusters - 1)

    single = variance(pd.Series(np.arange(len(answers))))
    between_eyes = np.fmax(variance(answers["patient_id"]) - single, 0.0)
    between_readers = variance(answers["reader"])
    tail = (1 + CONFIDENCE) / 2
    as_coins = norm.ppf(tail) * np.sqrt(single + between_eyes)
    total = between_readers + between_eyes
    share = np.divide(total, between_readers, out=np.ones_like(total), where=between_readers > 0)
    freedom = (answers["reader"].nunique() - 1) * share**2
    crossed = t.ppf(tail, freedom) * np.sqrt(total)
    widest: Floats = np.fmax(as_coins, crossed)
    return widest
