"""The smallest classifier with everything that can go wrong: BatchNorm, pooling, one logit."""

import json

import torch
from safetensors.torch import load_file, save_file
from torch import nn

FORMAT = "tests.tiny/1"


class TinyClassifier(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.width = width
        self.convolution = nn.Conv2d(3, width, 3, stride=2)
        self.normalisation = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, 1)

    def forward(self, images):
        features = torch.relu(self.normalisation(self.convolution(images)))
        return self.head(nn.functional.adaptive_avg_pool2d(features, 1).flatten(1)).squeeze(1)


def save_classifier(network, folder):
    folder.mkdir()
    save_file(network.state_dict(), folder / "weights.safetensors")
    recipe = {"format": FORMAT, "width": network.width}
    (folder / "classifier.json").write_text(json.dumps(recipe))
    return folder


def load_classifier(folder):
    recipe = json.loads((folder / "classifier.json").read_text())
    network = TinyClassifier(recipe["width"])
    network.load_state_dict(load_file(folder / "weights.safetensors"))
    return network
