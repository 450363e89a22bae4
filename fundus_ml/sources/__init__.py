"""Releases of fundus photographs, each made into rows and a way to load their photographs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
