"""Train, validation and test, cut so that no person stands on both sides."""

import hashlib

import pandas as pd

from fundus_ml.errors import InputError

FEWEST_PEOPLE = 3
"""From this many people on, a stratum gives at least one to every split asked for."""


def assign_splits(
    frame: pd.DataFrame, *, val_fraction: float = 0.15, test_fraction: float = 0.15, seed: int = 0
) -> pd.Series:
    """Give every eye its split, whole people at a time.

    People are stratified by source and sex, put in order by a hash of ``seed`` and their
    ``person_group``, and cut where the share of eyes comes nearest to the fraction asked for. A
    stratum does not look at the others, so rows of another source appended below never move an eye
    already placed. A person with rows in several sources or of both sexes belongs to the stratum of
    their first row and goes one way as a whole; apart from that the order of rows changes nothing.

    Args:
        frame: One row per eye with ``person_group``, ``source`` and ``label``.
        val_fraction: Share of the eyes of each stratum that goes to ``val``.
        test_fraction: Share that goes to ``test``; ``train`` gets the rest. A stratum of three
            people or more gives at least one to each split whose fraction is above 0.
        seed: Another seed is another cut.

    Returns:
        ``train``, ``val`` or ``test`` per row, on the index of ``frame``.

    Raises:
        InputError: A fraction is negative, or nothing is left for ``train``.
    """
    check_fractions(val_fraction=val_fraction, test_fraction=test_fraction)
    groups = frame.groupby("person_group", sort=False)
    people = groups[["source", "label"]].first()
    own = frame["source"].to_numpy() == groups["source"].transform("first").to_numpy()
    people["eyes"] = frame[own].groupby("person_group", sort=False).size()
    people["place"] = [_place(seed, str(person)) for person in people.index]
    placed: dict[object, str] = {}
    for _, stratum in people.sort_values("place").groupby(["source", "label"]):
        cuts = _cuts(stratum["eyes"].tolist(), test_fraction, val_fraction)
        for position, person in enumerate(stratum.index):
            placed[person] = _split(position, *cuts)
    split = frame["person_group"].map(placed).rename("split")
    if not split.eq("train").any():
        raise InputError(
            f"val_fraction={val_fraction} and test_fraction={test_fraction}: "
            f"leave no eye of {len(people)} people for train"
        )
    return split


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


def _place(seed: int, person: str) -> str:
    return hashlib.sha256(f"{seed}/{person}".encode()).hexdigest()


def _cuts(eyes: list[int], test_fraction: float, val_fraction: float) -> tuple[int, int]:
    reached = [0]
    for count in eyes:
        reached.append(reached[-1] + count)
    enough = len(eyes) >= FEWEST_PEOPLE
    lowest_test = int(enough and test_fraction > 0)
    lowest_val = int(enough and val_fraction > 0)
    highest = len(eyes) - int(enough)
    test = _nearest(
        reached, test_fraction * reached[-1], lowest_test, max(lowest_test, highest - lowest_val)
    )
    held_out = (test_fraction + val_fraction) * reached[-1]
    return test, _nearest(reached, held_out, test + lowest_val, highest)


def _nearest(reached: list[int], wanted: float, lowest: int, highest: int) -> int:
    return min(range(lowest, highest + 1), key=lambda people: abs(reached[people] - wanted))


def _split(position: int, test: int, held_out: int) -> str:
    if position < test:
        return "test"
    return "val" if position < held_out else "train"
