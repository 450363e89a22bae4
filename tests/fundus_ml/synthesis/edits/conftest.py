"""A few painted eyes, made once."""

import pytest

from tests.fundus_ml.synthesis.edits import painted_eyes


@pytest.fixture(scope="session")
def painted():
    """Pixels ``(3, 128, 128, 3)``, parts and people."""
    return painted_eyes.eyes(3, size=128)
