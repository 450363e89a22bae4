"""Whether a method puts the place of a disease first, where medicine knows that place."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.scores import ENRICHMENT
from fundus_ml.imaging.regions.energy_shares import OUTSIDE
from fundus_ml.imaging.regions.maps import PARTS
from fundus_ml.imaging.regions.shams import SHAM
from fundus_ml.imaging.regions.zones import RING
from fundus_ml.statistics.clustered import clustered_mean

KNOWN_PLACES: Mapping[str, str] = MappingProxyType(
    {
        "glaucoma": "disc",
        "amd": "macula",
        "drusen": "macula",
        "epiretinal_membrane": "macula",
        "hypertensive": "vessels",
        "myopia": RING,
    }
)
"""Part of the retina in which a finding shows first, by contrast. Glaucoma: Weinreb et al. 2014,
doi:10.1001/jama.2014.3192. AMD and drusen: Ferris et al. 2013, doi:10.1016/j.ophtha.2012.10.036.
Epiretinal membrane: Stevenson et al. 2016, doi:10.2147/OPTH.S97722. Hypertensive retinopathy: Wong
and Mitchell 2004, doi:10.1056/NEJMra032865. Pathologic myopia is graded by atrophy over the whole
posterior pole (Ohno-Matsui et al. 2015, doi:10.1016/j.ajo.2015.01.022); the ring is our choice."""
COMPETING = tuple(part for part in (*PARTS, RING) if part != OUTSIDE)
TABLE_COLUMNS = (
    "method", "part", "eyes", "abstained", "first", "first_low", "first_high", "sham_eyes",
    "over_sham", "over_sham_low", "over_sham_high",
)  # fmt: skip


def known_place_table(
    scores: Mapping[str, pd.DataFrame],
    eyes: pd.DataFrame,
    part: str,
    *,
    resamples: int,
    seed: int,
) -> pd.DataFrame:
    """Count the eyes in which each method's map is densest in one part.

    Args:
        scores: By method, rows of :func:`fundus_ml.faithfulness.scoring.score_maps` with
            ``enrichment``.
        eyes: Manifest rows of the N images, in their order: ``person_group``.
        part: The part, of :data:`COMPETING`.
        resamples: Bootstrap resamples of people.
        seed: Seed of the bootstrap.

    Returns:
        One row per method: ``method part eyes abstained first first_low first_high sham_eyes
        over_sham over_sham_low over_sham_high``. ``first`` is the share of the ``eyes`` that show
        the part in which no other part of the retina is denser; ``over_sham`` the share of those
        with a sham in which the part is denser than it. Intervals are clustered by person.

    Raises:
        InputError: No such part, or no method has a row of enrichment.
    """
    if part not in COMPETING:
        raise InputError(f"part={part}: allowed: {', '.join(COMPETING)}")
    people = eyes["person_group"].to_numpy()

    def share(hit: NDArray[np.bool_], known: NDArray[np.bool_], name: str) -> dict[str, float]:
        if not known.any():
            return {}
        found = clustered_mean(
            hit[known].astype(float), people[known], resamples=resamples, seed=seed
        )
        return found.columns(name)

    rows = []
    for method, found in scores.items():
        wide = found[found["score"] == ENRICHMENT].pivot_table(
            index="row", columns="part", values="value", dropna=False
        )
        if part not in wide:
            continue
        rivals = wide[[name for name in COMPETING if name in wide and name != part]].max(axis=1)
        own = wide[part]
        known = (own.notna() & rivals.notna()).to_numpy()
        row: dict[str, object] = {
            "method": method,
            "part": part,
            "eyes": int(known.sum()),
            "abstained": int((~known).sum()),
        }
        row |= share((own > rivals).to_numpy(), known, "first")
        sham = wide.get(SHAM + part)
        if sham is not None:
            both = (own.notna() & sham.notna()).to_numpy()
            row["sham_eyes"] = int(both.sum())
            row |= share((own > sham).to_numpy(), both, "over_sham")
        rows.append(row)
    if not rows:
        raise InputError(f"scores: no row of {ENRICHMENT} in {part}; score_maps needs regions")
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS))
