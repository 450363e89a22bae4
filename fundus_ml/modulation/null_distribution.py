"""Null distribution over networks: how far networks that learned nothing differ from one another.

An interval over eyes says what other people's eyes would have shown *this* network. A network that
learned shuffled labels looks somewhere too, the next one elsewhere. Where nothing is there to be
learned, the network that is asked about is one more of them, and its rank among them is the test.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.imaging.regions.shams import SHAM
from fundus_ml.modulation.control_table import MODULATION, SHUFFLED_MODEL
from fundus_ml.modulation.localisation import LEAST_SHARE
from fundus_ml.statistics.bootstrap import CONFIDENCE, Floats

FEWEST_NETWORKS = 2
"""Null models that differ from one another at all."""
ENOUGH_NETWORKS = 20
"""Null models from which on a p-value below 0.05 can be reached: 1/21."""
NULL_COLUMNS = (
    "condition",
    "eps",
    "part",
    "energy_share",
    "enrichment",
    "networks",
    "null",
    "null_low",
    "null_high",
    "over_sham",
    "null_over_sham",
    "null_over_sham_high",
    "z",
    "p",
    "p_max",
    "least_p",
    "finding",
)


def null_conditions(networks: int) -> list[str]:
    """Name the conditions of that many null models: numbered where there are several."""
    if networks == 1:
        return [SHUFFLED_MODEL]
    return [f"{SHUFFLED_MODEL} {number}" for number in range(1, networks + 1)]


def is_shuffled(condition: str) -> bool:
    """Whether the pictures were made by a null model."""
    return condition.startswith(SHUFFLED_MODEL)


def rank_pvalues(own: Floats, null_models: Floats) -> tuple[Floats, Floats]:
    """Rank one network among null models, in each cell and against their largest of all cells.

    Each cell is standardised by all ``K + 1`` networks together, so that where the network is one
    more null model, every rank is as likely as any other.

    Args:
        own: ``(C,)`` numbers, larger where more of the change lies there; NaN where not measured.
        null_models: ``(K, C)`` the same of the null models; one without a number in a cell counts
            as at least as large there, one without any as the largest of all.

    Returns:
        ``(C,)`` each, NaN where ``own`` is: ``(1 + k)/(K + 1)`` with ``k`` null models at least as
        large in that cell; and with ``k`` null models whose largest standardised number over all
        cells is at least that of ``own`` in the cell, which keeps the chance of any finding at its
        level where there is nothing to be found.

    Source:
        Phipson and Smyth 2010, doi:10.2202/1544-6115.1585 (the 1 of each count); Westfall and Young
        1993 and Nichols and Holmes 2002, doi:10.1002/hbm.1058 (largest statistic).
    """
    networks = len(null_models)
    together = np.concatenate([own[None], null_models])
    known = ~np.isnan(together)
    gap, spread = np.where(known, together - _mean(together), 0.0), _spread(together)
    standard = np.divide(gap, spread, where=spread > 0, out=np.zeros_like(gap))
    largest = np.where(known, standard, -np.inf).max(axis=1)[1:]
    largest[~known[1:].any(axis=1)] = np.inf
    as_large = (null_models >= own) | ~known[1:]
    over_all = largest[:, None] >= standard[0]
    missing = np.isnan(own)
    p, p_max = ((1 + found.sum(axis=0)) / (networks + 1) for found in (as_large, over_all))
    return np.where(missing, np.nan, p), np.where(missing, np.nan, p_max)


def null_table(
    enrichment: pd.DataFrame, *, conditions: Sequence[str] = (MODULATION,)
) -> pd.DataFrame:
    """Rank the energy shares of a modulation among those of the null models.

    The statistic is the logit of the mean share of energy, to which ``LEAST_SHARE`` is added on
    both sides, so that a null model without any change in a part counts as one. All parts and
    budgets are one family, all shams another: a sham that is found is a false finding.

    Args:
        enrichment: Rows of :func:`fundus_ml.modulation.localisation.enrichment_by_part` with
            ``condition``.
        conditions: Which of them are asked about.

    Returns:
        One row per condition asked about, budget and part or sham: ``condition eps part
        energy_share enrichment networks null null_low null_high over_sham null_over_sham
        null_over_sham_high z p p_max least_p finding``. ``null`` is the median enrichment of the
        null models, ``null_low`` and ``null_high`` their least and largest; ``null_over_sham`` and
        ``null_over_sham_high`` median and largest of what they have over their shams;
        ``z`` the distance of the logit from the null models' mean, in their standard deviations;
        ``p`` the rank of this part and budget alone, ``p_max`` against the
        largest over all of them (see :func:`rank_pvalues`), ``least_p`` the smallest either can be
        with so few networks, ``finding`` what that says. No rows with fewer than two null models.
    """
    null_names = [name for name in enrichment["condition"].unique() if is_shuffled(str(name))]
    tables = [
        _ranked(family, condition, null_names)
        for condition in conditions
        for family in (enrichment, _shams_as_parts(enrichment))
        if len(null_names) >= FEWEST_NETWORKS and (family["condition"] == condition).any()
    ]
    if not tables:
        return pd.DataFrame(columns=list(NULL_COLUMNS))
    return pd.concat(tables, ignore_index=True)[list(NULL_COLUMNS)]


def null_words(null: pd.DataFrame) -> str:
    """Say in one sentence what a modulation shows against the null models.

    Args:
        null: Rows of :func:`null_table` of one condition.

    Returns:
        Empty where there are none. With fewer than :data:`ENOUGH_NETWORKS` null models it only says
        that nothing can be shown.
    """
    if null.empty:
        return ""
    networks = int(null["networks"].iloc[0])
    if networks < ENOUGH_NETWORKS:
        return _too_few(networks)
    found = null[null["p_max"] < 1 - CONFIDENCE]
    if found.empty:
        return f"no part stands out from {networks} null models (least p {null['p_max'].min():.3f})"
    named = [
        f"{part} (p {rows['p_max'].min():.3f})" for part, rows in found.groupby("part", sort=False)
    ]
    return f"more of the change than in {networks} null models: {', '.join(named)}"


def _ranked(enrichment: pd.DataFrame, condition: str, null_names: Sequence[str]) -> pd.DataFrame:
    """Rows of :func:`null_table` of one condition and one family of parts."""
    own = enrichment[enrichment["condition"] == condition].set_index(["eps", "part"])
    nulls = enrichment[enrichment["condition"].isin(null_names)]
    found = {
        name: nulls.pivot_table(index=["eps", "part"], columns="condition", values=name)
        .reindex(index=own.index, columns=list(null_names))
        .to_numpy(float)
        .T
        for name in ("energy_share", "enrichment", "over_sham")
    }
    own_logit, logits = _logit(own["energy_share"].to_numpy(float)), _logit(found["energy_share"])
    p, p_max = rank_pvalues(own_logit, logits)
    networks = len(null_names)
    ends, shams = (_median_and_ends(found[name]) for name in ("enrichment", "over_sham"))
    gap, spread = own_logit - _mean(logits), _spread(logits)
    return (
        own[["energy_share", "enrichment", "over_sham"]]
        .reset_index()
        .assign(
            condition=condition,
            networks=networks,
            null=ends[0],
            null_low=ends[1],
            null_high=ends[2],
            null_over_sham=shams[0],
            null_over_sham_high=shams[2],
            z=np.divide(gap, spread, where=spread > 0, out=np.full(len(own), np.nan)),
            p=p,
            p_max=p_max,
            least_p=1 / (networks + 1),
            finding=[_finding(each, networks) for each in p_max],
        )
    )


def _shams_as_parts(enrichment: pd.DataFrame) -> pd.DataFrame:
    """Rows of the shams, with their names and shares in the columns of parts."""
    rows = enrichment[enrichment["sham"].notna()]
    return rows.assign(
        part=SHAM + rows["part"],
        energy_share=rows["sham_energy_share"],
        enrichment=rows["sham"],
        over_sham=np.nan,
    )


def _finding(p_max: float, networks: int) -> str:
    if networks < ENOUGH_NETWORKS:
        return _too_few(networks)
    if p_max < 1 - CONFIDENCE:
        return f"more of the change than in {networks} null models"
    return f"not told from {networks} null models"


def _too_few(networks: int) -> str:
    return (
        f"{networks} null models can reach no p below {1 / (networks + 1):.2g}: "
        f"nothing is shown against them; {ENOUGH_NETWORKS} are needed"
    )


def _logit(share: NDArray[np.floating]) -> Floats:
    return np.asarray(np.log(share + LEAST_SHARE) - np.log(1 - share + LEAST_SHARE), np.float64)


def _median_and_ends(found: Floats) -> Floats:
    """Median, least and largest of each column, ``(3, C)``; NaN where nobody has a number."""
    ends = np.full((3, found.shape[1]), np.nan)
    known = ~np.isnan(found).all(axis=0)
    ends[:, known] = np.nanquantile(found[:, known], (0.5, 0, 1), axis=0)
    return ends


def _mean(logits: Floats) -> Floats:
    known = ~np.isnan(logits)
    count = np.maximum(known.sum(axis=0), 1)
    return np.asarray(np.nansum(logits, axis=0) / count)


def _spread(logits: Floats) -> Floats:
    known = ~np.isnan(logits)
    gap = np.where(known, logits - _mean(logits), 0.0)
    return np.asarray(np.sqrt((gap**2).sum(axis=0) / np.maximum(known.sum(axis=0) - 1, 1)))
