"""Adversarial training: methods that say what an epoch learns from, and who watches over them.

Each method in a module of its own; what they share stands in :mod:`.method`, what the engine sees
in :mod:`.objective`.
"""

from fundus_ml.robust_training.choice import METHODS, make_method
from fundus_ml.robust_training.fast import FastTraining
from fundus_ml.robust_training.free import FreeTraining
from fundus_ml.robust_training.method import Method
from fundus_ml.robust_training.objective import (
    RobustObjective,
    check_eps_warmup,
    fit_robust,
)
from fundus_ml.robust_training.overfitting_monitor import OverfittingMonitor
from fundus_ml.robust_training.projected_gradient import PGDTraining
from fundus_ml.robust_training.trades import TradesTraining

__all__ = [
    "METHODS",
    "FastTraining",
    "FreeTraining",
    "Method",
    "OverfittingMonitor",
    "PGDTraining",
    "RobustObjective",
    "TradesTraining",
    "check_eps_warmup",
    "fit_robust",
    "make_method",
]
