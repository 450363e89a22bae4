"""What the landmark network learns from: squares of eyes and where their parts lie on them."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

EXAMPLE_SIZE = 288
"""Side of the squares, pixels: a little more than the network reads, to turn and shift within."""
ELLIPSE = 5
"""Numbers of an ellipse: column and row of its centre, second moments xx, xy, yy; NaN: unknown."""


@dataclass(frozen=True)
class Examples:
    """Eyes to learn from, in pixels of their squares; NaN where a part is not marked.

    Attributes:
        pixels: ``(N, EXAMPLE_SIZE, EXAMPLE_SIZE, 3)`` uint8 RGB.
        disc: ``(N, 5)`` float64: centre and second moments.
        cup: ``(N, 5)`` likewise.
        fovea: ``(N, 2)`` float64.
        names: ``(N,)`` file name, or image id of a painted eye.
    """

    pixels: NDArray[np.uint8]
    disc: NDArray[np.float64]
    cup: NDArray[np.float64]
    fovea: NDArray[np.float64]
    names: NDArray[np.str_]

    def __len__(self) -> int:
        """Count the eyes."""
        return len(self.pixels)

    @property
    def digest(self) -> str:
        """SHA-256 that another pixel, mark or name changes."""
        content = hashlib.sha256()
        for field in fields(self):
            content.update(np.ascontiguousarray(getattr(self, field.name)).tobytes())
        return content.hexdigest()


def keep_examples(path: Path, make: Callable[[], Examples]) -> Examples:
    """Read examples from a file, or make them and write it."""
    names = [field.name for field in fields(Examples)]
    if path.is_file():
        with np.load(path) as kept:
            return Examples(**{name: kept[name] for name in names})
    made = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial.npz")
    np.savez(partial, **{name: getattr(made, name) for name in names})
    partial.rename(path)
    return made
