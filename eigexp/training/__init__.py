"""Solvers as PyTorch Lightning experiments: the module, its data, trainer, strategies, checkpoints, callbacks and loggers."""

from eigexp.training.checkpoint import AtomicCheckpointIO
from eigexp.training.data import Task, TaskData
from eigexp.training.module import EigenModule
from eigexp.training.strategy import BlockStrategy, IndependentStrategy
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
