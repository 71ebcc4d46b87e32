"""Sweeps: a plan of tasks, the launchers and the callback that compute it, and the status of each task.

Names are loaded when they are first used: `eigexp status` imports this package and needs neither torch nor Lightning.
"""

from typing import TYPE_CHECKING

from eigexp.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from eigexp.sweep.callback import Sweep
    from eigexp.sweep.launcher import Launcher
    from eigexp.sweep.local import Local
    from eigexp.sweep.plan import make_plan
    from eigexp.sweep.slurm import Slurm
    from eigexp.sweep.template import Template

__all__ = ["Launcher", "Local", "Slurm", "Sweep", "Template", "make_plan"]

__getattr__ = lazy_names(
    __name__,
    {
        "Launcher": "eigexp.sweep.launcher",
        "Local": "eigexp.sweep.local",
        "Slurm": "eigexp.sweep.slurm",
        "Template": "eigexp.sweep.template",
        "Sweep": "eigexp.sweep.callback",
        "make_plan": "eigexp.sweep.plan",
    },
)
