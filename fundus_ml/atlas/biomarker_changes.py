"""Biomarkers of modulated eyes less those of the same eyes unchanged, in SDs between people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fundus_ml.atlas.claims import edited, why_no_claim
from fundus_ml.atlas.registered import Pixels
from fundus_ml.biomarkers import BY_NAME, CATALOGUE, EyeSquare, measure_squares
from fundus_ml.errors import InputError
from fundus_ml.statistics.bootstrap import (
    MOST_DROPPED,
    Counts,
    Floats,
    Interval,
    percentile_interval,
    row_replicates,
)
from fundus_ml.statistics.false_discoveries import q_values
from fundus_ml.statistics.mean_maps import MapTest, difference_map, sign_flip_map

SAME_PARTS = frozenset(
    {
        "rim_pallor", "ring_red", "ring_green", "ring_blue", "ring_tessellation", "atrophy",
        "beta_zone", "foveal_darkness", "foveal_reflex", "macula_green_red", "macula_red_blue",
        "background_green_red", "background_red_blue", "hue", "background_darkness",
    }
)  # fmt: skip
"""Biomarkers of colour and pigment: both pictures are measured in the parts of the unchanged eye.
All others are lengths, areas and angles of the parts themselves, which are found on both pictures
anew."""

CHANGE_COLUMNS = (
    "biomarker", "label", "structure", "unit", "parts", "eyes", "people", "lost", "sd", "towards_0",
    "towards_1", "change", "change_low", "change_high", "change_p", "change_q", "difference",
    "difference_low", "difference_high", "p", "q", "edit", "logit_change", "logit_q", "claim",
    "reason",
)  # fmt: skip
"""Columns of a table of changes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredChanges:
    """Biomarkers of N eyes before and after; columns by the catalogue, NaN where one abstains.

    Attributes:
        before: ``(N, biomarkers)`` of the unchanged eyes.
        after: ``(N, biomarkers)`` of the same eyes modulated.
    """

    before: pd.DataFrame
    after: pd.DataFrame


def measure_changes(
    original: Pixels, modulated: Pixels, rows: pd.DataFrame, region_maps: NDArray[np.uint8]
) -> MeasuredChanges:
    """Measure every biomarker on both pictures of each eye.

    Colour and pigment (:data:`SAME_PARTS`) are measured where the parts of the unchanged eye lie;
    all others where ``find_regions`` finds them on either picture, inside the retina of the
    unchanged eye: a modulation may light what lies beyond the photograph's frame.

    Args:
        original: ``(N, S, S, 3)`` uint8 RGB.
        modulated: ``(N, S, S, 3)`` uint8 RGB, the same eyes.
        rows: N rows of the manifest, with ``REGION_COLUMNS``.
        region_maps: ``(N, S, S)`` uint8 maps of ``REGION_FLAGS``.

    Raises:
        InputError: Lengths or shapes differ.
    """
    if not original.shape == modulated.shape or not len(original) == len(rows) == len(region_maps):
        raise InputError(
            f"modulated: {modulated.shape} beside {original.shape}, {len(rows)} rows and "
            f"{len(region_maps)} maps; one of each is needed"
        )
    told = [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]
    before, after = (
        [EyeSquare(*each) for each in zip(pixels, region_maps, told, strict=True)]
        + [EyeSquare(*each) for each in zip(pixels, region_maps, strict=True)]
        for pixels in (original, modulated)
    )
    found = np.stack([values for values, _ in measure_squares([*before, *after])])
    names = [each.name for each in CATALOGUE]
    same = np.array([name in SAME_PARTS for name in names])
    placed, anew, placed_after, anew_after = found.reshape(4, len(rows), len(names))
    return MeasuredChanges(
        before=pd.DataFrame(np.where(same, placed, anew), columns=names),
        after=pd.DataFrame(np.where(same, placed_after, anew_after), columns=names),
    )


def compare_changes(
    measured: MeasuredChanges,
    target: ArrayLike,
    groups: ArrayLike,
    *,
    spreads: Mapping[str, float],
    associations: pd.DataFrame,
    edits: pd.DataFrame | None = None,
    permutations: int = 9999,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Set what a modulation does to each biomarker beside how the classes differ in it.

    Args:
        measured: Biomarkers of N eyes before and after.
        target: ``(N,)`` 0 or 1: the class each eye was pushed towards.
        groups: ``(N,)`` person of each eye.
        spreads: Standard deviation between people of each biomarker in unchanged eyes
            (:func:`between_people`).
        associations: Rows of :func:`~fundus_ml.biomarkers.associations.associate` on unchanged
            eyes.
        edits: Rows of :func:`~fundus_ml.atlas.single_edits.single_edits`, scored by an independent
            evaluator; None where there is none, and no claim then.
        permutations: Sign vectors, or permutations of labels.
        resamples: Bootstrap samples of people.
        seed: Seed of both draws.

    Returns:
        One row per biomarker with :data:`CHANGE_COLUMNS`. ``change`` is half of the mean change
        towards class 1 less that towards class 0 (what both share cancels), in ``sd``; where eyes
        were pushed to one class alone, the mean change with the sign of that class. ``lost`` counts
        eyes that could be measured before and not after. ``claim`` is true where change and
        difference agree in sign, each with q below 0.05, and an edit of the biomarker alone moves
        the evaluator the way the classes differ, with q below 0.05; else ``reason`` says which
        of these fails first.

    Raises:
        InputError: Lengths differ, a target is neither 0 nor 1, or no class has two people.
    """
    aims, people = np.asarray(target), np.asarray(groups)
    for name, given in {"target": aims, "groups": people}.items():
        if len(given) != len(measured.before):
            raise InputError(f"{name}: {len(given)} given for {len(measured.before)} eyes")
    if not np.isin(aims, (0, 1)).all():
        raise InputError("target: each must be 0 or 1")
    names = [str(name) for name in measured.before]
    sd = np.array([spreads.get(name, np.nan) for name in names])
    before, after = (each.to_numpy(np.float64) for each in (measured.before, measured.after))
    moved = np.divide(after - before, sd, where=sd > 0, out=np.full_like(before, np.nan))
    second = aims == 1
    judged = _several_people(second, people)
    halves, tested = _tested(
        moved[judged], second[judged], people[judged], permutations=permutations, seed=seed
    )
    towards = [_mean_change(moved, people, aims == label) for label in (0, 1)]
    real = {str(row["biomarker"]): row for row in associations.to_dict("records")}
    rows = []
    for at, name in enumerate(names):
        measurable = ~np.isnan(moved[:, at])
        known = measurable & judged
        interval = _interval(
            float(halves[at]),
            moved[known, at],
            second[known],
            people[known],
            resamples=resamples,
            seed=seed,
        )
        rows.append(
            {
                **{key: getattr(BY_NAME[name], key) for key in ("label", "structure", "unit")},
                "biomarker": name,
                "parts": "of the unchanged eye" if name in SAME_PARTS else "found on both",
                "eyes": int(measurable.sum()),
                "people": len(np.unique(people[measurable])),
                "lost": int((~np.isnan(before[:, at]) & np.isnan(after[:, at])).sum()),
                "sd": sd[at],
                "towards_0": towards[0][at],
                "towards_1": towards[1][at],
                **interval.columns("change"),
                "change_p": tested.pvalue_alone[at],
                **{
                    key: real[name][key] if name in real else np.nan
                    for key in ("difference", "difference_low", "difference_high", "p", "q")
                },
                **edited(name, edits),
            }
        )
    table = pd.DataFrame(rows)
    table["change_q"] = q_values(table["change_p"])
    table["reason"] = [
        why_no_claim(row, evaluated=edits is not None) for row in table.to_dict("records")
    ]
    return table.assign(claim=table["reason"] == "")[list(CHANGE_COLUMNS)]


def between_people(values: pd.DataFrame, groups: ArrayLike) -> dict[str, float]:
    """Take the standard deviation between people of each column; NaN below two people.

    Args:
        values: ``(n, biomarkers)``, NaN where one abstained.
        groups: ``(n,)`` person of each eye.
    """
    spread = values.groupby(np.asarray(groups)).mean().std(ddof=1)
    return {str(name): float(value) for name, value in spread.items()}


def _several_people(second: NDArray[np.bool_], people: NDArray[Any]) -> NDArray[np.bool_]:
    """Eyes pushed to a class to which those of two people or more were."""
    judged = np.zeros_like(second)
    for side in (second, ~second):
        if len(np.unique(people[side])) >= 2:  # noqa: PLR2004 (a spread between people)
            judged |= side
    if not judged.any():
        raise InputError("groups: fewer than two people were pushed to either class")
    return judged


def _tested(
    moved: Floats, second: NDArray[np.bool_], people: NDArray[Any], *, permutations: int, seed: int
) -> tuple[Floats, MapTest]:
    """Half the difference between the classes, or the change with the sign of the only one."""
    drawn = {"permutations": permutations, "seed": seed}
    if second.all() or not second.any():
        tested = sign_flip_map(moved if second.all() else -moved, people, **drawn)
        return tested.mean, tested
    tested = difference_map(moved, second, people, **drawn)
    return tested.mean / 2, tested


def _mean_change(moved: Floats, people: NDArray[Any], chosen: NDArray[np.bool_]) -> Floats:
    """Mean over the people among some eyes; NaN where there are none."""
    if not chosen.any():
        return np.full(moved.shape[1], np.nan)
    return sign_flip_map(moved[chosen], people[chosen], permutations=0).mean


def _interval(
    value: float,
    moved: Floats,
    second: NDArray[np.bool_],
    people: NDArray[Any],
    *,
    resamples: int,
    seed: int,
) -> Interval:
    """95 % of the bootstrap over people, each of whom counts once in a class.

    NaN where a class is too small for one.
    """
    nothing = Interval(value, np.nan, np.nan)
    if np.isnan(value):
        return nothing
    signed = np.where(second, moved, -moved)
    eyes = pd.Series(second).groupby([people, second]).transform("size").to_numpy()
    sides = np.stack([side / eyes for side in (second, ~second) if side.any()], axis=1)

    def change(counts: Counts) -> Floats:
        total = counts @ sides
        means = np.divide(
            counts @ (sides * signed[:, None]),
            total,
            where=total > 0,
            out=np.full(total.shape, np.nan),
        )
        return np.asarray(means.mean(axis=1))

    replicates = row_replicates(change, people, resamples=resamples, seed=seed)
    if not len(replicates) or np.isnan(replicates).mean() > MOST_DROPPED:
        return nothing
    return percentile_interval(value, replicates)
