"""Scaling to 8 bits against a plain rounding of every value there is."""

import numpy as np
import pytest

from fundus_ml.imaging.bit_depths import depth_remark, eight_bits, stored_bits


@pytest.mark.parametrize("bits", [5, 8, 10, 12, 14, 16])
def test_every_value_is_scaled_and_rounded(bits):
    """0 stays black, the largest becomes white; what lies above is white too."""
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    judge = np.minimum(np.round(values / (2**bits - 1) * 255), 255)
    apart = eight_bits(values, bits)[..., None].reshape(values.shape) - judge
    assert np.abs(apart).max() == 0


@pytest.mark.parametrize(
    ("largest", "bits"),
    [(0, 8), (255, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12), (4096, 14), (16384, 16)],
)
def test_the_fewest_bits_that_hold_every_sample(largest, bits):
    """Bits come in steps that cameras have."""
    image = np.zeros((4, 5, 3), np.uint16)
    image[2, 3, 1] = largest
    assert stored_bits(image) == bits
    assert depth_remark(bits) == f"scaled from {bits} bits"
