"""Every picture, from arrays: values in, a matplotlib figure out, no global state touched."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
