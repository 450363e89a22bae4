"""Paths as people type them."""

import os
from pathlib import Path


def user_path(text: str) -> Path:
    """Read a path in which ``~`` stands for a home.

    Where no such home is known the ``~`` stays, and the path leads nowhere.
    """
    return Path(os.path.expanduser(text))  # noqa: PTH111 (pathlib raises for an unknown user)
