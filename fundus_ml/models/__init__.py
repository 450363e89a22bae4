"""Networks that read one logit of two classes from a fundus photograph, and how they are kept."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
