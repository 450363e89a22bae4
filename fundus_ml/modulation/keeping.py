"""Batches of pictures kept on disk as they are made, so that a killed modulation goes on."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from fundus_ml.errors import InputError

Arrays = Mapping[str, NDArray[np.generic]]
Keep = Callable[[str, Callable[[], Arrays]], Arrays]
"""Takes the name of a batch and how to make it; hands out the batch, made now or before."""


def keep_nothing(name: str, make: Callable[[], Arrays]) -> Arrays:  # noqa: ARG001 (a Keep)
    """Make every batch anew."""
    return make()


class KeptBatches:
    """A :data:`Keep` whose batches outlive the process.

    Args:
        folder: Takes one file per batch, each whole or not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Hand out the batch ``name``.

        Raises:
            InputError: The disk is full, or the folder cannot be written.
        """
        path = self.folder / f"{name}.npz"
        if path.is_file():
            try:
                with np.load(path) as found:
                    return dict(found)
            except (OSError, ValueError, EOFError, BadZipFile):
                path.unlink()
        made = make()
        unfinished = path.with_suffix(".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with unfinished.open("wb") as file:
                np.savez(file, allow_pickle=False, **made)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            raise InputError(
                f"kept={self.folder}: cannot be written ({error.strerror}); the batches before are "
                "kept, and the same command goes on from them"
            ) from error
        return made
