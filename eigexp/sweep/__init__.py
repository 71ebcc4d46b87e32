"""Sweeps: a plan of tasks, a callback and two launchers that do it, and how it stands."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eigexp.sweep.callback import Sweep
    from eigexp.sweep.plan import make_plan

__all__ = ["Sweep", "make_plan"]


def __getattr__(name: str) -> Any:
    """Loaded when they are first used, for `eigexp status` needs neither torch nor Lightning."""
    homes = {"Sweep": "eigexp.sweep.callback", "make_plan": "eigexp.sweep.plan"}
    if name not in homes:
        raise AttributeError(f"module 'eigexp.sweep' has no attribute {name!r}. It has {', '.join(__all__)}.")
    return getattr(import_module(homes[name]), name)
