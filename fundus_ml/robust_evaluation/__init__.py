"""How robust a network is: several attacks at once, signs that they were misled, a verdict.

What is asked stands in :mod:`.options` and runs in :mod:`.running`; what misleads it shows in
:mod:`.masking`; the smallest change that flips an eye is summed up in :mod:`.distances`; and
:mod:`.gate` says what may be called robust.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
