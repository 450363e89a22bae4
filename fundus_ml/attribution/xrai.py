"""The one place that imports saliency: XRAI, which ranks segments of the eye."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fundus_ml.attribution.explained import Explained
from fundus_ml.attribution.integrated_gradients import along_path
from fundus_ml.attribution.options import AttributionOptions


def xrai(explained: Explained, images: Tensor, options: AttributionOptions) -> Tensor:
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
        base_attribution=attribution,
        extra_parameters=XRAIParameters(algorithm=algorithm),
    )
    return np.asarray(ranked, np.float32)
