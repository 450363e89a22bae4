"""What frozen layers make of every eye, computed once and read from disk in every epoch."""

import hashlib
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from fundus_ml.data.dataset import FundusDataset, read_batches
from fundus_ml.data.owned_folders import write_object
from fundus_ml.errors import InputError
from fundus_ml.models.frozen import FrozenPart
from fundus_ml.training.distribution import wait, world

DESCRIPTION = "features.json"
FEATURES, WRITTEN = "features.npy", "written.npy"
VIEWS = 2
"""An image and its mirror image."""

OnStored = Callable[[int, int], None]


class FeatureDataset(FundusDataset):
    """Eyes whose batches are stored features of both views instead of pixels.

    Args:
        eyes: The eyes.
        stored: ``(m, 2, D)`` float16, mapped from a file.
        rows: ``(len(eyes),)`` row of each eye in ``stored``.
    """

    def __init__(self, eyes: FundusDataset, stored: NDArray[np.float16], rows: ArrayLike) -> None:
        self.__dict__.update(eyes.__dict__)
        self._eyes, self._stored, self._rows = eyes, stored, np.asarray(rows, np.intp)

    def select(self, rows: ArrayLike) -> Self:
        """Keep the eyes at ``rows``, as :meth:`FundusDataset.select` does."""
        kept = self._positions(rows)
        return type(self)(self._eyes.select(kept), self._stored, self._rows[kept])

    def relabelled(self, labels: ArrayLike) -> Self:
        """Give every eye another label, as :meth:`FundusDataset.relabelled` does."""
        return type(self)(self._eyes.relabelled(labels), self._stored, self._rows)

    def learning(self, learned: FundusDataset) -> Self:
        """Keep the eyes of ``learned``, in its order, with its labels."""
        rows = self.frame.reset_index().set_index("image_id")["index"]
        kept = self.select(rows[learned.frame["image_id"]].to_numpy())
        return kept.relabelled(learned.labels)

    def read(self, indices: ArrayLike) -> NDArray[np.float16]:
        """Read the features at ``indices``, ``(n, 2, D)``."""
        return self._stored[self._rows[self._positions(indices)]]

    def as_batch(self, read: NDArray[np.float16], device: torch.device | str) -> Tensor:
        """Widen what :meth:`read` gave to float32 on a device."""
        return torch.from_numpy(np.ascontiguousarray(read)).to(device).float()


def store_features(
    frozen: FrozenPart,
    eyes: FundusDataset,
    *,
    within: Path,
    batch_size: int,
    on_stored: OnStored | None = None,
) -> FeatureDataset:
    """Compute the features of all eyes and of their mirror images, those that are not there yet.

    They lie in a folder of ``within`` that is named by the layers' weights and the eyes: any
    training with the same of both finds them, and one that was killed goes on. Of several processes
    each computes a share.

    Args:
        frozen: On its device.
        eyes: Their labels do not matter.
        within: Made when missing.
        batch_size: Eyes per pass.
        on_stored: Called with (eyes done, eyes in all).

    Returns:
        The same eyes, their features in place of their pixels.

    Raises:
        InputError: The disk is too full, or the folder holds something else.
    """
    device = next(frozen.parameters()).device
    width = int(frozen(torch.zeros(1, 3, eyes.size, eyes.size, device=device)).shape[1])
    folder = within / f"features-{_digest(frozen, eyes)}"
    shape = (len(eyes), VIEWS, width)
    if world().first:
        _prepare(folder, shape)
    wait()
    _fill(folder, frozen, eyes, batch_size, on_stored)
    wait()
    return FeatureDataset(eyes, np.load(folder / FEATURES, mmap_mode="r"), np.arange(len(eyes)))


def _prepare(folder: Path, shape: tuple[int, int, int]) -> None:
    """Make the folder whole or not at all, also where several processes try it at once."""
    if (folder / DESCRIPTION).is_file():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    needed, free = 2 * int(np.prod(shape)), shutil.disk_usage(folder.parent).free
    if needed > free:
        raise InputError(
            f"{folder}: the features of {shape[0]} eyes take {needed / 1e6:.0f} MB, "
            f"{free / 1e6:.0f} MB are free; make room, or freeze more"
        )
    with TemporaryDirectory(
        prefix=f"{folder.name}-", dir=folder.parent, ignore_cleanup_errors=True
    ) as name:
        made = Path(name)
        open_memmap(made / FEATURES, "w+", np.float16, shape).flush()
        open_memmap(made / WRITTEN, "w+", np.bool_, shape[:1]).flush()
        write_object(made / DESCRIPTION, {"eyes": shape[0], "values_per_view": shape[2]})
        with suppress(OSError):  # another process was first
            made.rename(folder)
    if not (folder / DESCRIPTION).is_file():
        raise InputError(f"{folder}: holds something else than stored features; move it away")


@torch.inference_mode()
def _fill(
    folder: Path,
    frozen: FrozenPart,
    eyes: FundusDataset,
    batch_size: int,
    on_stored: OnStored | None,
) -> None:
    """Write what is missing of this process's rows, which are its own however far others are."""
    features, written = (open_memmap(folder / name, "r+") for name in (FEATURES, WRITTEN))
    share = np.arange(world().rank, len(eyes), world().size)
    missing = torch.from_numpy(share[~written[share]])
    device = next(frozen.parameters()).device
    done = len(eyes) - len(missing) * world().size
    for rows, images in read_batches(eyes, torch.split(missing, batch_size), device=device):
        both = torch.stack([frozen(images), frozen(images.flip(3))], dim=1)
        features[rows.numpy()] = both.half().cpu().numpy()
        written[rows.numpy()] = True
        done += len(rows) * world().size
        if on_stored is not None:
            on_stored(min(done, len(eyes)), len(eyes))
    features.flush()
    written.flush()


def _digest(frozen: FrozenPart, eyes: FundusDataset) -> str:
    """Name what decides the features: layers, weights, eyes."""
    digest = hashlib.sha256(f"{eyes.digest} {frozen.kind}".encode())
    digest.update("\n".join(eyes.frame["image_id"]).encode())
    for name, value in sorted(frozen.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]
