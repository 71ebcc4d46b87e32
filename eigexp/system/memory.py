"""How much memory there is, and how much is asked for."""

import os
import re
from pathlib import Path

import torch

from eigexp.errors import ConfigurationError, MemoryLimitError
from eigexp.system.control_groups import group_headroom

LIMIT = "EIGEXP_MEMORY"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_bytes(text: str | float) -> int:
    """A number of bytes: 4000000000, "4GB", "3.5 GiB", "500M".

    Raises:
        ConfigurationError: if it is none.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([kmgt]?i?)b?\s*", str(text), flags=re.IGNORECASE)
    try:
        number = float(match[1]) if match else 0.0
    except ValueError:
        number = 0.0
    if match is None or number <= 0 or match[2].upper() not in _UNITS:
        raise ConfigurationError(f"{text!r} is no amount of memory. Give bytes, or a number with a unit: 4GB, 512MiB.")
    return int(number * _UNITS[match[2].upper()])


def free_memory(device: torch.device) -> int:
    """Bytes that new tensors on a device can take without pushing anything out, and no more than EIGEXP_MEMORY where that is set.

    On a GPU what its driver reports free and what torch has reserved without using; elsewhere the kernel's estimate of available memory,
    or what a limit of the process's control group leaves (a job's, a container's).
    """
    limit = os.environ.get(LIMIT)
    free = _free_on_gpu(device) if device.type == "cuda" else _free_on_host()
    return min(free, parse_bytes(limit)) if limit else free


def check_memory(needed: int, device: torch.device, what: str, cure: str) -> None:
    """Refuse work that would not fit.

    Args:
        needed: bytes that the work takes at its largest.
        device: where.
        what: the work, as the message's subject.
        cure: what to do instead, a sentence.

    Raises:
        MemoryLimitError: if more is needed than is free.
    """
    free = free_memory(device)
    if needed > free:
        raise MemoryLimitError(f"{what} needs {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free on {device}. {cure}")


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
