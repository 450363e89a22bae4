"""Small networks that tell tiny eyes apart: plain, adversarially trained, and two that mask."""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fundus_ml.attacks import ThreatModel, pgd
from fundus_ml.imaging.pictures import to_images
from tests.fundus_ml.tiny_learning import SmallNetwork

TRAINED_FOR = 0.25
SEED = 2


def teach(dataset, *, eps=0.0, steps=50):
    """A network taught on the training eyes, moved inside a ball where ``eps`` is above 0."""
    train = dataset.split("train")
    images, labels = to_images(train.pixels(np.arange(len(train)))), torch.from_numpy(train.labels)
    model = SmallNetwork(seed=0).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    threat = ThreatModel(constraint="l2", eps=eps)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)  # of the dropout, whatever ran before
        for _ in range(steps):
            x_adv = images
            if eps:
                x_adv = pgd(model, images, labels, threat=threat, step_size=eps / 2, attack_steps=5)
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(model(x_adv), labels).backward()
            optimizer.step()
    return model.eval()


class Saturated(nn.Module):
    """So steep that the gradient vanishes in float32; it names every eye as before."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return 30 * torch.tanh(200 * self.model(images))


class Quantised(nn.Module):
    """Rounds what it sees: the gradient is zero wherever there is one."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model((images * 16).round() / 16)
