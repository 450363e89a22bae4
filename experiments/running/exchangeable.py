"""Which null models may be pooled for a model: those that learned from the same eyes."""

from fundus_ml.errors import InputError
from tracking.exposure import UNKNOWN
from tracking.registry import ModelVersion


def check_exchangeable(null_model: ModelVersion, model: ModelVersion, *, named: str) -> None:
    """Refuse a null model that learned from another dataset than the model.

    Null models of other people, or another camera, look elsewhere for reasons of their own: the
    model's rank among them is no test. That all answer one contrast is asked where they are read.

    Args:
        null_model: Learned shuffled labels.
        model: The version that is asked about.
        named: What the user wrote, ``flag=address``.

    Raises:
        InputError: Both say which dataset they learned from, and it is not the same.
    """
    learned, own = (version.tags.get("dataset_digest", UNKNOWN) for version in (null_model, model))
    if UNKNOWN not in (learned, own) and learned != own:
        raise InputError(
            f"{named}: learned from dataset {learned[:12]}, {model.uri} from {own[:12]}; null "
            "models are exchangeable with the model only where they learned from the same dataset"
        )
