"""Edits of real eyes in one known place, of a known strength: truth on real photographs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
