"""Which of several processes this is, who has started them, and how one starts the others."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import distributed

from eigexp.errors import ConfigurationError, ProcessError

Value = TypeVar("Value")
_READY = "ready\n"
_PATIENCE = timedelta(hours=2)  # the first process certifies and writes alone while the others wait


class Processes:
    """One process among several.

    Args:
        rank: 0 is the first.
        size: number of processes.
        local: number on this machine, and so of the device.
        started: the others are there, or will be without our doing.
        environment: where the processes meet.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, local: int = 0, started: bool = True, environment: ClusterEnvironment | None = None
    ):  # no dataclass: Hydra would take one for a part of the configuration
        self.rank, self.size, self.local, self.started, self.environment = rank, size, local, started, environment

    def all_started(self) -> "Processes":
        """The same, when the others have been started."""
        return Processes(self.rank, self.size, self.local, True, self.environment)

    @staticmethod
    def of(devices: int) -> "Processes":
        """As torchrun, srun, Lightning's launcher or `others` have it; else the first, which has yet to start the rest.

        Args:
            devices: processes on each machine; one is alone, whatever started it.

        Raises:
            ConfigurationError: if that many have not been started.
        """
        if devices < 1:
            raise ConfigurationError(f"trainer.devices={devices} must be at least 1.")
        if devices == 1:
            return Processes()
        environment, size, rank = _surroundings()
        if environment is None:
            return Processes(0, devices, 0, False, LightningEnvironment())
        if size % devices:
            raise ConfigurationError(f"trainer.devices={devices}, but {size} processes were started. Give those of one machine.")
        return Processes(rank, size, environment.local_rank(), True, environment)

    def device(self, accelerator: str) -> torch.device:
        """This process's own."""
        return torch.device("cuda", self.local) if accelerator == "cuda" else torch.device("cpu")

    def join(self) -> bool:
        """Connect the processes, for collectives on the CPU and between GPUs. Returns False where they are connected already."""
        if distributed.is_initialized():
            return False
        assert self.environment is not None
        os.environ.update(MASTER_ADDR=self.environment.main_address, MASTER_PORT=str(self.environment.main_port))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, rank=self.rank, world_size=self.size, timeout=_PATIENCE)
        return True

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Within the block the processes are connected."""
        ours = self.size > 1 and self.join()
        try:
            yield
        finally:
            if ours:
                distributed.destroy_process_group()

    def agree(self, value: Value) -> Value:
        """The first process's value where processes are connected; its own else."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, 0, device=torch.device("cpu"))
        return values[0]


class _Srun(SLURMEnvironment):
    """The processes of srun, also where they were asked for by their whole number, `srun -n 2`, which Lightning refuses."""

    @staticmethod
    def _validate_srun_variables() -> None:
        pass


def _surroundings() -> tuple[ClusterEnvironment | None, int, int]:
    """Who has started processes, how many, and which this is."""
    if TorchElasticEnvironment.detect():
        environment: ClusterEnvironment = TorchElasticEnvironment()
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # set in a step of srun, and not in the script around it
        environment = _Srun(auto_requeue=False)
    elif "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return LightningEnvironment(), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
    else:
        return None, 1, 0
    return environment, environment.world_size(), environment.global_rank()


class Others:
    """The processes that the first has started; none where somebody else did."""

    def __init__(self, processes: Mapping[int, "subprocess.Popen[str]"]):
        self._processes = processes

    def __bool__(self) -> bool:
        return bool(self._processes)

    def await_ready(self) -> None:
        """Until each has said that it is about to join.

        Raises:
            ProcessError: if one has ended instead.
        """
        for rank, process in self._processes.items():
            assert process.stdout is not None
            if process.stdout.readline() != _READY:
                raise ProcessError(_ended(rank, process.wait()))

    def finish(self, signum: int | None) -> None:
        """Wait until they are done, after handing on the signal that has stopped us.

        Raises:
            ProcessError: if one has failed.
        """
        for process in self._processes.values():
            if signum is not None and process.poll() is None:
                process.send_signal(signum)
        for rank, process in self._processes.items():
            asked = signum is not None and process.wait() == -signum  # it was between two fits
            if not asked and (process.wait() in (1, 2) or process.returncode < 0):
                raise ProcessError(_ended(rank, process.returncode))

    def leave(self) -> None:
        """Let those that still run save and stop: the end of their input tells them."""
        for process in self._processes.values():
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()
            process.wait()


@contextmanager
def others(processes: Processes, work: Mapping[str, Any]) -> Iterator[Others]:
    """Within the block the other processes do `eigexp rank` with the same work, if they are ours to start; at its end they have ended.

    Args:
        processes: of this process.
        work: plain values.
    """
    if processes.started:
        yield Others({})
        return
    assert processes.environment is not None
    meeting = {"MASTER_ADDR": processes.environment.main_address, "MASTER_PORT": str(processes.environment.main_port)}
    common = {
        **os.environ,
        **meeting,
        "WORLD_SIZE": str(processes.size),
        "NODE_RANK": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    started = Others({rank: _start({**common, "LOCAL_RANK": str(rank)}, work) for rank in range(1, processes.size)})
    try:
        yield started
    finally:
        started.leave()


def _start(environment: dict[str, str], work: Mapping[str, Any]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "eigexp", "rank"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(work) + "\n")
    process.stdin.flush()
    return process


def given_work() -> dict[str, Any]:
    """What `others` handed to this process; from here a signal arrives when the process that started us is gone."""
    work = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_when_left, daemon=True).start()
    return work


def say_ready() -> None:
    """Tell the process that started us that we are about to join."""
    sys.stdout.write(_READY)
    sys.stdout.flush()


def _stop_when_left() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing comes but the end
    os.kill(os.getpid(), signal.SIGTERM)


def _ended(rank: int, code: int) -> str:
    return f"Process {rank} of those that share the work ended with {code}; its own message is above."
