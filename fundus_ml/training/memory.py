"""When a batch does not fit into memory: how many images do."""

from collections.abc import Callable

import torch

from fundus_ml.errors import InputError
from fundus_ml.training.options import TrainingOptions

_SIGNS = ("can't allocate memory", "not enough memory", "Cannot allocate memory")
"""How torch's allocator of the CPU says it."""
FEWEST = 2
"""Images of the smallest trial; BatchNorm cannot learn from one."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch failed for want of memory."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in _SIGNS)


def explain_out_of_memory(
    options: TrainingOptions, processes: int, attempt: Callable[[int], None]
) -> InputError:
    """Find how many images fit by halving, and say what to change.

    Args:
        options: Whose batch did not fit.
        processes: That share each batch.
        attempt: Makes one pass with that many images and forgets it; raises where it fails.

    Returns:
        The error to raise.
    """
    share = options.batch_size // processes
    images = share // options.accumulate
    said = f"batch_size={options.batch_size}: out of memory with {images} images in one pass"
    fits = images // 2
    while fits >= FEWEST:
        try:
            attempt(fits)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            fits //= 2
        else:
            passes = next(n for n in range(1, share + 1) if share % n == 0 and share // n <= fits)
            return InputError(
                f"{said}; {fits} fit: batch_size={fits * processes}, or accumulate={passes} for "
                "the same batch"
            )
    return InputError(f"{said}, nor do {FEWEST} fit; a smaller network or smaller images may")
