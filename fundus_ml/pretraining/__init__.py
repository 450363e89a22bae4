"""Pretraining: what fundus photographs look like, learned without any label.

``PretrainingObjective`` is what the training engine learns, ``Encoder`` what it learns it into,
``probe_auroc`` what a plain classifier makes of the features.
"""

from fundus_ml.pretraining.encoder import Encoder
from fundus_ml.pretraining.objective import PretrainingObjective
from fundus_ml.pretraining.pairing import PAIRS, Pairing
from fundus_ml.pretraining.probe import check_probe, probe_auroc
from fundus_ml.pretraining.vicreg import Coefficients, Terms, vicreg

__all__ = [
    "PAIRS",
    "Coefficients",
    "Encoder",
    "Pairing",
    "PretrainingObjective",
    "Terms",
    "check_probe",
    "probe_auroc",
    "vicreg",
]
