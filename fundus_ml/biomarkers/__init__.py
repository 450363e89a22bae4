"""The quantities ophthalmologists measure on a photograph, and how they differ between people."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
