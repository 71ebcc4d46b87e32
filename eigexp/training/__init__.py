"""Solvers as PyTorch Lightning experiments: the module, its data, strategy, checkpoints, callbacks and loggers."""

from eigexp.training.checkpoint import AtomicCheckpointIO
from eigexp.training.data import Task, TaskData
from eigexp.training.module import EigenModule
from eigexp.training.strategy import BlockStrategy, IndependentStrategy

__all__ = ["AtomicCheckpointIO", "BlockStrategy", "EigenModule", "IndependentStrategy", "Task", "TaskData"]
