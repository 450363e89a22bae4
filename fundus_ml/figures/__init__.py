"""Every picture, from arrays: values in, a matplotlib figure out, no global state touched."""

from fundus_ml.figures.augmentations import augmentation_sheet
from fundus_ml.figures.budgets import auroc_by_eps, success_curve
from fundus_ml.figures.discrimination import roc_figure, training_curves
from fundus_ml.figures.enrichment import region_enrichment_figure
from fundus_ml.figures.panels import modulation_panel
from fundus_ml.figures.qualities import quality_distribution
from fundus_ml.figures.reliability import reliability_figure
from fundus_ml.figures.sheets import contact_sheet, sample_sheet
from fundus_ml.figures.style import figure_png
from fundus_ml.figures.subgroups import subgroup_forest

__all__ = [
    "augmentation_sheet",
    "auroc_by_eps",
    "contact_sheet",
    "figure_png",
    "modulation_panel",
    "quality_distribution",
    "region_enrichment_figure",
    "reliability_figure",
    "roc_figure",
    "sample_sheet",
    "subgroup_forest",
    "success_curve",
    "training_curves",
]
