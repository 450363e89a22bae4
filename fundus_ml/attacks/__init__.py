"""Gradient steps inside a small ball, right for models with one logit.

What a threat model allows stands in :mod:`.threat_models`; what a search knows of an image, and
asks of the network, in :mod:`.search`; each attack in a module of its own.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
