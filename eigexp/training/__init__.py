"""Solvers as PyTorch Lightning experiments: the module, its data, trainer, strategies, checkpoints, callbacks and loggers.

Lightning is imported when a name that needs it is first used: planning a sweep, for example, needs only `Task`.
"""

from typing import TYPE_CHECKING

from eigexp.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from eigexp.training import callbacks as callbacks
    from eigexp.training import loggers as loggers
    from eigexp.training.checkpoint import AtomicCheckpointIO
    from eigexp.training.data import TaskData
    from eigexp.training.module import EigenModule
    from eigexp.training.strategy import BlockStrategy, IndependentStrategy
    from eigexp.training.task import Task
    from eigexp.training.trainer import make_trainer
    from eigexp.training.wandb_runs import WandbRuns

__all__ = [
    "AtomicCheckpointIO",
    "BlockStrategy",
    "EigenModule",
    "IndependentStrategy",
    "Task",
    "TaskData",
    "WandbRuns",
    "make_trainer",
]

__getattr__ = lazy_names(
    __name__,
    {
        "AtomicCheckpointIO": "eigexp.training.checkpoint",
        "BlockStrategy": "eigexp.training.strategy",
        "EigenModule": "eigexp.training.module",
        "IndependentStrategy": "eigexp.training.strategy",
        "Task": "eigexp.training.task",
        "TaskData": "eigexp.training.data",
        "WandbRuns": "eigexp.training.wandb_runs",
        "callbacks": "",
        "loggers": "",
        "make_trainer": "eigexp.training.trainer",
    },
)
