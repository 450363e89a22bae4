"""The audit of a dataset: what could tell the sexes apart without looking at the eye."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
