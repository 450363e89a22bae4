"""Which eyes are modulated, what stands in for them, and the class each is pushed towards."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from fundus_ml.data.manifest import SEXES
from fundus_ml.errors import InputError, check_seed
from fundus_ml.modulation.options import MODES


def choose_eyes(
    frame: pd.DataFrame, *, images: int, mode: str, seed: int, classes: tuple[str, str] = SEXES
) -> NDArray[np.intp]:
    """Choose one eye per person, the classes balanced, in an order that depends on ``seed`` alone.

    Of a person whose eyes have either label, the one of the rarer class is taken first, whichever
    eye it is; who is not needed there may stand for the other class. As many of these people as the
    other class needs are passed over, so that what the split can give is found by every seed.

    Args:
        frame: Manifest rows of one split.
        images: How many eyes.
        mode: The name of a class takes the other's eyes, all others both classes'.
        seed: Seed of the draw.
        classes: Names of label 0 and 1.

    Returns:
        Row positions in ``frame``, ascending.

    Raises:
        InputError: The split has too few people for ``images``, of a class or in all, or a number
            or the mode is not allowed.
    """
    allowed = (MODES[0], *classes, *MODES[1:])
    if mode not in allowed:
        raise InputError(f"mode={mode}: allowed: {', '.join(allowed)}")
    if images < 1:
        raise InputError(f"images={images}: must be at least 1")
    check_seed(seed)
    offered = [name for name in classes if name != mode]
    shuffled = frame.reset_index(drop=True).sample(frac=1, random_state=seed)
    shares = {
        name: images // len(offered) + (place < images % len(offered))
        for place, name in enumerate(offered)
    }
    one_each = {
        name: shuffled[shuffled["label"] == classes.index(name)].drop_duplicates("person_group")
        for name in offered
    }
    _refuse_too_few(one_each, shares)
    return np.sort(np.concatenate(_drawn(one_each, shares)))


def _refuse_too_few(one_each: Mapping[str, pd.DataFrame], shares: Mapping[str, int]) -> None:
    """Refuse more eyes than a class has people, or than both have together."""
    images = sum(shares.values())
    for name, eyes in sorted(one_each.items(), key=lambda each: len(each[1])):
        if len(eyes) < shares[name]:
            raise InputError(
                f"images={images}: needs {shares[name]} {name} people in this split, "
                f"which has {len(eyes)}"
            )
    everyone = pd.concat([eyes["person_group"] for eyes in one_each.values()]).nunique()
    if everyone < images:
        raise InputError(
            f"images={images}: needs {images} people in this split, which has {everyone}"
        )


def _drawn(
    one_each: Mapping[str, pd.DataFrame], shares: Mapping[str, int]
) -> list[NDArray[np.intp]]:
    """Take the share of each class, the rarer first; only whom the other can spare of both."""
    rarer, *others = sorted(one_each, key=lambda name: len(one_each[name]))
    left = one_each[rarer]
    if not others:
        return [left.index.to_numpy(np.intp)[: shares[rarer]]]
    (other,) = others
    rest = one_each[other]
    both = left["person_group"].isin(rest["person_group"])
    spared = len(rest) - shares[other]
    drawn = left[~both | (both.cumsum() <= spared)].iloc[: shares[rarer]]
    rest = rest[~rest["person_group"].isin(drawn["person_group"])].iloc[: shares[other]]
    return [eyes.index.to_numpy(np.intp) for eyes in (drawn, rest)]


def targets_for(
    mode: str,
    labels: Tensor,
    logit: Tensor | None = None,
    *,
    classes: tuple[str, str] = SEXES,
) -> Tensor:
    """Say towards which class each eye is pushed.

    Args:
        mode: One of :data:`~fundus_ml.modulation.options.MODES`, or a class.
        labels: ``(N,)`` truth.
        logit: ``(N,)`` what the network says of the unchanged eyes; ``disrupt`` alone asks it.
        classes: Names of label 0 and 1.

    Returns:
        ``(N,)`` of 0 and 1, as ``labels``.
    """
    if mode == "flip":
        return 1 - labels
    if mode == "enhance":
        return labels
    if mode == "disrupt":
        assert logit is not None
        return (logit <= 0).to(labels)
    return torch.full_like(labels, float(classes.index(mode)))


def noise_like(pixels: NDArray[np.uint8], *, seed: int) -> NDArray[np.uint8]:
    """Draw noise with each eye's own mean and standard deviation per channel.

    Args:
        pixels: ``(N, H, W, 3)`` uint8.
        seed: Seed of the draw; an eye's noise does not depend on the other eyes.

    Returns:
        The same shape: nothing of the eye's structure is left, neither disc nor border.
    """
    noise = np.empty_like(pixels)
    for place, eye in enumerate(pixels):
        generator = np.random.default_rng((seed, int(eye.sum(dtype=np.int64))))
        drawn = generator.normal(eye.mean((0, 1)), eye.std((0, 1)), eye.shape)
        noise[place] = np.clip(np.rint(drawn), 0, 255)
    return noise
