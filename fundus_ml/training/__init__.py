"""Training: one engine under clean, adversarial and self-supervised learning.

``fit`` teaches a classifier sex, ``predict`` scores eyes, ``learn`` runs any other objective.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
