"""What a user may ask of a dataset; imports nothing that takes time."""

from collections.abc import Sequence
from typing import Literal

from fundus_ml.errors import InputError

Verify = Literal["quick", "full"]
"""``quick``: manifest, sizes and a sample of eyes; ``full``: every byte, and the digest itself."""
FACTORS = ("sex", "source", "age")
"""What weights can make equal; ages are taken in bands."""
TRUE, SHUFFLED = "true", "shuffled"
EYE = "eye"
"""The contrast, or the label of a null model, of left and right."""
OTHER_LABELS = (EYE, "age", "camera", "source")
"""Other real labels of the same eyes that a null model may learn."""
SEX = "sex"
"""The contrast that is asked where none is named."""


def check_labels(labels: str, *, augment: str, both_flips: bool = False) -> None:
    """Refuse a word that names no labels, and left and right where eyes are mirrored.

    Args:
        labels: ``true``, ``shuffled``, or one of :data:`OTHER_LABELS`.
        augment: Every augmentation but ``none`` mirrors half of the images.
        both_flips: Whether the network answers alike for an eye and its mirror image.

    Raises:
        InputError: It is none of these, or ``eye`` with an augmentation or ``both_flips``.
    """
    allowed = (TRUE, SHUFFLED, *OTHER_LABELS)
    if labels not in allowed:
        raise InputError(f"labels={labels}: allowed: {', '.join(allowed)}")
    if labels == EYE:
        check_sides("labels=eye", augment=augment, both_flips=both_flips)


def check_sides(named: str, *, augment: str, both_flips: bool = False, head: str = "") -> None:
    """Refuse to learn left from right where eyes are mirrored.

    Args:
        named: What asks for it, such as ``contrast=eye``.
        augment: Every augmentation but ``none`` mirrors half of the images.
        both_flips: Whether the network answers alike for an eye and its mirror image.
        head: Its head; ``grid`` reads an eye and its mirror image alike.

    Raises:
        InputError: One of them does.
    """
    if augment != "none":
        raise InputError(
            f"{named}: augment={augment} mirrors a left eye into a right one; give augment=none"
        )
    if both_flips or head == "grid":
        which = "both_flips" if both_flips else f"head={head}"
        raise InputError(
            f"{named}: {which} answers alike for a left eye and its mirror image; name a network "
            "or a recipe without it"
        )


def check_share(train_people: float) -> None:
    """Refuse a share of the people that is none.

    Raises:
        InputError: It is not above 0 and at most 1.
    """
    if not 0 < train_people <= 1:
        raise InputError(f"train_people={train_people}: must be above 0 and at most 1")


def factors_of(balance: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    return tuple(name.strip() for name in balance.split(",") if name.strip())


def check_factors(by: Sequence[str]) -> None:
    """Refuse factors that no weight can balance.

    Raises:
        InputError: One is unknown or stands twice.
    """
    for name in by:
        if name not in FACTORS:
            raise InputError(f"balance={name}: allowed: {', '.join(FACTORS)}")
    if len(set(by)) < len(by):
        raise InputError(f"balance={','.join(by)}: a factor stands twice")


def check_fractions(*, val_fraction: float, test_fraction: float) -> None:
    """Refuse fractions that no split can have, before any work is done for them.

    Raises:
        InputError: A fraction is negative, or nothing is left for ``train``.
    """
    for name, value in (("val_fraction", val_fraction), ("test_fraction", test_fraction)):
        if not 0 <= value < 1:
            raise InputError(f"{name}={value}: must be at least 0 and below 1")
    if val_fraction + test_fraction >= 1:
        raise InputError(
            f"val_fraction={val_fraction} and test_fraction={test_fraction}: "
            "must sum to less than 1, train gets the rest"
        )
