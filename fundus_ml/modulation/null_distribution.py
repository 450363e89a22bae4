"""Chance over networks: how far do networks that learned nothing differ from one another?

An interval over eyes says what other people's eyes would have shown *this* network. A network that
learned shuffled labels looks somewhere too, the next one elsewhere, so that one of them is no
chance level. Several are: where one more such network would fall is their prediction interval.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from fundus_ml.errors import InputError
from fundus_ml.modulation.control_table import MODULATION, SHUFFLED_MODEL
from fundus_ml.statistics.bootstrap import CONFIDENCE, Interval

FEWEST_NETWORKS = 2
"""That differ from one another at all."""
NULL_COLUMNS = (
    "condition",
    "eps",
    "part",
    "enrichment",
    "networks",
    "null",
    "null_low",
    "null_high",
    "p",
)


def null_conditions(networks: int) -> list[str]:
    """Name the conditions of that many null models: numbered where there are several."""
    if networks == 1:
        return [SHUFFLED_MODEL]
    return [f"{SHUFFLED_MODEL} {number}" for number in range(1, networks + 1)]


def is_shuffled(condition: str) -> bool:
    """Whether the pictures were made by a null model."""
    return condition.startswith(SHUFFLED_MODEL)


def null_interval(found: ArrayLike) -> Interval:
    """Where one more null model would fall.

    Args:
        found: ``(K,)`` positive numbers, one of each null model, for example enrichments.

    Returns:
        Their geometric mean with the 95 % prediction interval of the next, whose logarithm is
        taken to be normal, as theirs are.

    Raises:
        InputError: Fewer than two numbers, or one that is not positive and finite.

    Source:
        Crawford and Howell 1998, doi:10.1076/clin.12.4.482.7241: one case against few controls, by
        a t of K - 1 degrees of freedom whose variance is (K + 1)/K of theirs.
    """
    centre, spread, free = _of_logs(found)
    reach = stats.t.ppf((1 + CONFIDENCE) / 2, free) * spread
    return Interval(
        float(np.exp(centre)), float(np.exp(centre - reach)), float(np.exp(centre + reach))
    )


def null_p(own: float, found: ArrayLike) -> float:
    """How rarely one more null model would lie as far out as ``own``, on either side.

    Args:
        own: Positive number of the network asked about.
        found: As in :func:`null_interval`.

    Returns:
        In [0, 1]; below 0.05 exactly where ``own`` lies outside :func:`null_interval`.

    Raises:
        InputError: As :func:`null_interval`.
    """
    centre, spread, free = _of_logs(found)
    distance = abs(np.log(own) - centre)
    if distance == 0:
        return 1.0
    with np.errstate(divide="ignore"):
        return float(2 * stats.t.sf(np.divide(distance, spread), free))


def null_table(
    enrichment: pd.DataFrame, *, conditions: Sequence[str] = (MODULATION,)
) -> pd.DataFrame:
    """Hold the enrichments of a modulation against those of the null models.

    Args:
        enrichment: Rows of :func:`fundus_ml.modulation.localisation.enrichment_by_part` with
            ``condition``.
        conditions: Which of them are asked about.

    Returns:
        One row per condition asked about, budget and part: ``origin eps part density networks
        chance null_low null_high p``; none where fewer than two networks changed the part, or the
        condition did not.
    """
    changed = enrichment[enrichment["enrichment"] > 0]
    null_models = changed[changed["condition"].map(is_shuffled).astype(bool)]
    found = {
        key: rows["enrichment"].to_numpy() for key, rows in null_models.groupby(["eps", "part"])
    }
    rows = []
    for own in changed[changed["condition"].isin(conditions)].to_dict("records"):
        networks = found.get((own["eps"], own["part"]), ())
        if len(networks) >= FEWEST_NETWORKS:
            null = null_interval(networks)
            rows.append(
                {name: own[name] for name in ("condition", "eps", "part", "enrichment")}
                | {
                    "networks": len(networks),
                    "null": null.value,
                    "null_low": null.low,
                    "null_high": null.high,
                    "p": null_p(own["enrichment"], networks),
                }
            )
    return pd.DataFrame(rows, columns=list(NULL_COLUMNS))


def _of_logs(found: ArrayLike) -> tuple[float, float, int]:
    """Mean of the logarithms, what the next spreads about it by, degrees of freedom."""
    numbers = np.asarray(found, dtype=np.float64)
    if len(numbers) < FEWEST_NETWORKS:
        raise InputError(f"{len(numbers)} null models: {FEWEST_NETWORKS} or more are needed")
    if not ((numbers > 0) & np.isfinite(numbers)).all():
        raise InputError(f"found={numbers.tolist()}: must be positive and finite")
    logs, networks = np.log(numbers), len(numbers)
    spread = float(logs.std(ddof=1) * np.sqrt((networks + 1) / networks))
    return float(logs.mean()), spread, networks - 1
