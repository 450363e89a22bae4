import pytest

from tracking import search_spaces
from tracking.errors import TrackingError

SPACE = {
    "lr": {"low": 1e-5, "high": 1e-1, "log": True},
    "depth": {"low": 1, "high": 3},
    "optimizer": {"choices": ["adamw", "sgd"]},
}


@pytest.mark.parametrize(
    "entry",
    [
        {"low": 1.0},
        {"low": 2.0, "high": 1.0},
        {"low": "a", "high": "b"},
        {"low": 0, "high": 1, "lgo": True},
        {"choices": []},
        {"choices": ["a"], "log": True},
        [1, 2],
    ],
)
def test_a_space_nothing_can_be_drawn_from_is_refused(entry):
    with pytest.raises(TrackingError, match=r"search space of 'lr' is .*; must be low and high"):
        search_spaces.check_space({"lr": entry})


def test_a_logarithmic_range_from_zero_is_refused():
    with pytest.raises(TrackingError, match=r"search space of 'lr' is .*`low > 0` must hold"):
        search_spaces.check_space({"lr": {"low": 0.0, "high": 1.0, "log": True}})


def test_values_outside_are_named():
    inside = {"lr": 1e-5, "depth": 3, "optimizer": "sgd"}
    assert search_spaces.outside(SPACE, inside) == {}
    beyond = {"lr": 0.2, "depth": 0, "optimizer": "lion", "colour": 1}
    assert search_spaces.outside(SPACE, inside | beyond) == beyond
    assert search_spaces.outside(SPACE, {"lr": "fast"}) == {"lr": "fast"}


def test_extremes_are_both_ends_and_every_choice():
    assert search_spaces.extremes(SPACE) == [
        ("lr", 1e-5),
        ("lr", 1e-1),
        ("depth", 1),
        ("depth", 3),
        ("optimizer", "adamw"),
        ("optimizer", "sgd"),
    ]


def test_whole_numbers_stay_whole():
    drawn = search_spaces.distributions(SPACE)
    assert [type(d).__name__ for d in drawn.values()] == [
        "FloatDistribution",
        "IntDistribution",
        "CategoricalDistribution",
    ]
