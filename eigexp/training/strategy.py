"""One process a device, each with its own images and no collectives: ranks may take different numbers of steps."""

from typing import Any, cast

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.strategies import SingleDeviceStrategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from typing_extensions import override


class IndependentStrategy(SingleDeviceStrategy):
    """Launches one process a device and leaves them alone.

    DDP refuses a module without trainable parameters and synchronises every step. Here each process fits its own tasks
    (see `TaskData`), writes its own results and logs its own curves; the first waits for the others when it is done.

    Args:
        devices: number of devices; their ranks count up from 0.
        accelerator: "cuda" or "cpu".
        environment: how ranks are known; by default Lightning's own, which starts the processes.
    """

    strategy_name = "independent"

    def __init__(self, devices: int, accelerator: str = "cuda", environment: ClusterEnvironment | None = None, **kwargs: Any):
        self.environment = environment or LightningEnvironment()
        rank = self.environment.local_rank()
        super().__init__(torch.device(accelerator, rank) if accelerator == "cuda" else torch.device("cpu"), **kwargs)
        self.world_size, self.local_rank, self.global_rank = devices, rank, rank
        self._devices = devices

    @override
    def _configure_launcher(self) -> None:
        if self._devices > 1:
            self._launcher = _SubprocessScriptLauncher(self.environment, self._devices, num_nodes=1)

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
