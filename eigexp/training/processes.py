"""Which of several processes this is, who started them, and how the first starts the others."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
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
from eigexp.system.cores import number_of_cores

Value = TypeVar("Value")
_READY = "ready\n"
_LOST = ("gloo", "Connection closed by peer", "Connection reset by peer", "NCCL")
_DEATH_SECONDS = 2.0  # to wait for the end of a process whose connection is lost
_COLLECTIVE_TIMEOUT = timedelta(hours=2)  # the first process certifies and writes alone while the others wait, on gloo, which sees deaths
STEP_TIMEOUT = timedelta(minutes=15)  # of a collective within a step, on NCCL, which sees no process that has died


class Processes:
    """One process among several.

    Args:
        rank: number of this process, 0 for the first.
        size: number of processes.
        local_rank: number on this machine, which is also the number of its device.
        started: whether the others run already, or are started by another program.
        environment: address at which the processes connect.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, local_rank: int = 0, started: bool = True, environment: ClusterEnvironment | None = None
    ):  # not a dataclass: Hydra would treat one as a part of the configuration
        self.rank, self.size, self.local_rank, self.started, self.environment = rank, size, local_rank, started, environment

    def after_start(self) -> "Processes":
        """Return the same processes, once the others have been started."""
        return Processes(self.rank, self.size, self.local_rank, True, self.environment)

    @staticmethod
    def detect(devices: int) -> "Processes":
        """Detect the processes of torchrun, srun, Lightning or `start_processes`; else this is the first, which starts the others.

        Args:
            devices: processes on each machine; with 1 this process is alone, whatever started it.

        Raises:
            ConfigurationError: if another number of processes was started.
        """
        if devices < 1:
            raise ConfigurationError(f"trainer.devices={devices} must be at least 1.")
        if devices == 1:
            return Processes()
        environment, size, rank = _cluster()
        if environment is None:
            return Processes(0, devices, 0, False, LightningEnvironment())
        if size % devices:
            raise ConfigurationError(
                f"trainer.devices={devices}, but {size} processes were started. Set it to their number on one machine."
            )
        return Processes(rank, size, environment.local_rank(), True, environment)

    def device(self, accelerator: str) -> torch.device:
        """Return the device of this process."""
        if accelerator != "cuda":
            return torch.device("cpu")
        # A scheduler may show each process its own GPU alone (srun --gpus-per-task=1), or all of them to all.
        return torch.device("cuda", self.local_rank % max(1, torch.cuda.device_count()))

    def connect(self) -> bool:
        """Connect the processes, for collectives on the CPU and between GPUs. Returns False where they are connected already."""
        if distributed.is_initialized():
            return False
        assert self.environment is not None
        os.environ.update(MASTER_ADDR=self.environment.main_address, MASTER_PORT=str(self.environment.main_port))
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, rank=self.rank, world_size=self.size, timeout=_COLLECTIVE_TIMEOUT)
        return True

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Connect the processes within the block."""
        opened = self.size > 1 and self.connect()
        try:
            yield
        finally:
            if opened:
                distributed.destroy_process_group()

    def broadcast(self, value: Value) -> Value:
        """Return the first process's value; a single process gets its own."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, 0, device=torch.device("cpu"))
        return values[0]


class _Srun(SLURMEnvironment):
    """The processes of srun, including `srun -n 2`, which Lightning refuses: it wants --ntasks-per-node."""

    @staticmethod
    def _validate_srun_variables() -> None:
        pass


def _cluster() -> tuple[ClusterEnvironment | None, int, int]:
    """Return who has started the processes, their number, and the rank of this one."""
    if TorchElasticEnvironment.detect():
        environment: ClusterEnvironment = TorchElasticEnvironment()
    elif int(os.environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # set within srun, but not in the batch script around it
        environment = _Srun(auto_requeue=False)
    elif "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return LightningEnvironment(), int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_RANK"])
    else:
        return None, 1, 0
    return environment, environment.world_size(), environment.global_rank()


class StartedProcesses:
    """The processes that the first has started; none where another program has started them."""

    def __init__(self, processes: Mapping[int, "subprocess.Popen[str]"]):
        self._processes = processes

    def __bool__(self) -> bool:
        return bool(self._processes)

    def wait_until_ready(self) -> None:
        """Wait until each has reported that it is about to connect: a collective with a process that has died would hang.

        Raises:
            ProcessError: if one has ended.
        """
        for rank, process in self._processes.items():
            assert process.stdout is not None
            if process.stdout.readline() != _READY:
                raise ProcessError(_ended(rank, process.wait()))

    def dead(self) -> str:
        """Return which process has ended, and how; empty if all live. One that was killed closes its connections before it is gone."""
        deadline = time.monotonic() + _DEATH_SECONDS
        while self._processes and time.monotonic() < deadline:
            ended = [(rank, process.returncode) for rank, process in self._processes.items() if process.poll() is not None]
            if ended:
                return _ended(*ended[0])
            time.sleep(0.05)
        return ""

    def finish(self, signum: int | None) -> None:
        """Wait until they are done.

        Args:
            signum: the signal that has stopped this process, which is passed on; None if none has.

        Raises:
            ProcessError: if one has failed.
        """
        for process in self._processes.values():
            if signum is not None and process.poll() is None:
                process.send_signal(signum)
        for rank, process in self._processes.items():
            stopped = signum is not None and process.wait() == -signum  # between two fits, where no handler is installed
            if not stopped and (process.wait() in (1, 2) or process.returncode < 0):
                raise ProcessError(_ended(rank, process.returncode))

    def stop(self) -> None:
        """Close the input of those that still run, upon which they save and stop; see `receive_work`."""
        for process in self._processes.values():
            for stream in (process.stdin, process.stdout):
                assert stream is not None
                stream.close()
            process.wait()


@contextmanager
def start_processes(processes: Processes, work: Mapping[str, Any]) -> Iterator[StartedProcesses]:
    """Run `eigexp rank` with the same work in the other processes within the block, unless another program does. Stop them at its end.

    Args:
        processes: detected by this process.
        work: plain values, which `receive_work` returns in the other processes.
    """
    if processes.started:
        yield StartedProcesses({})
        return
    assert processes.environment is not None
    address = {"MASTER_ADDR": processes.environment.main_address, "MASTER_PORT": str(processes.environment.main_port)}
    before, share = torch.get_num_threads(), max(1, number_of_cores() // processes.size)
    if "OMP_NUM_THREADS" not in os.environ:  # with a thread a core in each process, all would wait for each other's threads
        torch.set_num_threads(share)
    common = {
        "OMP_NUM_THREADS": str(share),
        **os.environ,
        **address,
        "WORLD_SIZE": str(processes.size),
        "NODE_RANK": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    started = StartedProcesses({rank: _start({**common, "LOCAL_RANK": str(rank)}, work) for rank in range(1, processes.size)})
    try:
        yield started
    finally:
        started.stop()
        torch.set_num_threads(before)


def _start(environment: dict[str, str], work: Mapping[str, Any]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-P", "-m", "eigexp", "rank"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(work) + "\n")
    process.stdin.flush()
    return process


def receive_work() -> dict[str, Any]:
    """Return the work that `start_processes` sent. From here on this process gets SIGTERM when the process that started it ends."""
    work = json.loads(sys.stdin.readline())
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    return work


def report_ready() -> None:
    """Tell the process that started this one that it is about to connect."""
    sys.stdout.write(_READY)
    sys.stdout.flush()


def _stop_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is sent, so this returns when the pipe closes, also after a SIGKILL of the parent
    os.kill(os.getpid(), signal.SIGTERM)


def is_lost_connection(error: BaseException) -> bool:
    """Return whether a collective failed because another process is gone; gloo and NCCL raise RuntimeErrors of many lines."""
    return isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and any(word in str(error) for word in _LOST))


def _ended(rank: int, code: int) -> str:
    if code < 0:
        return f"Process {rank} was killed by {signal.Signals(-code).name}. The same command continues from the last checkpoint."
    return f"Process {rank} ended with exit code {code}. Its own message, above, says why."
