"""AUROCs, means and ratios with intervals that know that two eyes of a person are not two draws."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
