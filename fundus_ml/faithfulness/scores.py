"""Which scores of explanation maps there are; imports nothing that takes time."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from fundus_ml.attribution.options import BASELINES

ENRICHMENT = "enrichment"
Better = Literal["more", "less"]
Need = Literal["", "explain", "seeded_explain", "regions"]


@dataclass(frozen=True)
class Score:
    """What a score says.

    Attributes:
        better: Whether ``more`` or ``less`` of it is better.
        needs: What it needs beyond images and maps; empty where nothing.
        what: One line.
    """

    better: Better
    needs: Need
    what: str


SCORES: Mapping[str, Score] = MappingProxyType(
    {
        **{
            f"deletion_{fill}": Score("less", "", f"mean logit while pixels leave ({fill} fill)")
            for fill in BASELINES
        },
        **{
            f"insertion_{fill}": Score("more", "", f"mean logit while pixels return ({fill} fill)")
            for fill in BASELINES
        },
        "sensitivity_n": Score("more", "", "correlation of sums with losses of the logit"),
        "infidelity": Score("less", "", "mean squared error of sums as losses, squared logits"),
        "scaled_infidelity": Score("less", "", "the same at the best scale, share of the losses"),
        "gini": Score("more", "", "Gini index of the absolute map"),
        "effective_area": Score("less", "", "share of the square the map spreads over"),
        "max_sensitivity": Score("less", "explain", "largest relative change under small noise"),
        "cascade_rank_correlation": Score("less", "explain", "with maps of randomised networks"),
        "cascade_ssim": Score("less", "explain", "with maps of randomised networks"),
        "repeat_rank_correlation": Score("more", "seeded_explain", "between maps of two seeds"),
        "repeat_ssim": Score("more", "seeded_explain", "between maps of two seeds"),
        "pointing_game": Score("more", "regions", "largest value inside the part"),
        "relevance_mass": Score("more", "regions", "share of the values above 0 inside the part"),
        "relevance_rank": Score("more", "regions", "share of the largest values inside the part"),
        ENRICHMENT: Score("more", "regions", "share of energy over share of area, on the retina"),
    }
)
"""Scores by name. Scores with ``regions`` have a row per part and per sham: ``better`` is about the
part where the evidence is known to lie, and the other way round about its sham."""
