"""Adversarial training: recipes that say what an epoch learns from, and who watches over them.

Each recipe in a module of its own; what they share stands in :mod:`.recipe`, what the engine sees
in :mod:`.objective`.
"""

from fundus_ml.robust_training.choice import RECIPES, make_recipe
from fundus_ml.robust_training.fast import FastTraining
from fundus_ml.robust_training.free import FreeTraining
from fundus_ml.robust_training.method import Recipe
from fundus_ml.robust_training.objective import (
    RobustObjective,
    check_eps_warmup,
    fit_robust,
)
from fundus_ml.robust_training.overfitting_monitor import Watchdog
from fundus_ml.robust_training.projected_gradient import PGDTraining
from fundus_ml.robust_training.trades import TradesTraining

__all__ = [
    "RECIPES",
    "FastTraining",
    "FreeTraining",
    "PGDTraining",
    "Recipe",
    "RobustObjective",
    "TradesTraining",
    "Watchdog",
    "check_eps_warmup",
    "fit_robust",
    "make_recipe",
]
