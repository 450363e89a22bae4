"""What a training starts from, also where that is a registered version."""

from collections.abc import Sequence
from typing import Protocol

from experiments.running.console import remark
from fundus_ml.data.dataset import FundusDataset
from fundus_ml.models.classifiers import Classifier, ClassifierSpec, make_classifier
from fundus_ml.models.imagenet import imagenet_source
from fundus_ml.models.levels import receptive_field
from fundus_ml.models.options import BAG
from fundus_ml.models.precision import best_device
from fundus_ml.models.start_weights import fill_backbone, load_start_weights
from tracking.registry import ModelVersion, load_classifier, resolve
from tracking.runs import Run

REGISTERED = "models:/"
IMAGENET = "imagenet"


class StartConfig(Protocol):
    """What a config says about the network to start from."""

    @property
    def arch(self) -> str:
        """Backbone, by its name in torchvision or timm."""

    @property
    def head_hidden(self) -> int:
        """Width of the head's hidden layer."""

    @property
    def head(self) -> str:
        """What the logit is read from."""

    @property
    def dropout(self) -> float:
        """Share that the head drops in training."""

    @property
    def both_flips(self) -> bool:
        """Whether an image and its mirror image are averaged."""

    @property
    def weights(self) -> str:
        """Start weights."""

    @property
    def seed(self) -> int:
        """Seed of the random weights."""


def start_classifier(
    config: StartConfig, dataset: FundusDataset, run: Run
) -> tuple[Classifier, ModelVersion | None]:
    """Build the network a training starts from.

    It normalises by the dataset's own channels, or as weights of ImageNet and checkpoints of
    `robustness` do.

    Returns:
        The classifier, on the best device; the registered version that its backbone comes from,
        which is the parent of what is trained.

    Raises:
        InputError: From :func:`fundus_ml.models.start_weights.load_start_weights`.
        TrackingError: No such registered version.
    """
    spec = ClassifierSpec(
        arch=config.arch,
        head_hidden=config.head_hidden,
        mean=dataset.channel_mean,
        std=dataset.channel_std,
        size=dataset.size,
        head=config.head,
        dropout=config.dropout,
        both_flips=config.both_flips,
    )
    run.set_tags({"arch": spec.arch})
    classifier = make_classifier(spec, seed=config.seed)
    parent = _fill(classifier, config.weights, run)
    if spec.head == BAG:
        field = receptive_field(classifier.backbone)
        remark(
            f"head=bag: arch={spec.arch} is read in patches of {field.size} pixels, every "
            f"{field.stride} pixels"
        )
    if classifier.spec != spec:
        remark(
            f"weights={config.weights}: pixels are normalised as there, "
            f"mean={_rounded(classifier.spec.mean)}, std={_rounded(classifier.spec.std)}"
        )
    return classifier.to(best_device()), parent


def registered_starts(weights: Sequence[str]) -> list[ModelVersion]:
    """List the registered versions among start weights."""
    return [resolve(each) for each in weights if each.startswith(REGISTERED)]


def _fill(classifier: Classifier, weights: str, run: Run) -> ModelVersion | None:
    version = None
    if weights.startswith(REGISTERED):
        version = resolve(weights)
        run.log_inputs(models=[version])
        run.set_tags({"start_version": version.uri})
        state = load_classifier(version.uri).state_dict()
        random = fill_backbone(classifier, state, weights=weights)
    else:
        if weights == IMAGENET:
            spec = classifier.spec
            source = imagenet_source(spec.arch, head=spec.head, size=spec.size)
            remark(f"weights=imagenet: {source}")
        random = load_start_weights(classifier, weights)
    if random:
        remark(f"weights={weights}: start at random: {', '.join(random)}")
    return version


def _rounded(channels: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in channels)
