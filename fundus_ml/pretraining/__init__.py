"""Pretraining: what fundus photographs look like, learned without any label.

``PretrainingObjective`` is what the training engine learns, ``Encoder`` what it learns it into,
``probe_auroc`` what a plain classifier makes of the features.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
