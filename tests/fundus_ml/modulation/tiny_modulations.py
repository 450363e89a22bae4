"""Small eyes and few steps."""

import numpy as np

from fundus_ml.modulation import ModulationOptions

LABELS = np.array([0, 1, 1, 0, 1], np.float32)


def make_pixels(*, low=0, high=256, seed=0):
    """``(5, 6, 7, 3)`` uint8 eyes."""
    return np.random.default_rng(seed).integers(low, high, (5, 6, 7, 3), dtype=np.uint8)


def options(**changed):
    """Two budgets, few steps, exact passes."""
    usual = {"eps": (0.5, 2.0), "attack_steps": 4, "batch_size": 2, "precision": "fp32"}
    return ModulationOptions(**usual | changed)
