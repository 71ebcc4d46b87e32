"""Several devices: each process solves its own images, or all processes share the block of vectors of one image."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch import Tensor, distributed
from typing_extensions import override

from eigexp.errors import OperatorError
from eigexp.operators import Operator, SharedOperator
from eigexp.training.processes import STEP_TIMEOUT, Processes

Value = TypeVar("Value")


class IndependentStrategy(SingleDeviceStrategy):
    """One process per device, each with its own images and no communication, so ranks may take different numbers of steps.

    Why not DDP: it refuses a module without trainable parameters, and synchronises every step. Here each process fits its own tasks (see
    `TaskData`), writes its own results and logs its own curves. Where Lightning has started the processes, the first waits for the others
    at the end.

    Args:
        devices: on each machine.
        accelerator: "cuda" or "cpu".
        processes: which process this is; by default detected from torchrun, srun or Lightning's launcher.
    """

    strategy_name = "independent"

    def __init__(self, devices: int, accelerator: str = "cuda", processes: Processes | None = None, **kwargs: Any):
        self.processes = processes or Processes.detect(devices)
        super().__init__(self.processes.device(accelerator), **kwargs)
        self.world_size, self.local_rank, self.global_rank = self.processes.size, self.processes.local_rank, self.processes.rank

    @override
    def _configure_launcher(self) -> None:
        if not self.processes.started:
            assert self.processes.environment is not None
            self._launcher = _SubprocessScriptLauncher(self.processes.environment, self.processes.size, num_nodes=1)

    @override
    def setup_environment(self) -> None:
        cast(Any, rank_zero_only).rank = 0  # Lightning logs and saves on rank 0 only, but here every rank has its own results
        super().setup_environment()

    @override
    def teardown(self) -> None:
        super().teardown()
        if isinstance(self._launcher, _SubprocessScriptLauncher):
            for process in self._launcher.procs:
                process.wait()


class BlockStrategy(IndependentStrategy):
    """All processes solve the same image in lockstep: each computes its share of the block's products, and all get all products.

    The solver's state is the same on every rank, so only the first saves, logs and writes results. A decision that depends on a rank's own
    clock or signals must be made together, see `largest`, or the ranks would wait for each other forever.
    """

    strategy_name = "block"

    @override
    def setup_environment(self) -> None:
        super().setup_environment()
        cast(Any, rank_zero_only).rank = self.global_rank
        self._connected = self.processes.connect()
        self._steps = distributed.new_group(timeout=STEP_TIMEOUT)

    @property
    @override
    def is_global_zero(self) -> bool:
        return self.global_rank == 0

    @override
    def broadcast(self, obj: Value, src: int = 0) -> Value:
        return self.processes.broadcast(obj)

    def largest(self, value: int) -> int:
        """Return the largest of the processes' values."""
        agreed = torch.tensor(value)
        distributed.all_reduce(agreed, distributed.ReduceOp.MAX)
        return int(agreed)

    def share(self, make: Callable[[str], Operator], method: str) -> SharedOperator:
        """Return the operator of all processes together, linearised by the method that the first process chooses.

        Different methods differ in the last digits, and then the processes' states would, too.

        Args:
            make: linearises by a given method.
            method: the setting; "auto" leaves the choice to the first process.

        Raises:
            OperatorError: if the first process cannot linearise the model.
        """
        operator, chosen = None, None
        try:
            operator = make(method) if self.is_global_zero else None
            chosen = getattr(operator, "method", method) if operator else None
        finally:
            chosen = self.broadcast(chosen)  # also after an error, or the others would wait for it
        if chosen is None:
            raise OperatorError("The first process could not linearise the model. Its own message, above, says why.")
        return SharedOperator(operator or make(chosen), self.global_rank, self.world_size, self._gather)

    @override
    def teardown(self) -> None:
        if getattr(self, "_connected", False):
            self._connected = False
            distributed.destroy_process_group()
        super().teardown()

    def _gather(self, mine: Tensor) -> list[Tensor]:
        parts = [torch.empty_like(mine) for _ in range(self.world_size)]
        distributed.all_gather(parts, mine, group=self._steps)  # pyright: ignore[reportArgumentType] # new_group's own annotation
        return parts


def largest(trainer: Trainer, value: int) -> int:
    """Return the largest value of all processes in lockstep with this one; its own value where there are none."""
    strategy = trainer.strategy
    return strategy.largest(value) if isinstance(strategy, BlockStrategy) else value
