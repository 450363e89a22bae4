"""Whether a map depends on what the network learned, and on the seed it was made with."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import torch
from torch import nn

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.explained import Explain, Explained, SeededExplain, explained_again
from fundus_ml.faithfulness.similarity import rank_correlation, structural_similarity

CASCADE_COLUMNS = ("row", "stage", "layer", "layers", "rank_correlation", "ssim")


def cascade(explained: Explained, explain: Explain, *, stages: int, seed: int) -> pd.DataFrame:
    """Re-initialise the network from its last layer down and compare the maps at every stage.

    Args:
        explained: N images and their maps.
        explain: Makes maps of the images with the network it is handed.
        stages: How often maps are made; layers are shared out evenly over them.
        seed: Seed of the weights.

    Returns:
        One row per image and stage: ``row stage layer layers rank_correlation ssim``: the last
        layer that was re-initialised and how many were, then the similarities of the absolute maps
        with those of the network itself. NaN where a map says nothing.

    Raises:
        InputError: The network has no layer with parameters, ``explain`` gives no finite
            ``(n, H, W)`` maps, or maps are smaller than the window of the similarity.

    Source:
        Adebayo et al. 2018, arXiv:1810.03292. "From the top" is from the last registered layer;
        theirs shows every layer, ours ``stages`` of them.
    """
    original = explained.attributions.abs()
    found = []
    for stage, (network, layer, layers) in enumerate(
        _randomised(explained.given, stages=stages, seed=seed), start=1
    ):
        again = explained_again(
            explain, network, explained.images, batch_size=explained.batch_size
        ).abs()
        found.append(
            pd.DataFrame(
                {
                    "row": np.arange(len(explained)),
                    "stage": stage,
                    "layer": layer,
                    "layers": layers,
                    "rank_correlation": rank_correlation(original, again),
                    "ssim": structural_similarity(original, again),
                }
            )
        )
    return pd.concat(found, ignore_index=True)[list(CASCADE_COLUMNS)]


def repeatability(
    explained: Explained, explain: SeededExplain, *, repeats: int, seed: int
) -> pd.DataFrame:
    """Compare the maps that a method makes of one image from several seeds.

    Args:
        explained: N images.
        explain: Makes maps of images with a network and a seed.
        repeats: Seeds, 2 or more.
        seed: The first of them; the others follow it.

    Returns:
        One row per image: ``row rank_correlation ssim``, means over all pairs of seeds of the
        similarities of the absolute maps; 1 for a method that draws nothing.

    Raises:
        InputError: As :func:`cascade`.

    Source:
        None.
    """
    maps = [
        explained_again(
            _seeded(explain, own),
            explained.given,
            explained.images,
            batch_size=explained.batch_size,
        ).abs()
        for own in range(seed, seed + repeats)
    ]
    pairs = list(combinations(maps, 2))
    return pd.DataFrame(
        {
            "row": np.arange(len(explained)),
            "rank_correlation": np.mean([rank_correlation(*pair) for pair in pairs], axis=0),
            "ssim": np.mean([structural_similarity(*pair) for pair in pairs], axis=0),
        }
    )


def _seeded(explain: SeededExplain, seed: int) -> Explain:
    return lambda model, images: explain(model, images, seed)


def _randomised(
    model: nn.Module, *, stages: int, seed: int
) -> Iterator[tuple[nn.Module, str, int]]:
    """Yield a copy of the network at every stage, the layer reached, and how many were changed."""
    network = deepcopy(model)
    layers = [
        (name, module)
        for name, module in network.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ][::-1]
    if not layers:
        raise InputError("classifier: has no parameters that could be randomised")
    ends = np.unique(np.linspace(0, len(layers), stages + 1).round().astype(int))
    cuda = sorted({each.device.index for each in network.parameters() if each.is_cuda})
    for first, last in pairwise(ends.tolist()):
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(seed + first)
            for _, module in layers[first:last]:
                _initialise(module)
        yield network, layers[last - 1][0], last


def _initialise(layer: nn.Module) -> None:
    """Draw a layer's own start again; where it knows none, permute each of its tensors."""
    reset = getattr(layer, "reset_parameters", None)
    if callable(reset):
        reset()
        return
    with torch.no_grad():
        for parameter in layer.parameters(recurse=False):
            flat = parameter.flatten()
            order = torch.randperm(len(flat), device=flat.device)
            parameter.copy_(flat[order].view_as(parameter))
