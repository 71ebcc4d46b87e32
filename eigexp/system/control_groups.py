"""Memory limits that the kernel sets a group of processes: those of a Slurm job or of a container, which may be far below the machine's.

Files and their meaning: Linux kernel documentation, admin-guide/cgroup-v2 and cgroup-v1/memory.
"""

from pathlib import Path

_SELF = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")
_V1 = (_ROOT / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_V2 = (_ROOT, "memory.max", "memory.current", "inactive_file")


def group_headroom() -> int | None:
    """Bytes that this process may still take before a limit of its control group or of one above it; None where none is set.

    Cached files that the kernel would drop count as free.
    """
    rooms = [room for line in _lines(_SELF) for room in _rooms(*line.split(":", 2)[1:])]
    return min(rooms, default=None)


def _rooms(controllers: str, group: str) -> list[int]:
    if controllers and "memory" not in controllers.split(","):
        return []
    root, limit, usage, cached = _V1 if controllers else _V2
    inner = root / group.lstrip("/")
    folders = [inner, *inner.parents]
    found = [_room(folder, limit, usage, cached) for folder in folders[: folders.index(root) + 1]]
    return [room for room in found if room is not None]


def _room(folder: Path, limit: str, usage: str, cached: str) -> int | None:
    (most,), (used,) = _lines(folder / limit) or ["max"], _lines(folder / usage) or ["max"]
    if not (most.isdigit() and used.isdigit()):
        return None
    droppable = [int(line.split()[1]) for line in _lines(folder / "memory.stat") if line.split()[0] == cached]
    return max(0, int(most) - int(used) + sum(droppable))


def _lines(path: Path) -> list[str]:
    """The lines of a file of the kernel's; none where it does not exist or may not be read, as in many containers."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
