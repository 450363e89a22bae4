"""One check of ranges and choices, in one form of words."""

from dataclasses import dataclass

import pytest

from fundus_ml.errors import InputError, refuse_outside


@dataclass
class Config:
    size: float = 2
    word: str = "a"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"size": 0}, "size=0: must be at least 1"),
        ({"size": float("nan")}, "size=nan: must be at least 1"),
        ({"size": float("inf")}, "size=inf: must be at least 1"),
        ({"word": "c"}, "word=c: allowed: a, b"),
    ],
)
def test_a_field_out_of_range_is_refused_in_one_line(given, line):
    with pytest.raises(InputError, match=f"^{line}$"):
        refuse_outside(Config(**given), at_least={"size": 1}, one_of={"word": ("a", "b")})


def test_the_ends_of_a_range_are_in_it():
    refuse_outside(Config(size=1), at_least={"size": 1}, one_of={"word": ("a", "b")})
    refuse_outside(Config(size=-5))
