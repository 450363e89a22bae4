"""Methods beside one another: means over people, and every method minus every other."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from fundus_ml.errors import InputError, listed
from fundus_ml.faithfulness.scores import SCORES
from fundus_ml.statistics.bootstrap import Floats
from fundus_ml.statistics.clustered import clustered_mean
from fundus_ml.statistics.pairwise import PERMUTATIONS, Measure, pairwise_differences

TABLE_COLUMNS = (
    "method",
    "score",
    "part",
    "better",
    "eyes",
    "abstained",
    "people",
    "value",
    "value_low",
    "value_high",
)


def method_table(
    scores: Mapping[str, pd.DataFrame], eyes: pd.DataFrame, *, resamples: int, seed: int
) -> pd.DataFrame:
    """Average the scores of every method, with 95 % intervals clustered by person.

    Args:
        scores: By method, rows of :func:`fundus_ml.faithfulness.scoring.score_maps`.
        eyes: Manifest rows of the N images, in their order: ``person_group``.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        One row per method, score and part: ``method score part better eyes abstained people value
        value_low value_high``: the mean over the ``eyes`` that have the score; ``abstained``
        counts those whose score is NaN. All of them abstained: the value is NaN.

    Raises:
        InputError: ``scores`` is empty, names an unknown score, or its rows are not those of
            ``eyes``.
    """
    people = eyes["person_group"].to_numpy()
    rows: list[dict[str, object]] = []
    for method, by_key in _by_key(scores, len(eyes)).items():
        for (score, part), values in by_key.items():
            known = ~np.isnan(values)
            row = {
                "method": method,
                "score": score,
                "part": part,
                "better": SCORES[score].better,
                "eyes": int(known.sum()),
                "abstained": int((~known).sum()),
                "people": len(np.unique(people[known])),
            }
            if known.any():
                row |= clustered_mean(
                    values[known], people[known], resamples=resamples, seed=seed
                ).columns("value")
            rows.append(row)
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS))


def method_differences(
    scores: Mapping[str, pd.DataFrame],
    eyes: pd.DataFrame,
    *,
    controls: Collection[str] = (),
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> pd.DataFrame:
    """Subtract the methods from one another, eye by eye, and test the means over people.

    Args:
        scores: By method, rows of :func:`fundus_ml.faithfulness.scoring.score_maps`.
        eyes: Manifest rows of the N images, in their order: ``person_group``.
        controls: Methods that are controls (random maps, edges …): compared with every method and
            not with one another.
        permutations: Sign vectors drawn.
        seed: Seed of the draw.

    Returns:
        One row per pair of methods, score and part that both have: ``method other score part better
        eyes abstained people difference low high p q``. ``difference`` is the mean of ``method``
        minus ``other`` over the ``eyes`` that have both scores, ``abstained`` counts those that
        lack one; ``p`` flips signs person by person, ``q`` is the false discovery rate within the
        score. NaN where no eye has both.

    Raises:
        InputError: As :func:`method_table`, or a control is no method.

    Source:
        :func:`fundus_ml.statistics.pairwise.pairwise_differences`.
    """
    if unknown := sorted(set(controls) - set(scores)):
        raise InputError(f"controls={unknown[0]}: no such method; there are {listed([*scores])}")
    found = pairwise_differences(
        _by_key(scores, len(eyes)),
        eyes["person_group"],
        apart=controls,
        permutations=permutations,
        seed=seed,
    ).rename(columns={"condition": "method", "measure": "score"})
    better = found["score"].map(lambda score: SCORES[score].better)
    found.insert([*found].index("eyes"), "better", better)
    found.insert([*found].index("people"), "abstained", len(eyes) - found["eyes"])
    return found


def _by_key(scores: Mapping[str, pd.DataFrame], count: int) -> dict[str, dict[Measure, Floats]]:
    """Give each method one value per image, ``(N,)``, for every score and part."""
    if not scores:
        raise InputError("scores: no method")
    found: dict[str, dict[Measure, Floats]] = {}
    for method, rows in scores.items():
        if unknown := sorted(set(rows["score"]) - set(SCORES)):
            raise InputError(f"score={unknown[0]}: allowed: {', '.join(SCORES)}")
        found[method] = {}
        for (score, part), own in rows.groupby(["score", "part"], sort=False):
            values = own.set_index("row")["value"].sort_index()
            if values.index.tolist() != list(range(count)):
                raise InputError(
                    f"scores of {method}: {score} {part}".rstrip()
                    + f": must have each row from 0 to {count - 1} once, has {len(values)} rows"
                )
            found[method][str(score), str(part)] = values.to_numpy(np.float64)
    return found
