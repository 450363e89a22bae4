"""Perceptual modulation: push real eyes towards a sex inside stated budgets, and measure it."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fundus_ml.attack_engines import attack_by, check_engine
from fundus_ml.attacks import StepSize, ThreatModel, step_length
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images, to_uint8, write_png
from fundus_ml.manifest import SEXES
from fundus_ml.precision import check_precision

MODES = ("flip", "female", "male")


@dataclass(frozen=True, kw_only=True)
class ModulationOptions:
    """Where to, how far and in how many steps."""

    mode: str = "flip"
    """flip (each eye towards the other sex), female or male (eyes of the other sex towards it)."""
    constraint: str = "l2"
    """Ball the change stays in: l2 or linf."""
    eps: tuple[float, ...] = (1.0,)
    """Budgets, each swept from the unchanged eye; pixels lie in [0, 1]."""
    attack_steps: int = 20
    """Gradient steps per budget."""
    step_size: StepSize = "auto"
    """Length of one step; auto is 2.5·eps/attack_steps."""
    batch_size: int = 16
    """Eyes per pass."""
    precision: str = "auto"
    """Of the passes that make the pictures (auto, fp32, bf16); scores are always fp32."""
    attack_engine: str = "native"
    """Who makes the pictures: native, or robustness, the library."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if self.mode not in MODES:
            raise InputError(f"mode={self.mode}: allowed: {', '.join(MODES)}")
        if self.batch_size < 1:
            raise InputError(f"batch_size={self.batch_size}: must be at least 1")
        written = {f"{eps:g}" for eps in self.eps}
        if not self.eps or 0 in self.eps or len(written) < len(self.eps):
            raise InputError(f"eps={self.eps}: budgets above 0, each once to six digits")
        check_precision(self.precision)
        check_engine(self.attack_engine)
        for eps in self.eps:
            ThreatModel(constraint=self.constraint, eps=eps)
            self.step_for(eps)

    def step_for(self, eps: float) -> float:
        """Length of one step at budget ``eps``."""
        return step_length(self.step_size, eps=eps, attack_steps=self.attack_steps)


def choose_eyes(frame: pd.DataFrame, *, images: int, mode: str, seed: int) -> NDArray[np.intp]:
    """Choose one eye per person, the sexes balanced, in an order that depends on ``seed`` alone.

    Args:
        frame: Manifest rows of one split.
        images: How many eyes.
        mode: ``flip`` takes both sexes; ``female`` and ``male`` take the other sex's eyes.
        seed: Of the draw.

    Returns:
        Row positions in ``frame``, ascending.

    Raises:
        InputError: The split has too few people for ``images``, or a number or the mode is not
            allowed.
    """
    if mode not in MODES:
        raise InputError(f"mode={mode}: allowed: {', '.join(MODES)}")
    for name, value, least in (("images", images, 1), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{name}={value}: must be at least {least}")
    offered = SEXES if mode == "flip" else tuple(sex for sex in SEXES if sex != mode)
    shuffled = frame.reset_index(drop=True).sample(frac=1, random_state=seed)
    people = shuffled.drop_duplicates("person_group")
    chosen: list[int] = []
    for place, sex in enumerate(offered):
        share = images // len(offered) + (place < images % len(offered))
        candidates = people.index[people["sex"] == sex]
        if len(candidates) < share:
            raise InputError(
                f"images={images}: needs {share} {sex} people in this split, "
                f"which has {len(candidates)}"
            )
        chosen += candidates[:share].tolist()
    return np.sort(np.asarray(chosen, dtype=np.intp))


def targets_for(mode: str, labels: Tensor) -> Tensor:
    """The class each eye is pushed towards: ``(N,)`` float32 from ``(N,)`` labels."""
    if mode == "flip":
        return 1 - labels
    return torch.full_like(labels, float(SEXES.index(mode)))


def modulate(
    model: nn.Module,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.float32],
    options: ModulationOptions,
    *,
    on_step: Callable[[int, int], None] | None = None,
) -> NDArray[np.uint8]:
    """Push each eye towards its target inside each budget.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        pixels: ``(N, H, W, 3)`` uint8 eyes.
        labels: ``(N,)`` float32, 0 female, 1 male.
        options: Mode, budgets, steps.
        on_step: Called with (pictures made, pictures in all).

    Returns:
        ``(E, N, H, W, 3)`` uint8, one slab per budget: what is saved, scored and shown.

    Source:
        Gaziv, Lee, DiCarlo 2023, arXiv:2308.06887. Ours climbs the one logit's way to
        the target, which steps as the cross-entropy does.
    """
    device, attack = next(model.parameters()).device, attack_by(options.attack_engine)
    modulated = np.empty((len(options.eps), *pixels.shape), dtype=np.uint8)
    for i, eps in enumerate(options.eps):
        threat = ThreatModel(constraint=options.constraint, eps=eps)
        for start in range(0, len(pixels), options.batch_size):
            rows = slice(start, start + options.batch_size)
            batch_labels = torch.from_numpy(labels[rows]).to(device)
            x_adv = attack(
                model,
                to_images(pixels[rows], device),
                batch_labels,
                threat=threat,
                step_size=options.step_for(eps),
                attack_steps=options.attack_steps,
                target=targets_for(options.mode, batch_labels),
                precision=options.precision,
            )
            modulated[i, rows] = to_uint8(x_adv)
            if on_step is not None:
                done = i * len(pixels) + min(start + options.batch_size, len(pixels))
                on_step(done, len(options.eps) * len(pixels))
    return modulated


def write_pictures(
    modulated: NDArray[np.uint8], image_ids: Sequence[str], eps: Sequence[float], folder: Path
) -> list[list[Path]]:
    """Save each picture as :func:`picture_name` says; paths are ordered ``[budget][eye]``."""
    paths = [[folder / picture_name(name, budget) for name in image_ids] for budget in eps]
    for slab, row in zip(modulated, paths, strict=True):
        for picture, path in zip(slab, row, strict=True):
            write_png(picture, path)
    return paths


def picture_name(image_id: str, eps: float) -> str:
    """Where the picture of one eye at one budget lies below its folder."""
    return f"{file_stem(image_id)}/eps-{eps:g}.png"


def file_stem(image_id: str) -> str:
    """Name of a file or folder about one eye, in letters, digits, ``_``, ``.`` and ``-``.

    No two eyes share one: ``odir/0_left`` becomes ``odir_0_left``, and an ``image_id`` that is not
    as plain (``a/b/c``, ``a_b/c``, ``a/b (1)``) carries eight digits of its own digest.
    """
    name = re.sub(r"[^\w.-]", "_", image_id, flags=re.ASCII)
    if re.fullmatch(r"[a-zA-Z0-9]+/[\w.]+", image_id, flags=re.ASCII):
        return name
    return f"{name}-{hashlib.sha256(image_id.encode()).hexdigest()[:8]}"
