"""Networks that can be explained in closed form, eyes, maps and regions; every axis its own."""

import numpy as np
import torch
from torch import nn

from fundus_ml.faithfulness.explained import Explained
from fundus_ml.imaging.regions.maps import REGION_FLAGS

COUNT, HEIGHT, WIDTH = 5, 20, 26


class Weighted(nn.Module):
    """A linear network: the sum of weights times pixels, plus a bias."""

    def __init__(self, *, bias=0.0, seed=0):
        super().__init__()
        drawn = torch.randn(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))
        drawn -= drawn.mean()
        self.weight, self.bias = nn.Parameter(drawn), nn.Parameter(torch.tensor([bias]))

    def forward(self, images):
        return (images * self.weight).sum((1, 2, 3)) + self.bias


class Curved(nn.Module):
    """A small convolutional network with BatchNorm whose statistics are not those of a start."""

    def __init__(self, *, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(3, 6, 5, stride=2)
            self.norm = nn.BatchNorm2d(6)
            self.deep = nn.Conv2d(6, 4, 3)
            self.head = nn.Linear(4, 1)
            self.norm.running_mean.normal_(0, 0.1)
            self.norm.running_var.uniform_(0.01, 0.1)
            self.head.bias.data.zero_()

    def forward(self, images):
        features = torch.relu(self.norm(self.stem(images)))
        return self.head(torch.tanh(self.deep(features)).mean((2, 3))).squeeze(1)


def make_images(seed=1):
    return torch.rand(COUNT, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def make_maps(seed=2):
    return torch.randn(COUNT, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(seed))


def input_gradient(model, images):
    images = images.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(model(images).sum(), images)
    return gradient.sum(dim=1)


def make_explained(model=None, maps=None, images=None, **how):
    return Explained.make(
        Curved() if model is None else model,
        make_images() if images is None else images,
        make_maps() if maps is None else maps,
        **how,
    )


def make_regions():
    """A retina with disc, macula, a vessel and its rim; the last eye shows no disc."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    regions = np.zeros((COUNT, HEIGHT, WIDTH), np.uint8)
    for place in range(COUNT):
        retina = np.hypot(down - 10, across - 13) < 9.5
        disc = np.hypot(down - 9, across - 8 - place % 2) < 2.6
        macula = np.hypot(down - 11, across - 17) < 2.2
        vessels = (np.abs(down - 6 - place % 3) < 1) & (across > 6)
        rim = np.hypot(down - 10, across - 13) > 8
        drawn = {"disc": disc, "macula": macula, "vessels": vessels, "periphery": rim}
        for name, mask in drawn.items():
            regions[place] |= (mask & retina) * np.uint8(REGION_FLAGS[name])
        regions[place] |= retina * np.uint8(REGION_FLAGS["retina"])
    regions[-1] &= ~np.uint8(REGION_FLAGS["disc"])
    return regions
