"""A study with human readers: pairs of pictures from a modulation, a page, scored answers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
