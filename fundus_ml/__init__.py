"""The science: fundus photographs to classifiers to measured modulation. Values in, values out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
