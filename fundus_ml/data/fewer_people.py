"""Part of the people, to see what a network would learn from fewer of them."""

from typing import TypeVar

import numpy as np

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.data.options import check_share

D = TypeVar("D", bound=FundusDataset)


def fewer_people(eyes: D, share: float, *, seed: int) -> D:
    """Keep the eyes of some people, drawn within each class.

    A smaller share of the same seed is part of a larger one, as along a learning curve.

    Args:
        eyes: Eyes of one split.
        share: Share of the people of each class, above 0 and at most 1; at least one of each stays.
        seed: Seed of the draw.

    Raises:
        InputError: From :func:`fundus_ml.data.options.check_share`.
    """
    check_share(share)
    if share == 1:
        return eyes
    people = eyes.frame.drop_duplicates("person_group")[["person_group", "label"]]
    order = np.random.default_rng(seed).permutation(len(people))
    drawn = people.iloc[order]
    rank = drawn.groupby("label").cumcount()
    of_class = drawn.groupby("label")["label"].transform("size")
    kept = drawn.loc[rank < (share * of_class).round().clip(lower=1), "person_group"]
    return eyes.select(eyes.frame["person_group"].isin(kept).to_numpy())
