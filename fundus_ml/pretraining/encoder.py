"""The network that is pretrained: a feature extractor and a throw-away expander."""

import torch
from torch import Tensor, nn

from fundus_ml.errors import InputError
from fundus_ml.models.classifiers import Classifier
from fundus_ml.models.feature_extractor import FeatureExtractor


class Encoder(FeatureExtractor):
    """Pixels in; features to keep, and the embeddings that the loss compares.

    Attributes:
        projector: Two hidden layers and a linear one, all ``projector`` wide.

    Source:
        The expander of Bardes et al. 2022, arXiv:2105.04906 (8,192 wide there).
    """

    def __init__(self, classifier: Classifier, *, projector: int, seed: int) -> None:
        super().__init__(classifier)
        if projector < 1:
            raise InputError(f"projector={projector}: must be at least 1")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            expander = _expander(self.width, projector)
        self.projector = expander.to(self.mean.device)

    def forward(self, images: Tensor) -> Tensor:
        """Describe photographs.

        Args:
            images: ``(N, 3, H, W)`` float RGB in [0, 1], unnormalised.

        Returns:
            ``(N, width + projector)``: the feature extractor's features, then the embedding.
        """
        features = super().forward(images)
        return torch.cat((features, self.projector(features)), dim=1)


def _expander(width: int, projector: int) -> nn.Sequential:
    # Convolutions of one pixel are linear layers whose BatchNorm the engine knows how to share
    # between processes.
    return nn.Sequential(
        nn.Unflatten(1, (width, 1, 1)),
        nn.Conv2d(width, projector, 1, bias=False),
        nn.BatchNorm2d(projector),
        nn.ReLU(),
        nn.Conv2d(projector, projector, 1, bias=False),
        nn.BatchNorm2d(projector),
        nn.ReLU(),
        nn.Conv2d(projector, projector, 1, bias=False),
        nn.Flatten(1),
    )
