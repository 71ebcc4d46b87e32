"""Callbacks for any Trainer that fits an EigenModule. Each works alone."""

from eigexp.training.callbacks.checkpoint import Checkpoint
from eigexp.training.callbacks.convergence import Convergence
from eigexp.training.callbacks.curves import EigenvalueCurves
from eigexp.training.callbacks.preemption import PreemptionGuard
from eigexp.training.callbacks.progress import SolverProgress
from eigexp.training.callbacks.task import TaskCallback
from eigexp.training.callbacks.writer import ResultWriter

__all__ = ["Checkpoint", "Convergence", "EigenvalueCurves", "PreemptionGuard", "ResultWriter", "SolverProgress", "TaskCallback"]
