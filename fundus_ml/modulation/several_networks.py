"""What several networks of one training do to the same eyes: means over people and networks."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fundus_ml.errors import InputError
from fundus_ml.modulation.control_table import MODULATION
from fundus_ml.statistics.bootstrap import Interval, UndefinedResamplesError
from fundus_ml.statistics.crossed import Crossed, crossed_mean, crossed_ratio


def replicate_conditions(networks: int) -> list[str]:
    """Name the conditions of so many networks beside the model: ``modulation 2``, …."""
    return [f"{MODULATION} {number}" for number in range(2, networks + 2)]


def is_replicate(condition: str) -> bool:
    """Whether the pictures were made by the model or by another network of its training."""
    return condition.partition(" ")[0] == MODULATION


def over_networks(
    effects: Mapping[str, pd.DataFrame],
    shares: Mapping[str, pd.DataFrame],
    eyes: pd.DataFrame,
    *,
    resamples: int,
    seed: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Success and enrichment over people and networks, of the conditions that are replicates.

    Args:
        effects: By condition, rows of :func:`.effects.effect_rows`.
        shares: By condition, rows of :func:`.localisation.region_shares`.
        eyes: Manifest rows of the eyes.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        :func:`success_over_networks` and :func:`enrichment_over_networks`; both empty where there
        is one network.
    """
    networks = [condition for condition in effects if is_replicate(condition)]
    if len(networks) < 2:  # noqa: PLR2004 (several)
        return pd.DataFrame(), pd.DataFrame()
    said, gone = (
        pd.concat([found[condition].assign(network=condition) for condition in networks])
        for found in (effects, shares)
    )
    return (
        success_over_networks(said, resamples=resamples, seed=seed),
        enrichment_over_networks(gone, eyes, resamples=resamples, seed=seed)
        if len(gone)
        else pd.DataFrame(),
    )


def enrichment_over_networks(
    shares: pd.DataFrame, eyes: pd.DataFrame, *, resamples: int, seed: int
) -> pd.DataFrame:
    """Pool region shares over eyes, and the enrichments over networks.

    Args:
        shares: Rows of :func:`.localisation.region_shares`, or of ``tracking.results``, of several
            networks, with ``network``.
        eyes: Manifest rows, which say whose eye each ``image_id`` is.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        One row per budget and part that every network changed: ``eps part networks eyes`` and, as
        :meth:`fundus_ml.statistics.crossed.Crossed.columns` names them, the geometric mean of the
        networks' ``enrichment``, its interval over people and networks (``enrichment_low``,
        ``_high``) and over people alone (``enrichment_people_low``, ``_high``); NaN for both where
        too few people have energy in the part.

    Raises:
        InputError: Fewer than two networks, or an eye that is not in ``eyes``.
    """
    rows: list[dict[str, object]] = []
    for (eps, part), below in shares.groupby(["eps", "part"], sort=False):
        energy = _wide(below, "energy_share", shares)
        area = _wide(below, "area_share", shares).where(energy.notna())
        shown = area.gt(0)
        # Resamples of eyes that all lack the part would have no ratio.
        seen = shown.any()
        energy, area = energy.where(shown).loc[:, seen], area.where(shown).loc[:, seen]
        if not (energy.sum(axis=1) > 0).all():
            continue
        people = _people(energy.columns, eyes)
        counts = {"networks": len(energy), "eyes": int(seen.sum())}
        columns = _pooled_over_networks(energy, area, people, resamples=resamples, seed=seed)
        rows.append({"eps": eps, "part": part} | counts | columns)
    return pd.DataFrame(rows)


def _pooled_over_networks(
    energy: pd.DataFrame, area: pd.DataFrame, people: "pd.Series[str]", *, resamples: int, seed: int
) -> dict[str, float]:
    try:
        found = crossed_ratio(energy, area, people, resamples=resamples, seed=seed)
    except UndefinedResamplesError:
        each = (energy.sum(axis=1) / area.sum(axis=1)).to_numpy(float)
        no_interval = Interval(float(np.exp(np.log(each).mean())), np.nan, np.nan)
        between = float(np.log(each).std(ddof=1))
        found = Crossed(each, no_interval, no_interval, between, np.nan)
    return found.columns("enrichment")


def success_over_networks(
    effects: pd.DataFrame, *, resamples: int, seed: int, measure: str = "success"
) -> pd.DataFrame:
    """Mean over eyes and networks of what their modulations reach.

    Args:
        effects: Rows of :func:`.effects.effect_rows` of several networks, with ``network``.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.
        measure: Column: ``success``, ``prob_target``, ``transferred``.

    Returns:
        One row per budget: ``eps networks eyes`` and the columns of ``measure``, as in
        :func:`enrichment_over_networks`.

    Raises:
        InputError: Fewer than two networks.
    """
    people = effects.drop_duplicates("image_id")
    rows: list[dict[str, object]] = []
    for eps, below in effects.groupby("eps"):
        values = _wide(below.assign(**{measure: below[measure].astype(float)}), measure, effects)
        found = crossed_mean(
            values, _people(values.columns, people), resamples=resamples, seed=seed
        )
        counts = {"networks": len(values), "eyes": values.shape[1]}
        rows.append({"eps": eps, **counts, **found.columns(measure)})
    return pd.DataFrame(rows)


def _wide(rows: pd.DataFrame, column: str, whole: pd.DataFrame) -> pd.DataFrame:
    """A row per network of ``whole`` and a column per eye; NaN where a network has no value."""
    networks = whole["network"].unique()
    if len(networks) < 2:  # noqa: PLR2004 (several)
        raise InputError(f"networks: {len(networks)}; two or more are needed")
    # A pivot table would leave out an eye that no network changed.
    wide = rows.pivot(index="network", columns="image_id", values=column)  # noqa: PD010
    return wide.reindex(networks)


def _people(image_ids: "pd.Index[str]", eyes: pd.DataFrame) -> "pd.Series[str]":
    people = image_ids.to_series().map(eyes.set_index("image_id")["person_group"])
    if people.isna().any():
        raise InputError(f"eyes: lack {people.isna().sum()} of the {len(people)} that were changed")
    return people
