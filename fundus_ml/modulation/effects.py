"""What a modulation did to a network, scored again from the saved pictures."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from fundus_ml.attacks.search import frozen
from fundus_ml.data.manifest import SEXES
from fundus_ml.imaging.pictures import to_images
from fundus_ml.models.precision import autocast
from fundus_ml.modulation.options import ModulationOptions
from fundus_ml.statistics.bootstrap import Interval
from fundus_ml.statistics.clustered import clustered_mean

SEEN = 0.5
"""P(target) above which a network sees the target."""


def effect_rows(
    model: nn.Module,
    pixels: NDArray[np.uint8],
    pictures: NDArray[np.uint8],
    *,
    frame: pd.DataFrame,
    target: NDArray[np.float32],
    options: ModulationOptions,
    classes: tuple[str, str] = SEXES,
) -> pd.DataFrame:
    """Score every picture again from its 8 bits, and measure the change that was made.

    Args:
        model: The classifier that judges, in evaluation mode while it does.
        pixels: ``(N, H, W, 3)`` uint8 unchanged eyes.
        pictures: ``(E, N, H, W, 3)`` uint8, as read from the saved files.
        frame: Manifest rows of the eyes, in the same order.
        target: ``(N,)`` class each was pushed towards.
        options: What was asked for.
        classes: Names of label 0 and 1.

    Returns:
        One row per eye and budget: ``image_id patient_id person_group split label target mode
        constraint eps attack_steps step_size prob_target_before prob_target success l2 linf rms``.
        ``success`` says that the network sees the target (P > 0.5); ``rms`` is the per-value
        root mean square of the change, in units of [0, 1].
    """
    before = prob_of_target(model, pixels, target, batch_size=options.batch_size)
    rows = []
    for eps, slab in zip(options.eps, pictures, strict=True):
        after = prob_of_target(model, slab, target, batch_size=options.batch_size)
        l2, linf = change_sizes(pixels, slab)
        rows.append(
            pd.DataFrame(
                {
                    "image_id": frame["image_id"].to_numpy(),
                    "patient_id": frame["patient_id"].to_numpy(),
                    "person_group": frame["person_group"].to_numpy(),
                    "split": frame["split"].to_numpy(),
                    "label": frame["label"].to_numpy().astype(int),
                    "target": [classes[int(t)] for t in target],
                    "mode": options.told_mode,
                    "constraint": options.constraint,
                    "eps": eps,
                    "attack_steps": options.steps,
                    "step_size": options.step_for(eps),
                    "prob_target_before": before,
                    "prob_target": after,
                    "success": after > SEEN,
                    "l2": l2,
                    "linf": linf,
                    "rms": l2 / np.sqrt(pixels[0].size),
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def evaluated(
    independent: nn.Module,
    pixels: NDArray[np.uint8],
    pictures: NDArray[np.uint8],
    target: NDArray[np.float32],
    *,
    batch_size: int,
) -> pd.DataFrame:
    """Ask another network what it sees in the same pictures.

    Returns:
        ``evaluator_prob_before evaluator_prob_target transferred``, one row per eye and budget, in
        the order of :func:`effect_rows`. ``transferred`` says that the independent evaluator sees
        the target.
    """
    before = prob_of_target(independent, pixels, target, batch_size=batch_size)
    rows = []
    for slab in pictures:
        after = prob_of_target(independent, slab, target, batch_size=batch_size)
        rows.append(
            pd.DataFrame(
                {
                    "evaluator_prob_before": before,
                    "evaluator_prob_target": after,
                    "transferred": after > SEEN,
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def effect_by_eps(effects: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Average :func:`effect_rows` over eyes, with 95 % intervals clustered by person.

    Returns:
        One row per budget: ``eps eyes unchanged success success_low success_high prob_target
        prob_target_low prob_target_high prob_target_before l2 rms``, and ``transferred`` and
        ``evaluator_prob_target`` with theirs where an independent evaluator was asked;
        ``unchanged`` counts the eyes whose picture is the original's, because the gradient is zero
        or rounding took the change.
    """
    measures = ["success", "prob_target"]
    measures += [name for name in ("transferred", "evaluator_prob_target") if name in effects]
    rows = []
    for eps, eyes in effects.groupby("eps"):
        people = eyes["person_group"].to_numpy()
        row = {"eps": eps, "eyes": len(eyes), "unchanged": int((eyes["l2"] == 0).sum())}
        for measure in measures:
            interval = clustered_mean(
                eyes[measure].to_numpy(float), people, resamples=resamples, seed=seed
            )
            row |= interval.columns(measure)
        row |= {name: eyes[name].mean() for name in ("prob_target_before", "l2", "rms")}
        rows.append(row)
    return pd.DataFrame(rows)


def area_under_path(
    effects: pd.DataFrame, *, column: str = "prob_target", resamples: int, seed: int
) -> Interval:
    """Mean of P(target) over the budgets from 0 to the largest, by trapezia, over the eyes.

    Args:
        effects: Rows of :func:`effect_rows`.
        column: ``prob_target``, or ``evaluator_prob_target``.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        In [0, 1]: 0.5 where the eyes lie between the classes and nothing moves them.
    """
    areas = areas_under_path(effects, column=column)
    people = effects.drop_duplicates("image_id").set_index("image_id")["person_group"]
    return clustered_mean(
        areas.to_numpy(), people.loc[areas.index].to_numpy(), resamples=resamples, seed=seed
    )


def areas_under_path(effects: pd.DataFrame, *, column: str = "prob_target") -> "pd.Series[float]":
    """Mean of P(target) over the budgets of each eye, by ``image_id``.

    Arguments as in :func:`area_under_path`.
    """
    before = {
        "prob_target": "prob_target_before",
        "evaluator_prob_target": "evaluator_prob_before",
    }[column]
    areas = {}
    for image_id, eye in effects.sort_values("eps").groupby("image_id", sort=False):
        eps = np.concatenate([[0.0], eye["eps"].to_numpy()])
        prob = np.concatenate([eye[before].to_numpy()[:1], eye[column].to_numpy()])
        areas[image_id] = np.trapezoid(prob, eps) / eps[-1]
    return pd.Series(areas, dtype=float)


def change_sizes(
    pixels: NDArray[np.uint8], pictures: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Measure ``(N, H, W, 3)`` changes of pixels in [0, 1]: their L2 and Linf sizes, ``(N,)``."""
    l2, linf = np.empty(len(pixels)), np.empty(len(pixels), np.float32)
    for place, (eye, picture) in enumerate(zip(pixels, pictures, strict=True)):
        delta = (picture.astype(np.float32) - eye) / 255
        l2[place] = np.sqrt(np.square(delta).sum(dtype=np.float64))
        linf[place] = np.abs(delta).max()
    return l2, linf


def prob_of_target(
    model: nn.Module,
    pixels: NDArray[np.uint8],
    target: NDArray[np.float32],
    *,
    batch_size: int,
) -> NDArray[np.float64]:
    """P(target) of ``(N, H, W, 3)`` uint8 eyes, ``(N,)``, in fp32."""
    logit = logits_of(model, pixels, batch_size=batch_size)
    prob = torch.sigmoid(torch.from_numpy(logit)).numpy()
    return np.where(target == 1, prob, 1 - prob).astype(np.float64)


def logits_of(
    model: nn.Module, pixels: NDArray[np.uint8], *, batch_size: int
) -> NDArray[np.float64]:
    """Logits of ``(N, H, W, 3)`` uint8 eyes, ``(N,)``, in fp32."""
    device = next(model.parameters()).device
    with frozen(model), torch.inference_mode(), autocast("fp32", device):
        parts = [
            model(to_images(pixels[first : first + batch_size], device)).cpu()
            for first in range(0, len(pixels), batch_size)
        ]
    return torch.cat(parts).double().numpy()
