"""What is asked of a field of view that was found."""

import numpy as np
import pytest

from fundus_ml.imaging.field_of_view import (
    SURE,
    NoFieldOfView,
    find_field_of_view,
)


def assert_near(field, drawn, *, longest, thousandths=2.0):
    """Compare centre and radius in thousandths of the frame's longer side, aspect in per cent."""
    found = np.array([field.x, field.y, field.radius])
    wanted = np.array([drawn["x"], drawn["y"], drawn["radius"]])
    assert np.abs(found - wanted).max() <= thousandths * longest / 1000, (field, drawn)
    assert field.aspect == pytest.approx(drawn.get("aspect", 1.0), rel=0.01)


def never_sure(image):
    """Refused, or flagged."""
    try:
        return find_field_of_view(image).confidence < SURE
    except NoFieldOfView:
        return True
