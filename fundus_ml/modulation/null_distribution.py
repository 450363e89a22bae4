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
CHANCE_COLUMNS = (
    "origin",
    "eps",
    "part",
    "density",
    "networks",
    "chance",
    "chance_low",
    "chance_high",
    "p",
)


def shuffled_origins(networks: int) -> list[str]:
    """Name the origins of that many networks at chance: numbered where there are several."""
    if networks == 1:
        return [SHUFFLED_MODEL]
    return [f"{SHUFFLED_MODEL} {number}" for number in range(1, networks + 1)]


def is_shuffled(origin: str) -> bool:
    """Whether the pictures were made by a network at chance."""
    return origin.startswith(SHUFFLED_MODEL)


def chance_interval(found: ArrayLike) -> Interval:
    """Where one more network at chance would fall.

    Args:
        found: ``(K,)`` positive numbers, one of each network at chance, for example densities.

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


def chance_p(own: float, found: ArrayLike) -> float:
    """How rarely one more network at chance would lie as far out as ``own``, on either side.

    Args:
        own: Positive number of the network asked about.
        found: As in :func:`chance_interval`.

    Returns:
        In [0, 1]; below 0.05 exactly where ``own`` lies outside :func:`chance_interval`.

    Raises:
        InputError: As :func:`chance_interval`.
    """
    centre, spread, free = _of_logs(found)
    distance = abs(np.log(own) - centre)
    if distance == 0:
        return 1.0
    with np.errstate(divide="ignore"):
        return float(2 * stats.t.sf(np.divide(distance, spread), free))


def chance_table(density: pd.DataFrame, *, origins: Sequence[str] = (MODULATION,)) -> pd.DataFrame:
    """Hold the densities of a modulation against those of the networks at chance.

    Args:
        density: Rows of :func:`fundus_ml.modulation.localisation.density_by_part` with ``origin``.
        origins: Which of them are asked about.

    Returns:
        One row per origin asked about, budget and part: ``origin eps part density networks chance
        chance_low chance_high p``; none where fewer than two networks changed the part, or the
        origin did not.
    """
    changed = density[density["density"] > 0]
    at_chance = changed[changed["origin"].map(is_shuffled).astype(bool)]
    found = {key: rows["density"].to_numpy() for key, rows in at_chance.groupby(["eps", "part"])}
    rows = []
    for own in changed[changed["origin"].isin(origins)].to_dict("records"):
        networks = found.get((own["eps"], own["part"]), ())
        if len(networks) >= FEWEST_NETWORKS:
            chance = chance_interval(networks)
            rows.append(
                {name: own[name] for name in ("origin", "eps", "part", "density")}
                | {
                    "networks": len(networks),
                    "chance": chance.value,
                    "chance_low": chance.low,
                    "chance_high": chance.high,
                    "p": chance_p(own["density"], networks),
                }
            )
    return pd.DataFrame(rows, columns=list(CHANCE_COLUMNS))


def _of_logs(found: ArrayLike) -> tuple[float, float, int]:
    """Mean of the logarithms, what the next spreads about it by, degrees of freedom."""
    numbers = np.asarray(found, dtype=np.float64)
    if len(numbers) < FEWEST_NETWORKS:
        raise InputError(f"{len(numbers)} networks at chance: {FEWEST_NETWORKS} or more are needed")
    if not ((numbers > 0) & np.isfinite(numbers)).all():
        raise InputError(f"found={numbers.tolist()}: must be positive and finite")
    logs, networks = np.log(numbers), len(numbers)
    spread = float(logs.std(ddof=1) * np.sqrt((networks + 1) / networks))
    return float(logs.mean()), spread, networks - 1
