"""How a classifier does in each part of the eyes: by source, age, side, camera, quality, health."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.data.ages import BANDS, UNKNOWN, age_bands
from fundus_ml.errors import InputError
from fundus_ml.evaluation.calibration import UNCALIBRATED, Calibration
from fundus_ml.evaluation.metrics import MEASURES, clustered_measures
from fundus_ml.evaluation.scores import flat
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.false_discoveries import q_values
from fundus_ml.statistics.placements import auroc_apart, logit_auroc

__all__ = ["ATTRIBUTES", "FEWEST_PEOPLE", "apart_words", "subgroup_scores", "subgroups_of"]

FEWEST_PEOPLE = 10
"""People of each class below which a subgroup has no measures."""
FEWEST_FOR_PERCENTILES = 50
"""People of each class below which a subgroup has its AUROC alone, by the interval of its logit:
percentile intervals of so few do not cover (``benchmarks/subgroup_coverage.py``)."""
APART_BELOW = 0.05
"""Rate of false discoveries below which a subgroup counts as apart from the rest."""
WHOLE = "all"
ATTRIBUTES = (WHOLE, "source", "age", "eye", "camera", "quality", "healthy")
UNMEASURED = Interval(float("nan"), float("nan"), float("nan"))
Rows: TypeAlias = NDArray[np.intp]
"""Positions of eyes in a table."""
THIRDS = ("lowest third", "middle third", "highest third")


def subgroup_scores(
    predicted: pd.DataFrame,
    manifest: pd.DataFrame,
    *,
    people: tuple[str, str],
    calibration: Calibration = UNCALIBRATED,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Measure every subgroup of the eyes by itself.

    Args:
        predicted: One row per eye: ``image_id person_group label logit``.
        manifest: Rows of these eyes, and maybe of others.
        people: What the people of either class are called, and the columns that count them.
        calibration: Temperature and threshold of the whole, fitted on other eyes.
        resamples: Bootstrap resamples of people, drawn within each subgroup.
        seed: Seed of the bootstrap.

    Returns:
        One row per attribute and group, the whole first: ``attribute group eyes people women men
        reason`` and each of
        :data:`fundus_ml.evaluation.metrics.MEASURES` per eye with its ``_low`` and ``_high``; below
        50 people of a class all but the AUROC are NaN. Then ``apart``, the AUROC of the group less
        that of all other eyes, ``apart_p``, its p-value, and ``apart_q``, adjusted for the number
        of groups (Benjamini and Hochberg); NaN where either side is too small. A group that cannot
        be measured has its counts, NaN for the measures, and the reason in ``reason``, which is
        empty elsewhere.

    Raises:
        InputError: An eye of ``predicted`` is not in ``manifest``.
    """
    eyes = joined(predicted, manifest)
    rows = []
    for attribute, groups in subgroups_of(eyes).items():
        for group, places in groups.items():
            part = eyes.iloc[places]
            count = _Count.of(part, people)
            row: dict[str, object] = {"attribute": attribute, "group": group}
            row |= {"eyes": len(part), "people": count.people}
            row |= {people[0]: count.first, people[1]: count.second, "reason": count.reason}
            found = dict.fromkeys(MEASURES, UNMEASURED)
            scored = (part["label"], part["logit"], part["person_group"])
            if not count.reason and (attribute == WHOLE or count.fewest >= FEWEST_FOR_PERCENTILES):
                found = clustered_measures(
                    *scored, calibration=calibration, resamples=resamples, seed=seed
                )
            if not count.reason and attribute != WHOLE:
                found["auroc"] = logit_auroc(*scored)
            row |= flat(found) | _apart(eyes, places, people)
            rows.append(row)
    table = pd.DataFrame(rows)
    once = _tested_once(table)
    q = q_values(table["apart_p"].where(once))
    return table.assign(apart_q=q.where(once, q.groupby(table["attribute"]).transform("max")))


def apart_words(subgroups: pd.DataFrame) -> str:
    """Say which subgroups are shown to differ from the rest, and among how many."""
    tested = subgroups[subgroups["apart_q"].notna() & _tested_once(subgroups)]
    if tested.empty:
        return "no subgroup could be set against the rest"
    told = tested[tested["apart_q"] < APART_BELOW]
    named = ", ".join(
        f"{row['attribute']} {row['group']} {row['apart']:+.3f} (q {row['apart_q']:.3f})"
        for row in told.to_dict("records")
    )
    return (
        f"AUROC of {len(told)} of {len(tested)} subgroups differs from the rest at q < "
        f"{APART_BELOW}" + (f": {named}" if named else "")
    )


def _tested_once(table: pd.DataFrame) -> pd.Series:
    """Leave out the second of two groups: the first against the rest is the same comparison."""
    groups = table.groupby("attribute", sort=False)
    pair = groups["group"].transform("size").eq(2)
    return ~(pair & groups.cumcount().eq(1))


def subgroups_of(
    eyes: pd.DataFrame,
) -> dict[str, dict[str, Rows]]:
    """Find the rows of every subgroup.

    Args:
        eyes: Columns ``source age eye camera quality healthy``.

    Returns:
        Per attribute and group, both in the order of a figure, positions in ``eyes``. Quality is
        cut into thirds of these eyes; equal qualities stay together.
    """
    quality = eyes["quality"].rank(pct=True)
    named: dict[str, tuple[pd.Series, tuple[str, ...]]] = {
        WHOLE: (pd.Series("all eyes", index=eyes.index), ()),
        "source": (eyes["source"], ()),
        "age": (age_bands(eyes["age"]), (*BANDS, UNKNOWN)),
        "eye": (eyes["eye"], ()),
        "camera": (eyes["camera"], ()),
        "quality": (
            pd.cut(quality, [0, 1 / 3, 2 / 3, 1], labels=list(THIRDS)).astype(object),
            (*THIRDS, UNKNOWN),
        ),
        "healthy": (eyes["healthy"].map({True: "healthy", False: "not healthy"}), ()),
    }
    assert tuple(named) == ATTRIBUTES
    return {attribute: _places(names, order) for attribute, (names, order) in named.items()}


@dataclass(frozen=True)
class _Count:
    people: int
    first: int
    second: int
    names: tuple[str, str]

    @classmethod
    def of(cls, eyes: pd.DataFrame, names: tuple[str, str]) -> "_Count":
        people = eyes.groupby("label")["person_group"].nunique()
        first, second = (int(people.get(label, 0)) for label in (0, 1))
        return cls(eyes["person_group"].nunique(), first, second, names)

    @property
    def fewest(self) -> int:
        """People of the rarer class."""
        return min(self.first, self.second)

    @property
    def reason(self) -> str:
        """Why no measure would be worth its name; empty where one is."""
        first, second = self.names
        if not (self.first and self.second):
            return f"one class only: no {first if self.second else second}"
        if self.fewest < FEWEST_PEOPLE:
            return f"too few: {first} {self.first}, {second} {self.second}"
        return ""


def _apart(eyes: pd.DataFrame, places: Rows, people: tuple[str, str]) -> dict[str, float]:
    """AUROC of some eyes less that of all others, and its p-value; NaN where one side is small."""
    inside = np.isin(np.arange(len(eyes)), places)
    if any(_Count.of(eyes[side], people).reason for side in (inside, ~inside)):
        return {"apart": np.nan, "apart_p": np.nan}
    found = auroc_apart(eyes["label"], eyes["logit"], inside, eyes["person_group"])
    return {"apart": found.difference, "apart_p": found.pvalue}


def joined(predicted: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Put what is known of each eye beside its score.

    Raises:
        InputError: An eye of ``predicted`` is not in ``manifest``.
    """
    known = manifest.set_index("image_id")[["source", "age", "eye", "camera", "quality", "healthy"]]
    absent = ~predicted["image_id"].isin(known.index)
    if absent.any():
        raise InputError(
            f"manifest: lacks {absent.sum()} of {len(predicted)} eyes, the first is "
            f"{predicted.loc[absent, 'image_id'].iloc[0]}"
        )
    return predicted.join(known, on="image_id").reset_index(drop=True)


def _places(names: pd.Series, order: tuple[str, ...]) -> dict[str, Rows]:
    known = names.fillna(UNKNOWN).astype(str).to_numpy(dtype=str)
    present = set(known.tolist())
    return {
        name: np.flatnonzero(known == name)
        for name in (order or sorted(present))
        if name in present
    }
