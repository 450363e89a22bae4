"""Invented eyes: a population whose sexes differ in one known place, and its photographs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
