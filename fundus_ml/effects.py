"""What a modulation did to the network, re-scored from the saved pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from fundus_ml.attacks import frozen
from fundus_ml.imaging.pictures import read_png, to_images
from fundus_ml.manifest import SEXES
from fundus_ml.modulation import ModulationOptions, targets_for
from fundus_ml.precision import autocast
from fundus_ml.statistics import clustered_mean


def effect_rows(
    model: nn.Module,
    pixels: NDArray[np.uint8],
    frame: pd.DataFrame,
    paths: Sequence[Sequence[Path]],
    options: ModulationOptions,
) -> pd.DataFrame:
    """Re-score every picture from its saved 8-bit file, and measure the change that was made.

    Args:
        model: The classifier that judges, in evaluation mode while it does.
        pixels: ``(N, H, W, 3)`` uint8 unchanged eyes.
        frame: Their manifest rows, in the same order.
        paths: ``[budget][eye]`` pictures, as :func:`write_pictures` returns them.
        options: What was asked for.

    Returns:
        One row per eye and budget: ``image_id patient_id split label target mode constraint eps
        rms attack_steps step_size prob_target_before prob_target success l2 linf picture``.
        ``success`` says that the network sees the target (P > 0.5); ``rms`` is the per-value
        root mean square of the change, in units of [0, 1].
    """
    labels = torch.tensor(frame["label"].to_numpy(), dtype=torch.float32)
    target = targets_for(options.mode, labels).numpy()
    before = _prob_target(model, pixels, target, options.batch_size)
    rows = []
    for eps, budget_paths in zip(options.eps, paths, strict=True):
        pictures = np.stack([read_png(path) for path in budget_paths])
        after = _prob_target(model, pictures, target, options.batch_size)
        delta = (pictures.astype(np.float32) - pixels) / 255
        l2 = np.sqrt((delta**2).sum(axis=(1, 2, 3)))
        rows.append(
            pd.DataFrame(
                {
                    "image_id": frame["image_id"].to_numpy(),
                    "patient_id": frame["patient_id"].to_numpy(),
                    "split": frame["split"].to_numpy(),
                    "label": labels.numpy().astype(int),
                    "target": [SEXES[int(t)] for t in target],
                    "mode": options.mode,
                    "constraint": options.constraint,
                    "eps": eps,
                    "attack_steps": options.attack_steps,
                    "step_size": options.step_for(eps),
                    "prob_target_before": before,
                    "prob_target": after,
                    "success": after > 0.5,  # noqa: PLR2004 (decision threshold)
                    "l2": l2,
                    "linf": np.abs(delta).max(axis=(1, 2, 3)),
                    "rms": l2 / np.sqrt(delta[0].size),
                    "picture": [str(path) for path in budget_paths],
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def effect_by_eps(effects: pd.DataFrame, *, resamples: int, seed: int) -> pd.DataFrame:
    """Average :func:`effect_rows` over eyes, with 95 % intervals clustered by person.

    Returns:
        One row per budget: ``eps eyes unchanged success success_low success_high prob_target
        prob_target_low prob_target_high prob_target_before l2 rms``; ``unchanged`` counts the eyes
        whose picture is the original's, because the gradient is zero or rounding took the change.
    """
    rows = []
    for eps, eyes in effects.groupby("eps"):
        people = eyes["patient_id"].to_numpy()
        row = {"eps": eps, "eyes": len(eyes), "unchanged": int((eyes["l2"] == 0).sum())}
        for measure in ("success", "prob_target"):
            interval = clustered_mean(
                eyes[measure].to_numpy(float), people, resamples=resamples, seed=seed
            )
            row |= {
                measure: interval.value,
                f"{measure}_low": interval.low,
                f"{measure}_high": interval.high,
            }
        row |= {name: eyes[name].mean() for name in ("prob_target_before", "l2", "rms")}
        rows.append(row)
    return pd.DataFrame(rows)


def _prob_target(
    model: nn.Module, pixels: NDArray[np.uint8], target: NDArray[np.float32], batch_size: int
) -> NDArray[np.float64]:
    """P(target) of ``(N, H, W, 3)`` uint8 eyes, in fp32."""
    device = next(model.parameters()).device
    with frozen(model), torch.inference_mode(), autocast("fp32", device):
        prob = torch.cat(
            [
                torch.sigmoid(model(to_images(pixels[i : i + batch_size], device))).cpu()
                for i in range(0, len(pixels), batch_size)
            ]
        ).numpy()
    return np.where(target == 1, prob, 1 - prob).astype(np.float64)
