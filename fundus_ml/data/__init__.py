"""The dataset folder: manifest, pixels, splits, and who is the same person."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
