"""``precision=auto`` on a CPU: whichever of fp32 and bf16 makes this network's step faster.

A network is measured once per process, and every pass of it then runs in the same precision:
training, validation and attacks.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from fundus_ml.models.options import check_precision
from fundus_ml.models.precision import half_type

TINY = 2
"""Images of the step that is timed."""
GAIN = 0.9
"""Share of the fp32 time that bf16 may take at most: near a tie the choice stays fp32."""

Measure = Callable[[nn.Module, Tensor, torch.dtype | None, float], float]
"""Network, images, half-precision type or None, patience → seconds of a step, or of a part of it
that already took longer than ``patience`` seconds."""
_Key = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class PrecisionChoice:
    """What ``precision=auto`` means for one network.

    Attributes:
        precision: ``fp32`` or ``bf16``.
        fp32_seconds: Time of one step of :data:`TINY` images; None where it was not measured.
        bf16_seconds: The same in bf16; a lower bound where fp32 is faster, since the trial ends as
            soon as that is known; inf where the network does not run in bf16.
    """

    precision: str
    fp32_seconds: float | None = None
    bf16_seconds: float | None = None

    @property
    def words(self) -> str:
        """One line for the console."""
        if self.fp32_seconds is None or self.bf16_seconds is None:
            return f"precision=auto: {self.precision}, as the training began"
        bf16 = f"{self.bf16_seconds:.3g} s{' or more' if self.precision == 'fp32' else ''}"
        if self.bf16_seconds == torch.inf:
            bf16 = "does not run"
        return (
            f"precision=auto: {self.precision} (a step of {TINY} images: "
            f"fp32 {self.fp32_seconds:.3g} s, bf16 {bf16})"
        )


OnChoice = Callable[[PrecisionChoice], None]
_CHOICES: dict[_Key, PrecisionChoice] = {}


@dataclass(frozen=True)
class _Listener:
    tell: OnChoice
    told: set[_Key]


_LISTENER: ContextVar[_Listener | None] = ContextVar("listener", default=None)


def resolved(model: nn.Module, images: Tensor, precision: str) -> str:
    """Say in which precision passes of ``model`` run.

    Args:
        model: The network.
        images: ``(N, 3, H, W)`` of its images, where it lives.
        precision: What was asked for. ``auto`` is measured on a CPU; elsewhere, and in a group of
            processes that did not :func:`settle` it, it follows the hardware.

    Returns:
        ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        InputError: ``precision`` is none of :data:`~fundus_ml.models.options.PRECISIONS`.
    """
    check_precision(precision)
    if precision != "auto":
        return precision
    if images.device.type == "cpu" and len(images):
        known = settled(model)
        if known is None and not _in_group():
            known = measured(model, images)
        if known is not None:
            settle(model, known)  # tells it where it was made before anybody listened
            return known.precision
    return "fp32" if half_type(precision, images.device) is None else "bf16"


def measured(
    model: nn.Module, images: Tensor, *, measure: Measure | None = None
) -> PrecisionChoice:
    """Time one step of a copy of ``model`` in fp32 and in bf16.

    Args:
        model: The network, left as it is.
        images: ``(N, 3, H, W)``, N of 1 or more; the first :data:`TINY` are used.
        measure: Times a step; :func:`seconds_of_step` when omitted.

    Returns:
        bf16 where it takes at most :data:`GAIN` of the fp32 time, else fp32.
    """
    measure = seconds_of_step if measure is None else measure
    with torch.inference_mode(mode=False), torch.enable_grad():
        copy, few = deepcopy(model).eval(), images[:TINY].detach().clone()
        fp32 = measure(copy, few, None, torch.inf)
        try:
            bf16 = measure(copy, few, torch.bfloat16, fp32)
        except RuntimeError:  # an operation of the network that torch has not in bf16
            bf16 = torch.inf
    return PrecisionChoice(
        precision="bf16" if bf16 <= GAIN * fp32 else "fp32", fp32_seconds=fp32, bf16_seconds=bf16
    )


def seconds_of_step(
    model: nn.Module, images: Tensor, half: torch.dtype | None, patience: float
) -> float:
    """Time a step after a first that makes the kernels: the :data:`Measure` of every run."""
    images = images.detach().requires_grad_()

    def forward() -> Tensor:
        with torch.autocast(
            images.device.type, dtype=half or torch.bfloat16, enabled=half is not None
        ):
            output: Tensor = model(images)
        return output.float().sum()

    def step() -> None:
        total = forward()
        if total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]

    forward()
    once = _seconds(forward)
    if once > patience:
        return once
    step()
    return min(_seconds(step), _seconds(step))


def settled(model: nn.Module) -> PrecisionChoice | None:
    """Return what was chosen for ``model`` or one that is built alike; None where nothing was."""
    return _CHOICES.get(_key(model))


def settle(model: nn.Module, choice: PrecisionChoice) -> None:
    """Run ``model``, and every network built alike, in a chosen precision from now on."""
    key = _key(model)
    listener = _LISTENER.get()
    if listener is not None and (key not in listener.told or _CHOICES.get(key) != choice):
        listener.told.add(key)
        listener.tell(choice)
    _CHOICES[key] = choice


@contextmanager
def telling(tell: OnChoice) -> Iterator[None]:
    """Report each choice once during the block, also one made before it."""
    token = _LISTENER.set(_Listener(tell, set()))
    try:
        yield
    finally:
        _LISTENER.reset(token)


def _key(model: nn.Module) -> _Key:
    """Names and shapes of the tensors: alike in a copy, an average and a synchronised network."""
    return tuple((name, tuple(tensor.shape)) for name, tensor in model.state_dict().items())


def _in_group() -> bool:
    """Whether other processes must run alike; they need not come here together."""
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_world_size() > 1
    )


def _seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started
