"""The one place that imports saliency: XRAI, which ranks segments of the eye."""

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb
from skimage.transform import resize
from torch import Tensor

from fundus_ml.attribution.explained_logit import ExplainedLogit
from fundus_ml.attribution.integrated_gradients import along_path
from fundus_ml.attribution.options import AttributionOptions
from fundus_ml.imaging.opencv import cv2

SIDE = 224
"""Side of the picture that is cut into segments."""
SCALES = (50, 100, 150, 250, 500, 1200)
"""Scales of Felzenszwalb's segmentation, each of which gives a set of segments."""
SIGMA, FEWEST_PIXELS = 0.8, 150
GROWN = 5
"""Pixels by which each segment grows over its edge."""


def xrai(explained: ExplainedLogit, images: Tensor, options: AttributionOptions) -> Tensor:
    """Give each segment the mean of its integrated gradients, ``(N, H, W)``.

    The baselines are those of the source whatever the options say: each eye's darkest and its
    brightest value. A picture of one value has no segments and a map of 0.

    Source:
        Kapishnikov et al. 2019, arXiv:1906.02825, by their library, with integrated gradients
        that are computed here in batches by the library's rule.
    """
    nodes = torch.linspace(0, 1, options.integration_steps).to(images)
    weights = torch.full_like(nodes, 1 / len(nodes))
    lowest, highest = images.amin((1, 2, 3)), images.amax((1, 2, 3))
    attribution = torch.zeros_like(images)
    for value in (lowest, highest):
        baselines = value.view(-1, 1, 1, 1).expand_as(images)
        attribution += along_path(
            explained,
            images,
            baselines,
            nodes=nodes,
            weights=weights,
            batch_size=options.batch_size,
        )
    found = np.zeros((len(images), *images.shape[2:]), np.float32)
    eyes = images.permute(0, 2, 3, 1).cpu().numpy()
    base = (attribution / 2).permute(0, 2, 3, 1).cpu().numpy()
    for place in (highest > lowest).nonzero().flatten().tolist():
        found[place] = _ranked(eyes[place], base[place], options.xrai)
    return torch.from_numpy(found).to(images)


def _ranked(
    eye: NDArray[np.float32], attribution: NDArray[np.float32], algorithm: str
) -> NDArray[np.float32]:
    """Cut one ``(H, W, 3)`` eye into segments and rank them."""
    from saliency.core import XRAI, XRAIParameters  # noqa: PLC0415 (takes a second)

    ranked = XRAI().GetMask(
        eye,
        None,
        segments=segments_of(eye),
        base_attribution=attribution,
        extra_parameters=XRAIParameters(algorithm=algorithm),
    )
    return np.asarray(ranked, np.float32)


def segments_of(eye: NDArray[np.float32]) -> list[NDArray[np.bool_]]:
    """Cut one ``(H, W, 3)`` eye of more than one value into overlapping ``(H, W)`` segments.

    Source:
        Felzenszwalb and Huttenlocher 2004, with the parameters of the library, whose segments
        these are; the library grows each by scikit-image, which takes as long as all the rest.
    """
    stretched = 2 * (eye - eye.min()) / (eye.max() - eye.min()) - 1
    how = {"mode": "constant", "preserve_range": True}
    view = resize(stretched, (SIDE, SIDE), order=3, anti_aliasing=True, **how)  # type: ignore[no-untyped-call]
    ring = np.arange(-GROWN, GROWN + 1) ** 2
    disc = (ring[:, None] + ring <= GROWN**2).astype(np.uint8)
    segments = []
    for scale in SCALES:
        cut = felzenszwalb(view, scale=scale, sigma=SIGMA, min_size=FEWEST_PIXELS)
        cut = resize(cut, eye.shape[:2], order=0, anti_aliasing=False, **how).astype(int)  # type: ignore[no-untyped-call]
        for number in range(cut.min(), cut.max() + 1):
            mask = (cut == number).astype(np.uint8)
            segments.append(cv2.dilate(mask, disc, borderType=cv2.BORDER_CONSTANT) > 0)
    return segments
