"""Memory that is freed stays with the process, to be used again."""

import ctypes
import platform
from types import MappingProxyType

MALLOC = MappingProxyType({"trim": (-1, 2**31 - 1), "map": (-3, 2**30), "arenas": (-8, 1)})
"""Parameters of glibc's ``mallopt`` and their values (mallopt(3)): up to 1 GiB is taken from the
heap, of which up to 2 GiB stay when they are free, one heap for all threads."""


def keep_freed_memory() -> bool:
    """Let the C library hand out freed memory again instead of giving it back to the system.

    Torch asks for the activations of a network anew in every pass. glibc gets each large block from
    the system, which fills it with zeros page by page; on a CPU that takes up to half the time of a
    pass. The results are the same.

    Returns:
        Whether the C library is glibc and took the values; nothing is changed elsewhere.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    return all(library.mallopt(*parameter) == 1 for parameter in MALLOC.values())
