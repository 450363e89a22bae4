"""Where a change goes: its energy per part of the eye, against the part's share of area."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.maps import PARTS, part_masks
from fundus_ml.statistics.clustered import clustered_ratio

SHARE_COLUMNS = ("image_id", "eps", "part", "energy_share", "area_share", "enrichment")
ENRICHMENT_COLUMNS = (
    "eps",
    "part",
    "eyes",
    "energy_share",
    "area_share",
    "enrichment",
    "low",
    "high",
)


def region_shares(
    pixels: NDArray[np.uint8],
    modulated: NDArray[np.uint8],
    regions: NDArray[np.uint8] | None,
    *,
    image_ids: Sequence[str],
    eps: Sequence[float],
) -> pd.DataFrame:
    """Account for the energy of every change, part by part.

    Energy is the squared change summed over RGB. A part's *enrichment* is its share of the energy
    divided by its share of the square's area: 1 where the change is spread evenly, above 1 where
    it gathers. Parts cover the square once, so shares of one picture add up to 1.

    Args:
        pixels: ``(N, H, W, 3)`` uint8 unchanged eyes.
        modulated: ``(E, N, H, W, 3)`` uint8.
        regions: ``(N, H, W)`` uint8 region maps; None where the dataset has none, which gives no
            rows.
        image_ids: N names.
        eps: E budgets.

    Returns:
        One row per budget, eye and part: ``image_id eps part energy_share area_share enrichment``.
        A picture that did not change has no shares: NaN.

    Raises:
        InputError: Shapes do not match.
    """
    if regions is None:
        return pd.DataFrame(columns=list(SHARE_COLUMNS))
    fitting = modulated.shape == (len(eps), *pixels.shape) and regions.shape == pixels.shape[:3]
    if not fitting or len(image_ids) != len(pixels):
        raise InputError(
            f"modulated {modulated.shape}, regions {regions.shape} and {len(image_ids)} image_ids "
            f"do not fit {len(eps)} budgets of {pixels.shape} pixels"
        )
    masks = part_masks(regions)
    area = {part: masks[part].mean(axis=(1, 2)) for part in PARTS}
    rows = []
    for budget, slab in zip(eps, modulated, strict=True):
        energy = ((slab.astype(np.float32) - pixels) ** 2).sum(axis=3)
        total = energy.sum(axis=(1, 2), dtype=np.float64)
        for part in PARTS:
            in_part = np.where(masks[part], energy, 0).sum(axis=(1, 2), dtype=np.float64)
            share = np.divide(in_part, total, out=np.full_like(total, np.nan), where=total > 0)
            enrichment = np.divide(
                share, area[part], out=np.full_like(share, np.nan), where=area[part] > 0
            )
            rows.append(
                pd.DataFrame(
                    {
                        "image_id": list(image_ids),
                        "eps": budget,
                        "part": part,
                        "energy_share": share,
                        "area_share": area[part],
                        "enrichment": enrichment,
                    }
                )
            )
    return pd.concat(rows, ignore_index=True)


def enrichment_by_condition(
    pixels: NDArray[np.uint8],
    pictures: Mapping[str, NDArray[np.uint8]],
    regions: NDArray[np.uint8],
    eyes: pd.DataFrame,
    *,
    eps: Sequence[float],
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Set the enrichments of several conditions of change below one another.

    Args:
        pixels: ``(N, H, W, 3)`` uint8 unchanged eyes.
        pictures: By condition, ``(E, N, H, W, 3)`` uint8.
        regions: ``(N, H, W)`` uint8 region maps.
        eyes: Their N rows: ``image_id person_group``.
        eps: E budgets.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        Rows of :func:`enrichment_by_part` with ``condition``.
    """
    image_ids = eyes["image_id"].tolist()
    found = []
    for condition, made in pictures.items():
        shares = region_shares(pixels, made, regions, image_ids=image_ids, eps=eps)
        enrichment = enrichment_by_part(shares, eyes, resamples=resamples, seed=seed)
        found.append(enrichment.assign(condition=condition))
    return pd.concat(found, ignore_index=True)


def enrichment_by_part(
    shares: pd.DataFrame, eyes: pd.DataFrame, *, resamples: int, seed: int
) -> pd.DataFrame:
    """Pool :func:`region_shares` over eyes, with 95 % intervals clustered by person.

    The pooled enrichment of a part is the sum of its energy shares over the sum of its area shares,
    so that an eye with a tiny part cannot dominate.

    Args:
        shares: Rows as :func:`region_shares` returns them.
        eyes: Manifest rows, which say whose eye each ``image_id`` is.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        ``eps part eyes energy_share area_share enrichment low high``, over the ``eyes`` that
        changed and show the part; a part that none shows has no row.
    """
    people = shares["image_id"].map(eyes.set_index("image_id")["person_group"])
    rows = []
    for (eps, part), pictures in shares.assign(person=people).groupby(["eps", "part"]):
        shown = pictures.dropna(subset="enrichment")
        if shown.empty:
            continue
        enrichment = clustered_ratio(
            shown["energy_share"].to_numpy(),
            shown["area_share"].to_numpy(),
            shown["person"].to_numpy(),
            resamples=resamples,
            seed=seed,
        )
        rows.append(
            {
                "eps": eps,
                "part": part,
                "eyes": len(shown),
                "energy_share": shown["energy_share"].mean(),
                "area_share": shown["area_share"].mean(),
                "enrichment": enrichment.value,
                "low": enrichment.low,
                "high": enrichment.high,
            }
        )
    return pd.DataFrame(rows, columns=list(ENRICHMENT_COLUMNS))
