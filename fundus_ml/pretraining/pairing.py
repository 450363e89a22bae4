"""Two views of one eye: of one photograph, or of the two eyes of a person laid alike."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.pretraining.options import PAIRS
from fundus_ml.training.augmentation import Augmentation, augment, mirror

SIDES = ("left", "right")

VIEW = Augmentation(
    rotation=30.0,
    scale=(1.0, 1.3),
    shift=0.1,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    hue=8.0,
    blur=0.01,
)
"""Ranges of one view: magnified by 1.3 and moved, it shows 0.6 of the photograph's area. Mirroring
is not among them: both views of a pair are mirrored, or neither."""


class Pairing:
    """Which photograph each eye's second view is made from.

    With ``person`` it is another photograph of the same person where there is one, one of them
    drawn at each step, and mirrored where it shows the other eye: disc and fovea then lie alike.
    Photographs whose side is not known pair with themselves.

    Args:
        dataset: Eyes that are learned from; only they are paired.
        pairs: ``photograph`` or ``person``.

    Attributes:
        paired: How many of the eyes have another photograph to pair with.

    Raises:
        InputError: ``pairs`` is neither, or nobody has two photographs.

    Source:
        Azizi et al. 2021, arXiv:2101.05224 (MICLe). Mirroring the fellow eye is ours.
    """

    def __init__(self, dataset: FundusDataset, pairs: str) -> None:
        if pairs not in PAIRS:
            raise InputError(f"pairs={pairs}: allowed: {', '.join(PAIRS)}")
        self._dataset = dataset
        self._by_person = pairs == "person"
        self._right = dataset.frame["eye"].eq("right").to_numpy()
        person = _people(dataset)
        self._order = np.argsort(person, kind="stable")
        self._start = np.searchsorted(person[self._order], person)
        self._place = np.argsort(self._order) - self._start
        self._count = np.bincount(person)[person]
        self.paired = int((self._count > 1).sum()) if self._by_person else 0
        if self._by_person and not self.paired:
            raise InputError(
                f"pairs=person: nobody in {dataset.name} has two photographs of known side; "
                "pass pairs=photograph"
            )

    def views(
        self,
        rows: Tensor,
        images: Tensor,
        *,
        generator: torch.Generator,
        first: int = 0,
        of: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Make the two views of each eye of a batch, or of one process's share of it.

        Args:
            rows: ``(n,)`` positions in the dataset.
            images: ``(n, 3, H, W)`` float32 in [0, 1]: the photographs at ``rows``.
            generator: On the CPU; draws once for the whole batch.
            first: Where the share starts in the whole batch.
            of: Images of the whole batch; ``n`` when not given.

        Returns:
            Two times ``(n, 3, H, W)`` float32 in [0, 1].
        """
        whole = len(images) if of is None else of
        uniform = torch.rand(whole, 2, generator=generator)[first : first + len(images)]
        mirrored = (uniform[:, 0] < 0.5).to(images.device)  # noqa: PLR2004 (a coin)
        others = self._others(rows.numpy(), images, uniform[:, 1].numpy())
        one, two = (
            augment(mirror(shown, mirrored), VIEW, generator=generator, first=first, of=whole)
            for shown in (images, others)
        )
        return one, two

    def _others(
        self, rows: NDArray[np.int64], images: Tensor, uniform: NDArray[np.float32]
    ) -> Tensor:
        if not self._by_person:
            return images
        partners = self.partners(rows, uniform)
        others = to_images(self._dataset.pixels(partners), images.device)
        fellow = torch.from_numpy(self._right[partners] != self._right[rows])
        return mirror(others, fellow.to(images.device))

    def partners(self, rows: NDArray[np.int64], uniform: NDArray[np.float32]) -> NDArray[np.int64]:
        """Draw another photograph of each person; ``uniform`` is ``(n,)`` in [0, 1)."""
        count = self._count[rows]
        ahead = np.minimum(1 + np.floor(uniform * (count - 1)).astype(np.int64), count - 1)
        place = (self._place[rows] + ahead) % count
        return np.asarray(self._order[self._start[rows] + place], np.int64)


def _people(dataset: FundusDataset) -> NDArray[np.int64]:
    """Number the people; a photograph of unknown side counts as a person of its own."""
    frame = dataset.frame
    person = np.array(frame.groupby("person_group").ngroup(), np.int64)
    alone = ~frame["eye"].isin(SIDES).to_numpy()
    person[alone] = person.max() + 1 + np.arange(alone.sum())
    return np.unique(person, return_inverse=True)[1].astype(np.int64)
