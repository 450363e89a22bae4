"""Whether an edit of one biomarker alone moves a classifier that made none of the pictures."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fundus_ml.atlas.registered import Pixels
from fundus_ml.errors import InputError
from fundus_ml.statistics.false_discoveries import q_values
from fundus_ml.statistics.sign_flips import paired_means
from fundus_ml.synthesis.edits import EditedParts, cannot_edit, edit

Scored = Callable[[Pixels], NDArray[np.floating]]
"""Takes ``(N, H, W, 3)`` uint8 RGB, gives ``(N,)`` logits of class 1."""

STRENGTH = 1.0
"""Strength of the edits either way."""
EDIT_COLUMNS = (
    "edit", "eyes", "people", "abstained", "logit_change", "logit_change_low", "logit_change_high",
    "p", "q",
)  # fmt: skip
"""Columns of a table of edits."""


class Raising(NamedTuple):
    """The edit of a biomarker.

    Attributes:
        edit: Its name.
        sign: 1 where a strength above 0 raises the biomarker, -1 where it lowers it.
    """

    edit: str
    sign: int


EDIT_OF: Mapping[str, Raising] = MappingProxyType(
    {
        "disc_area": Raising("disc_magnification", 1),
        "disc_width": Raising("disc_magnification", 1),
        "rim_pallor": Raising("rim_pallor", 1),
        "ring_red": Raising("ring_colour", 1),
        "ring_green": Raising("ring_colour", 1),
        "ring_blue": Raising("ring_colour", 1),
        "crae": Raising("vessel_calibre", 1),
        "crve": Raising("vessel_calibre", 1),
        "foveal_darkness": Raising("foveal_darkness", 1),
        "hue": Raising("hue", -1),
        "background_green_red": Raising("hue", -1),
    }
)
"""The edit that moves a biomarker and nothing that another structure is measured by. One edit moves
all channels of the ring, one both kinds of vessels: it cannot tell those apart."""


def single_edits(
    score: Scored,
    pixels: Pixels,
    parts: Sequence[EditedParts],
    groups: ArrayLike,
    *,
    strength: float = STRENGTH,
    seed: int = 0,
) -> pd.DataFrame:
    """Edit unchanged eyes either way by each edit of :data:`EDIT_OF`, and score both.

    Args:
        score: Logits of an evaluator that made none of the modulations.
        pixels: ``(N, H, W, 3)`` uint8 RGB, nothing changed.
        parts: Parts of each eye.
        groups: ``(N,)`` person of each.
        strength: Strength of the edits, above 0.
        seed: Seed of the sign flips.

    Returns:
        One row per edit with :data:`EDIT_COLUMNS`: the mean over eyes of the logit at ``strength``
        less that at ``-strength``, with its 95 % interval and two-sided p-value by sign flips over
        people, and q over the edits. NaN where every eye abstains.

    Raises:
        InputError: Lengths differ, or ``strength`` is not allowed.
    """
    people = np.asarray(groups)
    if not len(pixels) == len(parts) == len(people):
        raise InputError(
            f"parts: {len(parts)}, groups: {len(people)} given for {len(pixels)} eyes; one of each"
        )
    if not strength > 0:
        raise InputError(f"strength={strength}: must be above 0")
    rows = []
    for name in dict.fromkeys(each.edit for each in EDIT_OF.values()):
        doubts = [cannot_edit(name, each) for each in parts]
        kept = np.flatnonzero([doubt is None for doubt in doubts])
        row: dict[str, object] = dict.fromkeys(EDIT_COLUMNS, np.nan)
        row |= {
            "edit": name,
            "eyes": len(kept),
            "people": len(np.unique(people[kept])),
            "abstained": _counted(doubts),
        }
        if len(kept):
            more, less = (
                score(
                    np.stack(
                        [edit(name, pixels[at], parts[at], strength=side) for at in kept.tolist()]
                    )
                ).astype(np.float64)
                for side in (strength, -strength)
            )
            found = paired_means((more - less)[:, None], people[kept], seed=seed)
            row |= {
                "logit_change": found.mean[0],
                "logit_change_low": found.low[0],
                "logit_change_high": found.high[0],
                "p": found.pvalue[0],
            }
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.assign(q=q_values(table["p"].astype(float)))[list(EDIT_COLUMNS)]


def _counted(doubts: Sequence[str | None]) -> str:
    counts = Counter(doubt for doubt in doubts if doubt)
    return "; ".join(f"{why}: {count}" for why, count in counts.most_common())
