"""Raw photographs to probabilities, as a registered version answers them anywhere."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
