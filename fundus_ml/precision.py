"""In which arithmetic a pass runs, and where half of it pays."""

import torch

from fundus_ml.errors import InputError

PRECISIONS = ("auto", "fp32", "bf16")


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Make the context a forward pass runs in.

    ``auto`` is bf16 on a GPU and on CPUs whose instructions multiply bf16 (AVX-512-BF16, AMX),
    and fp32 elsewhere: emulated bf16 convolutions are more than ten times slower.

    Raises:
        InputError: ``precision`` is none of :data:`PRECISIONS`.
    """
    check_precision(precision)
    half = precision == "bf16" or (precision == "auto" and bf16_pays(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=half)


def check_precision(precision: str) -> None:
    """Refuse a name that is none of :data:`PRECISIONS`, before any work is done.

    Raises:
        InputError: It is none.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision}: allowed: {', '.join(PRECISIONS)}")


def bf16_pays(device: torch.device) -> bool:
    """Whether ``device`` multiplies bf16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def best_device() -> torch.device:
    """Return the first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
