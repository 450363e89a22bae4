"""A classifier's backbone without its last layer, as a network of its own."""

import copy

from torch import Tensor, nn

from fundus_ml.models.backbones import last_layer_name
from fundus_ml.models.classifiers import Classifier


class FeatureExtractor(nn.Module):
    """Pixels in, the features that the last layer reads out.

    A copy: the classifier it was made from stays as it is until :meth:`give_back`.

    Attributes:
        width: Number of features of an image.
        backbone: The network, its last layer replaced by the identity.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.register_buffer("mean", classifier.mean.clone())
        self.register_buffer("std", classifier.std.clone())
        self.backbone = copy.deepcopy(classifier.backbone)
        name = last_layer(classifier)
        self.width = int(self.backbone.get_parameter(f"{name}.weight").shape[1])
        self.backbone.set_submodule(name, nn.Identity())

    def forward(self, images: Tensor) -> Tensor:
        """Describe photographs.

        Args:
            images: ``(N, 3, H, W)`` float RGB in [0, 1], unnormalised.

        Returns:
            ``(N, width)`` features.
        """
        features: Tensor = self.backbone((images - self.mean) / self.std)
        return features

    def give_back(self, classifier: Classifier) -> None:
        """Put the weights into a classifier of its kind; last layer and head stay."""
        missing, unexpected = classifier.backbone.load_state_dict(
            self.backbone.state_dict(), strict=False
        )
        last = last_layer(classifier)
        assert not unexpected, unexpected
        assert all(name.startswith(f"{last}.") for name in missing), missing


def last_layer(classifier: Classifier) -> str:
    """Name of the backbone's layer whose outputs are ``head_hidden``, as it would be classes."""
    return last_layer_name(classifier.backbone)
