"""Where a change goes: its energy per part of the retina, against the part's area and its sham."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.imaging.regions.energy_shares import PartAreas
from fundus_ml.imaging.regions.shams import sham_regions
from fundus_ml.statistics.clustered import clustered_ratio
from fundus_ml.statistics.sign_flips import paired_means

LEAST_SHARE = 1e-4
"""Added to each share of energy before its logarithm, so that a part without change counts."""
SHARE_COLUMNS = (
    "image_id",
    "eps",
    "part",
    "energy_share",
    "area_share",
    "enrichment",
    "baseline",
    "sham_energy_share",
    "sham_area_share",
)
ENRICHMENT_COLUMNS = (
    "eps",
    "part",
    "eyes",
    "energy_share",
    "area_share",
    "enrichment",
    "low",
    "high",
    "sham_eyes",
    "sham_energy_share",
    "sham",
    "sham_low",
    "sham_high",
    "over_sham",
    "over_sham_low",
    "over_sham_high",
    "over_sham_p",
)


def region_shares(
    pixels: NDArray[np.uint8],
    modulated: NDArray[np.uint8],
    regions: NDArray[np.uint8] | None,
    *,
    image_ids: Sequence[str],
    eps: Sequence[float],
    shams: Mapping[str, NDArray[np.bool_]] | None = None,
    with_ring: bool = False,
) -> pd.DataFrame:
    """Account for the energy of every change, part by part, and for that in each part's sham.

    Energy is the squared change summed over RGB. A part's *enrichment* is its share of the energy
    on the retina divided by its share of the retina's area: 1 where the change is spread evenly,
    as a colour cast is, above 1 where it gathers. Parts cover the retina once, so their shares add
    up to 1. The part ``outside`` is the share of the *whole* energy that lies off the retina, over
    the share of the square that is no retina.

    Args:
        pixels: ``(N, H, W, 3)`` uint8 unchanged eyes.
        modulated: ``(E, N, H, W, 3)`` uint8.
        regions: ``(N, H, W)`` uint8 region maps; None where the dataset has none, which gives no
            rows.
        image_ids: N names.
        eps: E budgets.
        shams: ``sham_regions`` of the maps, where they are placed already.
        with_ring: Account for the ring around the disc too, which overlaps other parts (see
            :class:`~fundus_ml.imaging.regions.energy_shares.PartAreas`).

    Returns:
        One row per budget, eye and part: ``image_id eps part energy_share area_share enrichment
        baseline sham_energy_share sham_area_share``, ``baseline`` being what shares are shares of:
        ``retina``, or ``square`` for the part ``outside``. Shares are NaN where nothing changed on
        the retina (of ``outside``: nowhere), those of a sham also where the eye has none.

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
    areas = PartAreas(regions, shams, with_ring=with_ring)
    rows = []
    for budget, slab in zip(eps, modulated, strict=True):
        found = areas.shares(((slab.astype(np.float32) - pixels) ** 2).sum(axis=3))
        named = pd.Index(image_ids)[found.pop("position")]
        rows.append(found.assign(image_id=named, eps=budget)[list(SHARE_COLUMNS)])
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
        resamples: Bootstrap resamples of people, and sign vectors of the paired test.
        seed: Seed of both.

    Returns:
        Rows of :func:`enrichment_by_part` with ``condition``.
    """
    image_ids, shams = eyes["image_id"].tolist(), sham_regions(regions)
    found = []
    for condition, made in pictures.items():
        shares = region_shares(pixels, made, regions, image_ids=image_ids, eps=eps, shams=shams)
        enrichment = enrichment_by_part(shares, eyes, resamples=resamples, seed=seed)
        found.append(enrichment.assign(condition=condition))
    return pd.concat(found, ignore_index=True)


def enrichment_by_part(
    shares: pd.DataFrame, eyes: pd.DataFrame, *, resamples: int, seed: int
) -> pd.DataFrame:
    """Pool :func:`region_shares` over eyes, with 95 % intervals clustered by person.

    The pooled enrichment of a part is the sum of its energy shares over the sum of its area shares,
    so that an eye with a tiny part cannot dominate; that of its sham is the same of the sham.

    Args:
        shares: Rows as :func:`region_shares` returns them.
        eyes: Manifest rows, which say whose eye each ``image_id`` is.
        resamples: Bootstrap resamples of people, and sign vectors of the paired test.
        seed: Seed of both.

    Returns:
        ``eps part eyes energy_share area_share enrichment low high`` over the ``eyes`` that changed
        and show the part; a part that none shows has no row. Then ``sham_eyes sham_energy_share
        sham sham_low sham_high``, the enrichment of the sham over the eyes that have one, and
        ``over_sham over_sham_low over_sham_high over_sham_p``: the geometric mean over those eyes
        of the part's enrichment over its sham's, where :data:`LEAST_SHARE` is added to both shares
        of energy, and the two-sided p-value of flipping part and sham person by person. NaN where
        the part has no sham.
    """
    people = shares["image_id"].map(eyes.set_index("image_id")["person_group"])
    rows = []
    for (eps, part), pictures in shares.assign(person=people).groupby(["eps", "part"]):
        shown = pictures.dropna(subset="enrichment")
        if shown.empty:
            continue
        own = _pooled(shown, "energy_share", "area_share", resamples=resamples, seed=seed)
        rows.append(
            {
                "eps": eps,
                "part": part,
                "eyes": len(shown),
                "energy_share": shown["energy_share"].mean(),
                "area_share": shown["area_share"].mean(),
                "enrichment": own[0],
                "low": own[1],
                "high": own[2],
                **_beside_sham(
                    shown.dropna(subset=["sham_energy_share"]), resamples=resamples, seed=seed
                ),
            }
        )
    return pd.DataFrame(rows, columns=list(ENRICHMENT_COLUMNS))


def _beside_sham(shown: pd.DataFrame, *, resamples: int, seed: int) -> dict[str, float]:
    """Enrichment of the sham, and the paired comparison, over eyes that have one."""
    if shown.empty:
        return {"sham_eyes": 0}
    value, low, high = _pooled(
        shown, "sham_energy_share", "sham_area_share", resamples=resamples, seed=seed
    )
    own = (shown["energy_share"] + LEAST_SHARE) / shown["area_share"]
    sham = (shown["sham_energy_share"] + LEAST_SHARE) / shown["sham_area_share"]
    gap = np.log(own.to_numpy(float)) - np.log(sham.to_numpy(float))
    paired = paired_means(
        gap[:, None], shown["person"].to_numpy(), permutations=resamples, seed=seed
    )
    return {
        "sham_eyes": len(shown),
        "sham_energy_share": shown["sham_energy_share"].mean(),
        "sham": value,
        "sham_low": low,
        "sham_high": high,
        "over_sham": float(np.exp(paired.mean[0])),
        "over_sham_low": float(np.exp(paired.low[0])),
        "over_sham_high": float(np.exp(paired.high[0])),
        "over_sham_p": float(paired.pvalue[0]),
    }


def _pooled(
    shown: pd.DataFrame, above: str, below: str, *, resamples: int, seed: int
) -> tuple[float, float, float]:
    found = clustered_ratio(
        shown[above].to_numpy(float),
        shown[below].to_numpy(float),
        shown["person"].to_numpy(),
        resamples=resamples,
        seed=seed,
    )
    return found.value, found.low, found.high
