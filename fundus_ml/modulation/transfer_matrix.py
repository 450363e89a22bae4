"""What every network sees in the pictures that every other network made."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from fundus_ml.modulation.effects import SEEN, prob_of_target
from fundus_ml.statistics.clustered import clustered_mean

INDEPENDENT = "independent evaluator"
"""Name, among those that evaluate, of the one that made no pictures."""
ROW_COLUMNS = (
    "condition",
    "evaluator",
    "image_id",
    "person_group",
    "eps",
    "prob_target_before",
    "prob_target",
    "success",
)


def transfer_rows(
    networks: Mapping[str, nn.Module],
    pictures: Mapping[str, NDArray[np.uint8]],
    effects: Mapping[str, pd.DataFrame],
    target: NDArray[np.float32],
    *,
    batch_size: int,
    on_step: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Ask every network what it sees in the pictures of every other.

    What each network sees in its own pictures and in the unchanged eyes, and what the independent
    evaluator sees in all of them, stands in ``effects`` and is not computed again.

    Args:
        networks: By condition, those that made pictures.
        pictures: By condition, ``(E, N, H, W, 3)`` uint8: what was saved and scored.
        effects: By condition, rows of :func:`.effects.effect_rows`, with the independent
            evaluator's columns where there is one.
        target: ``(N,)`` float32, 0 or 1: class each eye was pushed towards.
        batch_size: Eyes per pass.
        on_step: Called with (passes over the pictures of one condition, such passes in all).

    Returns:
        One row per network that made pictures, network that evaluates, budget and eye, with
        :data:`ROW_COLUMNS`; none where there is one network and no independent evaluator.
    """
    frames, done, ordered = [], 0, len(networks) * (len(networks) - 1)
    for condition in networks:
        own = effects[condition]
        key = own[["image_id", "person_group", "eps"]].assign(condition=condition)
        for evaluator, network in networks.items():
            before = effects[evaluator]["prob_target_before"].to_numpy()
            if evaluator == condition:
                after = own["prob_target"].to_numpy()
            else:
                seen = [
                    prob_of_target(network, slab, target, batch_size=batch_size)
                    for slab in pictures[condition]
                ]
                after = np.concatenate(seen)
                done += 1
                if on_step is not None:
                    on_step(done, ordered)
            frames.append(_rows(key, evaluator, before, after))
        if "evaluator_prob_target" in own:
            before, after = (
                own[f"evaluator_prob_{name}"].to_numpy() for name in ("before", "target")
            )
            frames.append(_rows(key, INDEPENDENT, before, after))
    if len(frames) == 1:
        return pd.DataFrame(columns=list(ROW_COLUMNS))
    return pd.concat(frames, ignore_index=True)[list(ROW_COLUMNS)]


def transfer_matrix(rows: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Average :func:`transfer_rows` over eyes, with 95 % intervals clustered by person.

    Args:
        rows: Rows of :func:`transfer_rows`.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        One row per network that made pictures, network that evaluates and budget: ``condition
        evaluator eps eyes``; ``success``, the share of eyes that the evaluating network sees as the
        target, and the mean ``prob_target``, each with ``_low`` and ``_high``; ``success_before``
        and ``prob_target_before``, the same of the unchanged eyes. Empty as ``rows``.
    """
    if rows.empty:
        return pd.DataFrame()
    cells: list[dict[str, object]] = []
    for (condition, evaluator, eps), eyes in rows.groupby(
        ["condition", "evaluator", "eps"], sort=False
    ):
        before = eyes["prob_target_before"]
        cell: dict[str, object] = {
            "condition": condition,
            "evaluator": evaluator,
            "eps": eps,
            "eyes": len(eyes),
        }
        for measure in ("success", "prob_target"):
            cell |= clustered_mean(
                eyes[measure].to_numpy(float),
                eyes["person_group"].to_numpy(),
                resamples=resamples,
                seed=seed,
            ).columns(measure)
        cell |= {"success_before": (before > SEEN).mean(), "prob_target_before": before.mean()}
        cells.append(cell)
    return pd.DataFrame(cells)


def _rows(
    key: pd.DataFrame,
    evaluator: str,
    before: NDArray[np.float64],
    after: NDArray[np.float64],
) -> pd.DataFrame:
    return key.assign(
        evaluator=evaluator,
        prob_target_before=before,
        prob_target=after,
        success=after > SEEN,
    )
