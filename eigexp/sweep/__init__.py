"""Sweeps: a plan of tasks, the launchers and the callback that compute it, and the status of each task."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eigexp.sweep.callback import Sweep
    from eigexp.sweep.launcher import Launcher
    from eigexp.sweep.local import Local
    from eigexp.sweep.plan import make_plan
    from eigexp.sweep.slurm import Slurm

__all__ = ["Launcher", "Local", "Slurm", "Sweep", "make_plan"]

_HOMES = {
    "Launcher": "eigexp.sweep.launcher",
    "Local": "eigexp.sweep.local",
    "Slurm": "eigexp.sweep.slurm",
    "Sweep": "eigexp.sweep.callback",
    "make_plan": "eigexp.sweep.plan",
}


def __getattr__(name: str) -> Any:
    # Loaded on first use: `eigexp status` imports this package and needs neither torch nor Lightning.
    if name not in _HOMES:
        raise AttributeError(f"module 'eigexp.sweep' has no attribute {name!r}. It has {', '.join(__all__)}.")
    return getattr(import_module(_HOMES[name]), name)
