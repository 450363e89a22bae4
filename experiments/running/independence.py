"""Which versions may evaluate a model's pictures: none that it was made from, none made from it."""

from fundus_ml.errors import InputError
from tracking.exposure import made_from
from tracking.registry import ModelVersion


def check_independent(evaluator: ModelVersion, model: ModelVersion, *, named: str) -> None:
    """Refuse an evaluator that has the model's weights, its descent, or descends from it.

    Lineage ends at a version that is not in the registry any more. Two versions made from a third
    pass: neither learned from the other.

    Args:
        evaluator: Scores the pictures.
        model: Makes them.
        named: What the user wrote, ``flag=address``.

    Raises:
        InputError: The evaluator is the model, an ancestor or a descendant of it.
    """
    advice = "name a version that was trained independently"
    if evaluator.content == model.content:
        raise InputError(f"{named}: is the model itself; {advice}")
    for above, below, words in (
        (evaluator, model, f"{model.uri} was made from it"),
        (model, evaluator, f"was made from {model.uri}"),
    ):
        _, *ancestors = made_from(below).values()
        if any(each is not None and each.content == above.content for each in ancestors):
            raise InputError(f"{named}: {words}, so it judges its own relative; {advice}")
