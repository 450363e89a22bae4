"""Attribution: which pixels of an eye a classifier's logit rests on, by every method at hand."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
