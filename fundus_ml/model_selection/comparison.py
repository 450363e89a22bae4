"""Several scorers on the same eyes: what each reaches, and how far apart they are."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import log_expit, logsumexp

from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_auroc, paired_auroc_difference

UNITS = ("eye", "person")

Logits = Mapping[str, NDArray[np.floating]]
"""Per scorer, ``(n,)`` logits of the same eyes in the same order."""


def mean_prediction(logits: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Logit of the mean of several networks' probabilities.

    Probabilities rather than logits, so that none has more than its share of say: a network far
    from what it was trained on may shout, and the mean of logits would follow the loudest.

    Args:
        logits: ``(n,)`` of each network.

    Returns:
        ``(n,)``, finite however sure the networks are.

    Source:
        Lakshminarayanan et al. 2017, Deep ensembles, arXiv:1612.01474.
    """
    stacked = np.stack(logits).astype(np.float64)
    ratio = logsumexp(log_expit(stacked), axis=0) - logsumexp(log_expit(-stacked), axis=0)
    return np.asarray(ratio, np.float64)


def compare_scorers(
    eyes: pd.DataFrame, logits: Logits, *, reference: str, resamples: int, seed: int
) -> pd.DataFrame:
    """Set every scorer beside ``reference``, per eye and per person.

    Args:
        eyes: ``label person_group`` of each eye.
        logits: Logits of each scorer.
        reference: The scorer the others are subtracted from.
        resamples: Bootstrap resamples of people; scorers are resampled together.
        seed: Seed of the bootstrap.

    Returns:
        One row per unit (``per``: eye or person) and scorer (``model``): ``count people auroc
        auroc_low auroc_high difference difference_low difference_high``, the difference being the
        AUROC of ``reference`` minus that of the scorer; NaN for ``reference`` itself. A person's
        score is the mean of their eyes' logits.

    Raises:
        InputError: ``reference`` is no scorer, or as
            :func:`~fundus_ml.statistics.clustered.clustered_auroc`.
    """
    if reference not in logits:
        raise InputError(f"reference={reference}: allowed: {', '.join(logits)}")
    tables = {"eye": _table(eyes, logits)}
    # People found under both sexes, where a dataset keeps them, stand once under each.
    tables["person"] = tables["eye"].groupby(["person_group", "label"], as_index=False).mean()
    rows = [
        {"per": unit, "model": name, "count": len(table), "people": table["person_group"].nunique()}
        | _measures(table, name, reference, resamples=resamples, seed=seed)
        for unit, table in tables.items()
        for name in logits
    ]
    return pd.DataFrame(rows)


def difference_of(table: pd.DataFrame, model: str, *, per: str = "eye") -> Interval:
    """Pick the difference from one scorer out of a table of :func:`compare_scorers`."""
    return _interval(table, model, per, "difference")


def auroc_of(table: pd.DataFrame, model: str, *, per: str = "eye") -> Interval:
    """Pick the AUROC of one scorer out of a table of :func:`compare_scorers`."""
    return _interval(table, model, per, "auroc")


def what_is_shown(difference: Interval, first: str, second: str) -> str:
    """Say in words what the difference ``first`` minus ``second`` shows and what not."""
    figures = f"{difference:+.3f}"
    if difference.low > 0:
        return f"{figures}, so {first} is shown to score higher"
    if difference.high < 0:
        return f"{figures}, so {second} is shown to score higher"
    if np.isnan(difference.low):
        return f"{figures}, so nothing is shown: one person cannot be resampled"
    return f"{figures}, so it is not shown that either scores higher, nor that they are equal"


def _table(eyes: pd.DataFrame, logits: Logits) -> pd.DataFrame:
    columns = {name: np.asarray(values, np.float64) for name, values in logits.items()}
    return eyes[["person_group", "label"]].reset_index(drop=True).assign(**columns)


def _measures(
    table: pd.DataFrame, name: str, reference: str, *, resamples: int, seed: int
) -> dict[str, float]:
    labels, people = table["label"].to_numpy(), table["person_group"].to_numpy()
    own = clustered_auroc(labels, table[name].to_numpy(), people, resamples=resamples, seed=seed)
    apart = Interval(np.nan, np.nan, np.nan)
    if name != reference:
        apart = paired_auroc_difference(
            labels,
            table[reference].to_numpy(),
            table[name].to_numpy(),
            people,
            resamples=resamples,
            seed=seed,
        )
    return own.columns("auroc") | apart.columns("difference")


def _interval(table: pd.DataFrame, model: str, per: str, measure: str) -> Interval:
    (row,) = table[(table["model"] == model) & (table["per"] == per)].to_dict("records")
    return Interval.of(row, measure)
