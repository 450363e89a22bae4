"""Perceptual modulation: push real eyes towards a class inside stated budgets, and measure it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
