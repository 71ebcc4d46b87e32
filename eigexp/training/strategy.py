"""Several devices: each process with its own images and no collectives, or all on one image's block of vectors."""

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
from eigexp.training.processes import Processes

Value = TypeVar("Value")


class IndependentStrategy(SingleDeviceStrategy):
    """One process a device, each with its own images and no collectives: ranks may take different numbers of steps.

    DDP refuses a module without trainable parameters and synchronises every step. Here each process fits its own tasks
    (see `TaskData`), writes its own results and logs its own curves; where Lightning has started them, the first waits for the others when
    it is done.

    Args:
        devices: on each machine.
        accelerator: "cuda" or "cpu".
        processes: which process this is; by default as torchrun, srun or Lightning's own launcher have it.
    """

    strategy_name = "independent"

    def __init__(self, devices: int, accelerator: str = "cuda", processes: Processes | None = None, **kwargs: Any):
        self.processes = processes or Processes.of(devices)
        super().__init__(self.processes.device(accelerator), **kwargs)
        self.world_size, self.local_rank, self.global_rank = self.processes.size, self.processes.local, self.processes.rank

    @override
    def _configure_launcher(self) -> None:
        if not self.processes.started:
            assert self.processes.environment is not None
            self._launcher = _SubprocessScriptLauncher(self.processes.environment, self.processes.size, num_nodes=1)

    @override
    def setup_environment(self) -> None:
        cast(Any, rank_zero_only).rank = 0  # every rank owns its results, so every rank logs and saves
        super().setup_environment()

    @override
    def teardown(self) -> None:
        super().teardown()
        if isinstance(self._launcher, _SubprocessScriptLauncher):
            for process in self._launcher.procs:
                process.wait()


class BlockStrategy(IndependentStrategy):
    """All processes solve the same image in step; each computes its share of the block's products, and all get them all.

    The solver's state is the same on every rank, so only the first saves, logs and writes results. What a rank decides by its own clock or
    signals has to be agreed on: see `largest`.
    """

    strategy_name = "block"

    @override
    def setup_environment(self) -> None:
        super().setup_environment()
        cast(Any, rank_zero_only).rank = self.global_rank
        self._joined = self.processes.join()

    @property
    @override
    def is_global_zero(self) -> bool:
        return self.global_rank == 0

    @override
    def broadcast(self, obj: Value, src: int = 0) -> Value:
        return self.processes.agree(obj)

    def largest(self, value: int) -> int:
        """The largest of the processes' values."""
        agreed = torch.tensor(value)
        distributed.all_reduce(agreed, distributed.ReduceOp.MAX)
        return int(agreed)

    def share(self, make: Callable[[str], Operator], method: str) -> SharedOperator:
        """The operator of all processes together, linearised the way that the first chooses.

        Args:
            make: linearises in a given way.
            method: wanted; "auto" leaves it to the first.
        """
        operator, chosen = None, None
        try:
            operator = make(method) if self.is_global_zero else None
            chosen = getattr(operator, "method", method) if operator else None
        finally:
            chosen = self.broadcast(chosen)
        if chosen is None:
            raise OperatorError("The first process could not linearise the model; its own message tells why.")
        return SharedOperator(operator or make(chosen), self.global_rank, self.world_size, self._gather)

    @override
    def teardown(self) -> None:
        if getattr(self, "_joined", False):
            self._joined = False
            distributed.destroy_process_group()
        super().teardown()

    def _gather(self, mine: Tensor) -> list[Tensor]:
        parts = [torch.empty_like(mine) for _ in range(self.world_size)]
        distributed.all_gather(parts, mine)
        return parts


def largest(trainer: Trainer, value: int) -> int:
    """The largest of the values of all processes that go in step with this one; its own where none do."""
    strategy = trainer.strategy
    return strategy.largest(value) if isinstance(strategy, BlockStrategy) else value
