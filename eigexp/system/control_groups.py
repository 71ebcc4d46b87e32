"""Memory limits of the process's control group: of a Slurm job or a container, often far below the machine's memory.

Source: Linux kernel documentation, admin-guide/cgroup-v2 and cgroup-v1/memory.
"""

from pathlib import Path

_SELF = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")
_V1 = (_ROOT / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = (_ROOT, "memory.max", "memory.current", "inactive_file")


def group_headroom() -> int | None:
    """Return the bytes left before a memory limit of this process's control group, or of a parent group; None where there is no limit.

    Cached files count as free, because the kernel drops them first.
    """
    return min((free for line in _lines(_SELF) for free in _headrooms(*line.split(":", 2)[1:])), default=None)


def _headrooms(controllers: str, group: str) -> list[int]:
    if controllers and "memory" not in controllers.split(","):
        return []
    root, limit, usage, cached = _V1 if controllers else _V2
    inner = root / group.lstrip("/")
    folders = [inner, *inner.parents]
    found = [_headroom(folder, limit, usage, cached) for folder in folders[: folders.index(root) + 1]]
    return [free for free in found if free is not None]


def _headroom(folder: Path, limit: str, usage: str, cached: str) -> int | None:
    (allowed,), (used,) = _lines(folder / limit) or ["max"], _lines(folder / usage) or ["max"]
    if not (allowed.isdigit() and used.isdigit()):
        return None
    droppable = [int(line.split()[1]) for line in _lines(folder / "memory.stat") if line.split()[0] == cached]
    return max(0, int(allowed) - int(used) + sum(droppable))


def _lines(path: Path) -> list[str]:
    """Return the lines of a kernel file; none where it is missing or not readable, as in many containers."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
