"""The settings with which an EigenModule solves its tasks."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from eigexp.certificates import Precision, check_precision
from eigexp.noise import Noise
from eigexp.operators import Operator, linearise
from eigexp.operators.precision import converted
from eigexp.operators.replay import replayed
from eigexp.solvers.base import Solver
from eigexp.subspace import PixelSubspace

if TYPE_CHECKING:
    from eigexp.training.task import Task

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class SolveSettings:
    """What the pairs of a task depend on besides its model and images; the attributes are the arguments of EigenModule.

    Raises:
        ConfigurationError: if `certify` is unknown.
    """

    solver: Solver
    linearise: str = "auto"
    certify: Precision = "float64"
    noise: Noise | None = None
    subspace: PixelSubspace | None = None
    seed: int = 0
    cuda_graph: bool = False

    def __post_init__(self) -> None:
        check_precision(self.certify)

    def operator(self, task: "Task", device: torch.device = _CPU, method: str | None = None) -> Operator:
        """Return the operator of a task in its images' dtype. Moves the task's model to the device.

        Args:
            task: to linearise.
            device: of the products.
            method: of making products; None for `linearise`.
        """
        pixels, subspace = task.pixels().to(device), self.subspace
        model = converted(task.model, pixels.dtype, pixels.device)
        if task.group is not None:
            return task.group(model, pixels, self.noise, subspace)
        if task.metric is not None:
            subspace = task.metric(pixels, self.noise, subspace)
        A = linearise(model, pixels, method=method or self.linearise, noise=self.noise, subspace=subspace)  # pyright: ignore[reportArgumentType]
        return replayed(A) if self.cuda_graph else A
