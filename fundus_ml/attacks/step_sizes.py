"""How long a step is where nobody says."""

from typing import Literal

from fundus_ml.errors import InputError

StepSize = float | Literal["auto"]
STEP_RATIO = 2.5
"""With ``auto`` the steps add up to this many radii, the field's rule 2.5·eps/attack_steps."""


def step_length(step_size: StepSize, *, eps: float, attack_steps: int) -> float:
    """Length of one step in the unit of ``eps``; ``auto`` is 2.5·eps/attack_steps.

    Raises:
        InputError: ``attack_steps`` is below 1, or ``step_size`` not a finite number above 0.
    """
    if attack_steps < 1:
        raise InputError(f"attack_steps={attack_steps}: must be at least 1")
    if step_size == "auto":
        return STEP_RATIO * eps / attack_steps
    if not 0 < step_size < float("inf"):
        raise InputError(f"step_size={step_size}: must be auto or a finite number above 0")
    return float(step_size)
