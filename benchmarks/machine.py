"""On what a figure was measured, in words that a table can hold."""

from pathlib import Path

import torch

from fundus_ml.models.precision import bf16_pays

CPU_INFO = Path("/proc/cpuinfo")


def machine(device: torch.device) -> str:
    """Name the processor, its instruction set, the threads and torch.

    Args:
        device: Where the passes run.

    Returns:
        Such as ``AMD EPYC, AVX2, no bf16 instructions, 2 threads, torch 2.14.1``.
    """
    torch_version = f"torch {torch.__version__.split('+')[0]}"
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {torch_version}"
    bf16 = "bf16 instructions" if bf16_pays(device) else "no bf16 instructions"
    return (
        f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}, {bf16}, "
        f"{torch.get_num_threads()} threads, {torch_version}"
    )


def _processor() -> str:
    """Model name that Linux tells; elsewhere ``CPU``."""
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines() if CPU_INFO.is_file() else []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, "CPU")
