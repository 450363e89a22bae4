"""What every test shares.

Migrations of MLflow and Optuna are loaded once, not for every store. What imports and collection
leave on the heap stays to the end: the garbage collector never walks it.
"""

import gc
from functools import cache

from alembic.util import pyfiles

load = pyfiles.load_module_py
load_once = cache(load)


def load_module(module_id, path):
    """Load a migration once; ``env.py`` is the script that runs them, each time anew."""
    return load(module_id, path) if module_id.startswith("env") else load_once(module_id, path)


pyfiles.load_module_py = load_module

gc.disable()


def pytest_collection_finish():
    """Count the garbage of the tests alone."""
    gc.freeze()
    gc.set_threshold(7_000, 10, 100)
    gc.enable()
