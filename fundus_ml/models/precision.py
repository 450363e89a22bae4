"""In which arithmetic a pass runs, and where half of it pays."""

import torch

from fundus_ml.models.options import check_precision


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Make the context a forward pass runs in.

    ``auto`` follows the hardware: bf16 on a GPU and on CPUs whose instructions multiply bf16
    (AVX-512-BF16, AMX), and fp32 elsewhere. What is faster for one network on a CPU is told by
    :func:`fundus_ml.models.measured_precision.resolved`.

    Raises:
        InputError: ``precision`` is none of :data:`~fundus_ml.models.options.PRECISIONS`.
    """
    half = half_type(precision, device)
    return torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None)


def half_type(precision: str, device: torch.device) -> torch.dtype | None:
    """Say which half-precision type ``precision`` means on ``device``; None is fp32.

    fp16 is never chosen by ``auto``: its gradients vanish without loss scaling, which only the
    training engine does.

    Raises:
        InputError: ``precision`` is none of :data:`~fundus_ml.models.options.PRECISIONS`.
    """
    check_precision(precision)
    if precision == "auto":
        return torch.bfloat16 if bf16_pays(device) else None
    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}[precision]


def trained_in(precision: str, device: torch.device) -> str:
    """Resolve ``auto`` by the hardware: bf16, else fp16 on a GPU, else fp32.

    Only the training engine, which scales losses, may run in fp16; on a CPU it measures.
    """
    check_precision(precision)
    if precision != "auto":
        return precision
    if bf16_pays(device):
        return "bf16"
    return "fp16" if device.type == "cuda" else "fp32"


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
