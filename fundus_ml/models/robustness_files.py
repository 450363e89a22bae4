"""A classifier as a checkpoint that the library `robustness` reads.

The other direction needs nothing of its own: :mod:`.start_weights` takes the library's checkpoints.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from fundus_ml.models.classifiers import Classifier, features_for

PLACES = ("normalizer", "attacker.normalize")
NETWORKS = ("model.model", "attacker.model.model")
"""Where ``AttackerModel(DummyModel(network), dataset)`` keeps its two normalisers, and the one
network that it knows twice."""


class RobustnessNetwork(nn.Module):
    """A classifier without its normalisation, which `robustness` does before its networks.

    Args:
        classifier: Whose backbone and head are shared, not copied.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.spec = classifier.spec
        self.backbone = classifier.backbone
        self.head = classifier.head

    def forward(self, normalised: Tensor) -> Tensor:
        """Map ``(N, 3, H, W)`` normalised pixels to ``(N, 2)`` logits ``[-z/2, z/2]``."""
        logit = self._logit(normalised)
        if self.spec.both_flips and not self.training:
            logit = (logit + self._logit(normalised.flip(3))) / 2
        return torch.stack((-logit / 2, logit / 2), dim=1)

    def _logit(self, normalised: Tensor) -> Tensor:
        logit: Tensor = self.head(features_for(self.spec.head, self.backbone, normalised))
        return logit.squeeze(1)


def save_robustness_checkpoint(classifier: Classifier, path: Path, *, epoch: int = 0) -> None:
    """Write ``classifier`` as `robustness` writes its own checkpoints, tensors alone.

    It is read back by ``make_and_restore_model(arch=RobustnessNetwork(any_classifier),
    dataset=..., resume_path=path, add_custom_forward=True)``, where ``dataset.mean`` and
    ``dataset.std`` are tensors of three, overwritten from the file; ``any_classifier`` is made from
    the same ``spec``. That function ends in ``.cuda()``; without a GPU
    ``AttackerModel(DummyModel(RobustnessNetwork(any_classifier)), dataset)`` takes the tensors
    under ``model`` once ``module.`` is cut off their names.

    Args:
        classifier: What to write.
        path: File that appears or is replaced.
        epoch: What the library is told it is from.
    """
    network = RobustnessNetwork(classifier).state_dict()
    channels = {"new_mean": classifier.mean[0], "new_std": classifier.std[0]}
    state = {
        f"module.{place}.{name}": value.detach().cpu()
        for places, tensors in ((PLACES, channels), (NETWORKS, network))
        for place in places
        for name, value in tensors.items()
    }
    torch.save({"model": state, "epoch": epoch}, path)
