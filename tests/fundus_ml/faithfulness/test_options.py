"""Options out of range are refused in one line."""

import pytest

from fundus_ml.errors import InputError
from fundus_ml.faithfulness.options import FaithfulnessOptions


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("batch_size", 0, "batch_size=0: must be at least 1"),
        ("levels", 0, "levels=0: must be at least 1"),
        ("patch", 0, "patch=0: must be at least 1"),
        ("noise_draws", 0, "noise_draws=0: must be at least 1"),
        ("stages", 0, "stages=0: must be at least 1"),
        ("subsets", 2, "subsets=2: must be at least 3"),
        ("repeats", 1, "repeats=1: must be at least 2"),
        ("tolerance", -1.0, "tolerance=-1.0: must be at least 0"),
        ("fills", (), "fills: empty; allowed: mean, black, blur"),
        ("fills", ("mean", "noise"), "fills=noise: allowed: mean, black, blur"),
        ("removal_fill", "noise", "removal_fill=noise: allowed: mean, black, blur"),
        ("energy", "cube", "energy=cube: allowed: square, magnitude"),
        ("blur", 0.0, "blur=0.0: must be a finite number above 0"),
        ("noise_radius", float("inf"), "noise_radius=inf: must be a finite number above 0"),
        ("removed_shares", (), "removed_shares=: each must lie above 0 and below 1"),
        ("removed_shares", (0.2, 1), "removed_shares=0.2, 1: each must lie above 0 and below 1"),
        ("seed", -1, "seed=-1: must be from 0 to 4294967295"),
    ],
)
def test_a_field_out_of_range_is_refused(field, value, said):
    with pytest.raises(InputError, match=f"^{said}$"):
        FaithfulnessOptions(**{field: value})


def test_every_field_has_a_line():
    for field in FaithfulnessOptions.__dataclass_fields__:
        assert f"        {field}: " in FaithfulnessOptions.__doc__
