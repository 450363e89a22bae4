"""Features, then embedding, under one roof."""

import pytest
import torch

from fundus_ml.errors import InputError
from fundus_ml.models.feature_extractor import FeatureExtractor
from fundus_ml.pretraining import Encoder
from tests.fundus_ml.tiny_learning import make_images


def test_features_come_first_and_the_embedding_is_made_of_them(classifier, encoder):
    images = make_images(3, 32, 40)
    encoder.eval()
    with torch.inference_mode():
        described = encoder(images)
        features = FeatureExtractor(classifier).eval()(images)
        assert described.shape == (3, encoder.width + 8)
        assert torch.equal(described[:, : encoder.width], features)
        hidden = features
        for convolution, norm in ((1, 2), (4, 5)):
            hidden = hidden @ encoder.projector[convolution].weight.flatten(1).T
            statistics = encoder.projector[norm]
            assert not statistics.running_mean.any()
            hidden = (hidden / (1 + statistics.eps) ** 0.5).relu()
        embedding = hidden @ encoder.projector[7].weight.flatten(1).T
        torch.testing.assert_close(described[:, encoder.width :], embedding)


def test_weights_depend_on_the_seed_alone(classifier):
    torch.manual_seed(0)
    first = Encoder(classifier, projector=4, seed=1).projector[1].weight
    torch.manual_seed(1)
    assert torch.equal(Encoder(classifier, projector=4, seed=1).projector[1].weight, first)
    assert not torch.equal(Encoder(classifier, projector=4, seed=2).projector[1].weight, first)


def test_an_empty_projector_is_refused(classifier):
    with pytest.raises(InputError, match="projector=0: must be at least 1"):
        Encoder(classifier, projector=0, seed=0)
