"""Networks small enough to explain by slow plain code."""

import torch
from torch import nn

from fundus_ml.attribution import AttributionOptions, attribute
from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from tests.fundus_ml.tiny_learning import make_images

HEIGHT, WIDTH = 40, 48


class SmallBackbone(nn.Module):
    """Two convolutions with BatchNorm and ReLU; its last level is ``layer4``."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            self.conv1 = nn.Conv2d(3, 8, 5, stride=2, padding=2)
            self.bn1 = nn.BatchNorm2d(8)
            self.relu = nn.ReLU(inplace=True)
            second = nn.Conv2d(8, 12, 3, stride=2, padding=1)
            self.layer4 = nn.Sequential(second, nn.BatchNorm2d(12), nn.ReLU(inplace=True))
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.fc = nn.Linear(12, 8)
        self.bn1.running_mean = torch.linspace(-0.3, 0.3, 8)

    def forward(self, images):
        features = self.layer4(self.relu(self.bn1(self.conv1(images))))
        return self.fc(self.pool(features).flatten(1))


def small_classifier(*, both_flips=False):
    """A classifier whose backbone takes no time."""
    network = classifier(both_flips=both_flips)
    network.backbone = SmallBackbone()
    return network


def classifier(arch="test_resnet", *, both_flips=False, head="last"):
    """Random weights, in training mode."""
    spec = ClassifierSpec(
        arch=arch,
        head_hidden=8,
        mean=(0.5, 0.4, 0.3),
        std=(0.3, 0.2, 0.25),
        size=48,
        head=head,
        both_flips=both_flips,
    )
    return make_classifier(spec, seed=1)


def eyes(count=3, **changed):
    """``(count, 3, 40, 48)``."""
    return make_images(count, HEIGHT, WIDTH, **changed)


def explain(method, network, images, *, regions=None, on_step=None, **changed):
    """Few steps, batches of two."""
    few = {
        "batch_size": 2,
        "integration_steps": 5,
        "noisy_passes": 3,
        "modulation_steps": 3,
        "window": 0.25,
        "stride": 0.25,
    }
    options = AttributionOptions(**few | changed)
    return attribute(method, network, images, options=options, regions=regions, on_step=on_step)


class SixNetwork(nn.Module):
    """ReLU6 in place, ReLU as a layer and as a function; some sixes are reached."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            self.first = nn.Conv2d(3, 6, 3, padding=1, stride=2)
            self.six = nn.ReLU6(inplace=True)
            self.second = nn.Conv2d(6, 8, 3, padding=1, stride=2)
            self.relu = nn.ReLU()
            self.third = nn.Conv2d(8, 8, 3, padding=1)
            self.last = nn.Linear(8, 1)

    def forward(self, images):
        features = self.six(12 * self.first(images - 0.4))
        features = self.relu(self.second(features))
        features = nn.functional.relu(self.third(features))
        return self.last(features.mean((2, 3))).squeeze(1)


class PatchNetwork(nn.Module):
    """Linear in the pixels of one patch; reads nothing else."""

    def __init__(self):
        super().__init__()
        weight = torch.zeros(3, HEIGHT, WIDTH)
        generator = torch.Generator().manual_seed(4)
        weight[:, 8:20, 12:28] = torch.randn(3, 12, 16, generator=generator)
        self.weight = nn.Parameter(weight)

    @property
    def patch(self):
        """``(H, W)`` booleans."""
        return self.weight.detach().abs().sum(0) > 0

    def forward(self, images):
        return (images * self.weight).sum((1, 2, 3)) + 0.5
