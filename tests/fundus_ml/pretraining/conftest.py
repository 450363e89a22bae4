"""A few eyes of a few people, and a network small enough to pretrain on them."""

import pytest

from fundus_ml.models.classifiers import ClassifierSpec, make_classifier
from fundus_ml.pretraining import Encoder
from tests.fundus_ml.tiny_learning import SIZE, make_dataset

ARCH = "test_resnet"


@pytest.fixture(scope="session")
def eyes(tmp_path_factory):
    """24 training and 12 validation eyes, two of each person."""
    folder = tmp_path_factory.mktemp("pretraining") / "tiny"
    return make_dataset(folder, people={"train": 12, "val": 6})


@pytest.fixture
def classifier(eyes):
    """A random one."""
    spec = ClassifierSpec(
        arch=ARCH, head_hidden=5, mean=eyes.channel_mean, std=eyes.channel_std, size=SIZE
    )
    return make_classifier(spec, seed=3)


@pytest.fixture
def encoder(classifier):
    """Its feature extractor with a narrow expander."""
    return Encoder(classifier, projector=8, seed=3)
