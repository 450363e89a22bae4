"""Perceptual modulation: push real eyes towards a sex inside stated budgets, and measure it."""

from fundus_ml.modulation.allowed_pixels import WHOLE, allowed_pixels, check_region
from fundus_ml.modulation.budget_path import VERSION, modulate
from fundus_ml.modulation.controls import (
    CONTRAST_BLEND,
    CONTROL_DIRECTIONS,
    blend_partners,
    control_pictures,
)
from fundus_ml.modulation.eyes import choose_eyes, noise_like, targets_for
from fundus_ml.modulation.keeping import KeptBatches
from fundus_ml.modulation.minimal_perturbations import minimal_perturbations
from fundus_ml.modulation.options import MODES, OBJECTIVES, STARTS, ModulationOptions
from fundus_ml.modulation.pictures import (
    ORIGINAL,
    file_stem,
    picture_name,
    read_pictures,
    write_pictures,
)
from fundus_ml.modulation.pushing import Chosen, ModulationResult, push

__all__ = [
    "CONTRAST_BLEND",
    "CONTROL_DIRECTIONS",
    "MODES",
    "OBJECTIVES",
    "ORIGINAL",
    "STARTS",
    "VERSION",
    "WHOLE",
    "Chosen",
    "KeptBatches",
    "ModulationOptions",
    "ModulationResult",
    "allowed_pixels",
    "blend_partners",
    "check_region",
    "choose_eyes",
    "control_pictures",
    "file_stem",
    "minimal_perturbations",
    "modulate",
    "noise_like",
    "picture_name",
    "push",
    "read_pictures",
    "targets_for",
    "write_pictures",
]
