"""Does a network's gradient lie on structures that an eye can see?

The input gradients of adversarially trained networks align with edges; those of others look like
noise. Every fundus photograph has its rim and its vessels at similar places, so what counts is how
much better a gradient fits its own eye than the eyes of other people.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, gaussian_filter
from scipy.stats import spearmanr
from skimage.filters import scharr
from torch import Tensor, nn

from fundus_ml.attacks.search import frozen
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.errors import InputError
from fundus_ml.imaging.pictures import to_images
from fundus_ml.statistics.bootstrap import Floats, Interval
from fundus_ml.statistics.clustered import clustered_mean

__all__ = ["EdgeAlignment", "edge_alignment"]

EYES = 48
"""Eyes asked, one of each person."""
OTHERS = 3
"""Other people whose edges each gradient is set against."""
SMOOTHED = 1 / 64
"""Standard deviation of the smoothing of both maps, in sides of the image."""
DARK = 0.05
"""Grey value in [0, 1] below which a pixel is surround."""
RIM = 1 / 16
"""What is cut off inside the rim of the field of view, in sides: the rim is no structure."""
FEWEST_PIXELS = 50


@dataclass(frozen=True)
class EdgeAlignment:
    """Spearman correlations of gradient size and edge strength, means over people.

    Attributes:
        own: Gradient and edges of the same eye.
        others: Gradient of an eye and edges of other people's eyes.
        gain: The first less the second: 0 for a gradient that knows nothing of its own eye.
        eyes: Eyes measured, each of another person.
    """

    own: Interval
    others: Interval
    gain: Interval
    eyes: int

    def __str__(self) -> str:
        """Write the correlations in one line."""
        return (
            f"gradients correlate with edges of their own eye {self.own:.3f}, of other people's "
            f"{self.others:.3f}, gain {self.gain:.3f}, {self.eyes} eyes"
        )

    def metrics(self) -> dict[str, float]:
        """Under the names that runs keep."""
        return self.own.columns("gate/edge_correlation") | self.gain.columns("gate/edge_alignment")


def edge_alignment(
    model: nn.Module, dataset: FundusDataset, *, batch_size: int, resamples: int, seed: int
) -> EdgeAlignment:
    """Correlate the input gradients of a network with the edges of what it looks at.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits; given back as it was.
        dataset: Eyes; one of each of :data:`EYES` people is asked, all where there are fewer.
        batch_size: Eyes per pass.
        resamples: Bootstrap resamples of people.
        seed: Seed of the draw of people and of the bootstrap.

    Returns:
        Correlations inside the field of view without its rim. An eye whose gradient or edges are
        equal everywhere has correlation 0.

    Raises:
        InputError: Fewer than two people.

    Source:
        Tsipras et al. 2019, arXiv:1805.12152 (gradients of robust networks align with what is
        seen); Etmann et al. 2019, arXiv:1905.04172 (their alignment as a number). The comparison
        with edges of other people's eyes is ours.
    """
    rng = np.random.default_rng(seed)
    rows = _one_of_each(dataset.frame["person_group"].to_numpy(), rng)
    if len(rows) < 2:  # noqa: PLR2004 (another person)
        raise InputError("dataset: one person, whose gradients cannot be set against another's")
    pixels = dataset.pixels(rows)
    gradients = input_gradients(model, pixels, batch_size=batch_size)
    grey = pixels.mean(axis=3) / 255
    sigma = SMOOTHED * dataset.size
    steep = np.stack([gaussian_filter(each, sigma) for each in gradients])
    steepness = [scharr(each) for each in grey]  # type: ignore[no-untyped-call]
    edges = np.stack([gaussian_filter(each, sigma) for each in steepness])
    inside = np.stack(
        [binary_erosion(each > DARK, iterations=max(1, round(RIM * dataset.size))) for each in grey]
    )
    steps = range(1, min(OTHERS, len(rows) - 1) + 1)
    pairs = np.array(
        [
            [_pair(steep[i], edges, inside, i, (i + step) % len(rows)) for step in steps]
            for i in range(len(rows))
        ]
    )
    own, others = pairs.mean(axis=1).T
    people = np.arange(len(rows))

    def mean(values: Floats) -> Interval:
        return clustered_mean(values, people, resamples=resamples, seed=seed)

    return EdgeAlignment(mean(own), mean(others), mean(own - others), len(rows))


def input_gradients(model: nn.Module, pixels: NDArray[np.uint8], *, batch_size: int) -> Floats:
    """Size of the logit's gradient at every pixel, mean over channels, in fp32.

    Args:
        model: Maps pixels in [0, 1] to ``(N,)`` logits.
        pixels: ``(N, H, W, 3)`` uint8.
        batch_size: Eyes per pass.

    Returns:
        ``(N, H, W)``, 0 or more.
    """
    device = next(model.parameters()).device
    found: list[Tensor] = []
    with frozen(model):
        for first in range(0, len(pixels), batch_size):
            images = to_images(pixels[first : first + batch_size], device).requires_grad_()
            (gradient,) = torch.autograd.grad(model(images).sum(), images)
            found.append(gradient.abs().mean(dim=1).cpu())
    return torch.cat(found).double().numpy()


def _one_of_each(people: NDArray[np.generic], rng: np.random.Generator) -> NDArray[np.intp]:
    """Rows of one eye of each of :data:`EYES` people."""
    order = rng.permutation(len(people))
    _, first = np.unique(people[order], return_index=True)
    rows: NDArray[np.intp] = order[np.sort(first)[:EYES]]
    return rows


def _pair(
    steep: Floats, edges: Floats, inside: NDArray[np.bool_], eye: int, other: int
) -> tuple[float, float]:
    """Correlation with the own edges and with those of another, where both show retina."""
    both = inside[eye] & inside[other]
    if both.sum() < FEWEST_PIXELS:
        return 0.0, 0.0
    return _rank_correlation(steep[both], edges[eye][both]), _rank_correlation(
        steep[both], edges[other][both]
    )


def _rank_correlation(first: Floats, second: Floats) -> float:
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    return float(spearmanr(first, second).statistic)
