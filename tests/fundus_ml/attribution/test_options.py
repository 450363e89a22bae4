"""Every option is refused outside its range."""

import pytest

from fundus_ml.attribution import AttributionOptions
from fundus_ml.errors import InputError


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("batch_size", 0, "batch_size=0: must be at least 1"),
        ("integration_steps", 0, "integration_steps=0: must be at least 1"),
        ("noisy_passes", -1, "noisy_passes=-1: must be at least 1"),
        ("modulation_steps", 0, "modulation_steps=0: must be at least 1"),
        ("noise", 0.0, "noise=0.0: must be above 0 and at most 1"),
        ("window", 1.5, "window=1.5: must be above 0 and at most 1"),
        ("window", float("nan"), "window=nan: must be above 0"),
        ("modulation_rms", 300.0, "modulation_rms=300.0: must be above 0 and at most 255"),
        ("stride", 0.2, "stride=0.2: must be above 0 and at most window=0.1, or pixels between"),
        ("baseline", "white", "baseline=white: allowed: mean, black, blur"),
        ("xrai", "slow", "xrai=slow: allowed: fast, full"),
        ("seed", -1, "seed=-1: must be from 0 to 4294967295"),
    ],
)
def test_refuses(field, value, message):
    with pytest.raises(InputError, match=f"^{message}"):
        AttributionOptions(**{field: value})
