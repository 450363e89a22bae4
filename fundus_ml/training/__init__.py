"""Training: one engine under clean, adversarial and self-supervised learning.

``fit`` teaches a classifier sex, ``predict`` scores eyes, ``learn`` runs any other objective.
"""

from fundus_ml.training.checkpoints import Checkpoints
from fundus_ml.training.classification import SexObjective, fit
from fundus_ml.training.engine import Fitted, learn
from fundus_ml.training.objective import Batch, Objective
from fundus_ml.training.options import TrainingOptions
from fundus_ml.training.prediction import Perturb, predict

__all__ = [
    "Batch",
    "Checkpoints",
    "Fitted",
    "Objective",
    "Perturb",
    "SexObjective",
    "TrainingOptions",
    "fit",
    "learn",
    "predict",
]
