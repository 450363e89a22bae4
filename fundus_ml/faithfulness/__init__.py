"""Scores of explanation maps: whether they say what the network used, and where.

Maps are given, never made here: where a score needs them again it takes a callable. All scores of
one method stand in :mod:`.scoring`, methods beside one another in :mod:`.comparison`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
