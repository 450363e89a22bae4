"""Adversarial training: methods that say what an epoch learns from, and who watches over them.

Each method in a module of its own; what they share stands in :mod:`.method`, what the engine sees
in :mod:`.objective`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
