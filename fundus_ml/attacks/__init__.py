"""Gradient steps inside a small ball, right for models with one logit.

What a threat model allows stands in :mod:`.threat_models`; what a search knows of an image, and
asks of the network, in :mod:`.search`; each attack in a module of its own.
"""

from fundus_ml.attacks.auto_pgd import apgd
from fundus_ml.attacks.minimum_norm import Found, minimum_norm
from fundus_ml.attacks.projected_gradient import pgd
from fundus_ml.attacks.search import frozen
from fundus_ml.attacks.square_search import square
from fundus_ml.attacks.step_sizes import StepSize, step_length
from fundus_ml.attacks.threat_models import CONSTRAINTS, ThreatModel, lengths, sizes

__all__ = [
    "CONSTRAINTS",
    "Found",
    "StepSize",
    "ThreatModel",
    "apgd",
    "frozen",
    "lengths",
    "minimum_norm",
    "pgd",
    "sizes",
    "square",
    "step_length",
]
