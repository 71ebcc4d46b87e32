"""How much memory there is, and how much is asked for."""

import os
from pathlib import Path

import torch

from eigexp.errors import MemoryLimitError


def free_memory(device: torch.device) -> int:
    """Bytes that new tensors on a device can take without pushing anything out.

    On a GPU what its driver reports free and what torch has reserved without using; elsewhere the kernel's estimate of available memory.
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


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
