"""The cores of this machine, and how processes share them."""

import os


def number_of_cores() -> int:
    """Return the number of cores that this process may use; macOS tells only how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
