"""Free memory, and the check that a computation fits into it."""

import ctypes
import os
import re
from collections.abc import Callable
from pathlib import Path

import torch

from eigexp.errors import ConfigurationError, MemoryLimitError
from eigexp.system.control_groups import group_headroom

LIMIT = "EIGEXP_MEMORY"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_bytes(text: str | float) -> int:
    """Parse an amount of memory into bytes: 4000000000, "4GB", "3.5 GiB", "500M".

    Raises:
        ConfigurationError: if the text is not a positive amount.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?i?)b?\s*", str(text), flags=re.IGNORECASE)
    try:
        number = float(match[1]) if match else 0.0
    except ValueError:
        number = 0.0
    if match is None or number <= 0 or match[2].upper() not in _UNITS:
        raise ConfigurationError(f"{text!r} is not an amount of memory. Give bytes, or a number with a unit: 4GB, 512MiB.")
    return int(number * _UNITS[match[2].upper()])


def free_memory(device: torch.device) -> int:
    """Return the bytes that new tensors on a device can take; at most EIGEXP_MEMORY where that is set.

    On a GPU: what the driver reports free, and what torch has reserved but not used. Elsewhere: the kernel's estimate of available memory,
    or what the memory limit of the job or container leaves, whichever is less.
    """
    limit = os.environ.get(LIMIT)
    free = _free_on_gpu(device) if device.type == "cuda" else _free_on_host()
    return min(free, parse_bytes(limit)) if limit else free


def check_memory(needed: int, device: torch.device, what: str, hint: str | Callable[[int], str]) -> None:
    """Refuse a computation that does not fit into memory.

    Args:
        needed: peak memory, bytes.
        device: where the memory is needed.
        what: the computation, the subject of the message.
        hint: what to do instead, one sentence; or a function of the free bytes that returns it.

    Raises:
        MemoryLimitError: if `needed` exceeds the free memory.
    """
    free = free_memory(device)
    if needed > free:
        hint = hint if isinstance(hint, str) else hint(free)
        raise MemoryLimitError(f"{what} needs {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free on {device}. {hint}")


def return_free_memory() -> None:
    """Return freed memory of the C library's heap to the system, where the library can: glibc keeps it for itself after large models."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def _free_on_gpu(device: torch.device) -> int:
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + unused


def _free_on_host() -> int:
    available = _available()
    headroom = group_headroom()
    return available if headroom is None else min(available, headroom)


def _available() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
