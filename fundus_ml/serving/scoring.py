"""Photographs to rows: cut as the dataset's eyes were, scored in batches, calibrated."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import Refused
from fundus_ml.imaging.cropping import CroppedEye, LoadPhotograph, crop_eye
from fundus_ml.serving.options import ScoringOptions

ScorePixels = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""``(N, size, size, 3)`` uint8 RGB → ``(N,)`` logits."""
BATCH = 32
MOST_THREADS = 4
"""Photographs decoded at a time: one of 100 million pixels takes 1.4 GB for a moment."""


class Scored(TypedDict):
    """One photograph's answer.

    Attributes:
        probability: Calibrated probability of the second class; NaN where refused.
        logit: As the network gives it; NaN where refused.
        called: The class by the version's threshold; empty where refused. Named ``class`` in
            tables.
        quality: 0 to 1; NaN where refused.
        flags: What was remarked about the photograph, joined by ``"; "``.
        refused: Why there is no answer; empty where there is one.
    """

    probability: float
    logit: float
    called: str
    quality: float
    flags: str
    refused: str


COLUMNS = ("probability", "logit", "class", "quality", "flags", "refused")
"""Columns of a table of answers."""


def score_photographs(
    photographs: Iterable[LoadPhotograph],
    score: ScorePixels,
    options: ScoringOptions,
    *,
    batch_size: int = BATCH,
) -> Iterator[Scored]:
    """Answer photographs in their order, with no more than two batches of them in memory.

    Each is decoded, its field of view found, cut and scaled by the very function that makes
    datasets, so that its pixels, and its logit, are those that ``evaluate`` scores. Threads cut
    one batch while the network answers the one before: decoders and OpenCV leave the interpreter
    to others.

    Args:
        photographs: One loader each.
        score: The network on uint8 eyes.
        options: How to cut, and what its logit means.
        batch_size: Eyes per pass.

    Yields:
        One answer per photograph; one that cannot be used says why.
    """
    crop = partial(crop_eye, options=options.crop())
    waiting = iter(photographs)
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as pool:

        def ahead() -> list[Future[CroppedEye | Refused]]:
            return [pool.submit(crop, photograph) for photograph in islice(waiting, batch_size)]

        cropped = ahead()
        while cropped:
            batch, cropped = cropped, ahead()
            eyes = [eye.result() for eye in batch]
            pixels = [eye.pixels for eye in eyes if isinstance(eye, CroppedEye)]
            logits = iter(score(np.stack(pixels)).tolist() if pixels else ())
            for eye in eyes:
                if isinstance(eye, Refused):
                    yield _refused(eye)
                else:
                    yield _answer(eye, next(logits), options)


def _answer(eye: CroppedEye, logit: float, options: ScoringOptions) -> Scored:
    low, high = options.classes
    return Scored(
        probability=_sigmoid(logit / options.temperature),
        logit=logit,
        called=high if logit > options.threshold else low,
        quality=float(str(eye.measured["quality"])),
        flags=str(eye.measured["flags"]),
        refused="",
    )


def _refused(why: Refused) -> Scored:
    return Scored(
        probability=math.nan,
        logit=math.nan,
        called="",
        quality=math.nan,
        flags="",
        refused=str(why),
    )


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def as_table(answers: Iterable[Scored], *, index: pd.Index | None = None) -> pd.DataFrame:
    """Put answers into a table with :data:`COLUMNS`, a row each."""
    rows = [{("class" if name == "called" else name): v for name, v in a.items()} for a in answers]
    return pd.DataFrame(rows, columns=list(COLUMNS), index=index)
