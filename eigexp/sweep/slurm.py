"""Submit tasks as Slurm job arrays. submitit only writes the script and calls sbatch; status is read from the store and the queue."""

import math
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from eigexp.errors import ConfigurationError, MissingDependencyError
from eigexp.store import Store
from eigexp.sweep.launcher import Launcher, OnReport
from eigexp.sweep.local import worker_command
from eigexp.sweep.plan import PlannedTask
from eigexp.sweep.task_files import write_job, write_tasks
from eigexp.sweep.worker import SIGNALS

_ARRAY_SIZE = 1000  # jobs in one array: Slurm's limit, MaxArraySize, is 1001 by default
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")


class Slurm(Launcher):
    """Submits tasks as job arrays and returns.

    Args:
        pack: tasks per job, computed one after the other.
        partition: Slurm's partition.
        account: charged for the jobs.
        qos: quality of service.
        constraint: features that a node must have.
        gpus: GPUs per job.
        cpus: CPU cores per job, and its number of threads.
        memory: memory per job, such as "8G"; None for the partition's default.
        time: time limit of a job: minutes, or "[days-]hours:minutes:seconds".
        parallel: most jobs of an array that run at once.
        warning: seconds before the time limit at which a job saves and requeues itself.
        environment: shell lines that run before the work.
        sbatch: further options, such as {"mail-type": "FAIL"}; True for an option without a value.
        python: interpreter on the nodes; None for the one that submits.
    """

    name = "slurm"
    waits = False

    def __init__(
        self,
        pack: int = 1,
        partition: str | None = None,
        account: str | None = None,
        qos: str | None = None,
        constraint: str | None = None,
        gpus: int = 0,
        cpus: int = 1,
        memory: str | int | None = None,
        time: str | int = "1:00:00",
        parallel: int = 256,
        warning: int = 90,
        environment: list[str] | None = None,
        sbatch: dict[str, Any] | None = None,
        python: str | None = None,
    ):
        for setting, value, least in (("pack", pack, 1), ("gpus", gpus, 0), ("cpus", cpus, 1), ("parallel", parallel, 1)):
            if value < least:
                raise ConfigurationError(f"launcher.{setting}={value} must be at least {least}.")
        self.pack, self.cpus, self.python = pack, cpus, python
        self.parameters: dict[str, Any] = {
            **_given(partition=partition, account=account, qos=qos, constraint=constraint, mem=memory, gpus_per_node=gpus or None),
            "job_name": "eigexp",
            "nodes": 1,
            "ntasks_per_node": 1,
            "cpus_per_task": cpus,
            "time": minutes(time),
            "array_parallelism": parallel,
            "signal_delay_s": warning,
            "stderr_to_stdout": True,
            "setup": [*(environment or ()), *(f"export {name}={cpus}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"))],
            "srun_args": [f"--cpus-per-task={cpus}"],
            "additional_parameters": {"requeue": True, **(sbatch or {})},
        }

    def launch(self, tasks: Sequence[PlannedTask], store: Store, on_report: OnReport) -> int:
        """Submit tasks and write to job.json which job has each. Return 0.

        Raises:
            MissingDependencyError: if submitit is not installed.
            ConfigurationError: if Slurm is not installed, or rejects the job.
            StoreError: if the store cannot be written.
        """
        submitit = _submitit()
        write_tasks(store, tasks, {"launcher": self.name})
        packs = [tasks[i : i + self.pack] for i in range(0, len(tasks), self.pack)]
        executor = submitit.SlurmExecutor(folder=store.root / "jobs", python=self.python)
        executor.update_parameters(**self.parameters)
        for array in _chunks(packs, _ARRAY_SIZE):
            for pack, job in zip(array, self._submit(submitit, executor, array, store), strict=True):
                for task in pack:
                    write_job(store, task, {"launcher": self.name, "job": job})
        print(f"submitted {len(tasks)} tasks in {len(packs)} jobs; `eigexp status --store {store.root}` shows them", file=sys.stderr)
        return 0

    def _submit(self, submitit: Any, executor: Any, packs: Sequence[Sequence[PlannedTask]], store: Store) -> list[str]:
        try:
            with executor.batch():
                jobs = [executor.submit(replace_process, worker_command(store.root, [task.id for task in pack])) for pack in packs]
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError, OSError) as error:
            last = str(error).strip().splitlines()[-1]
            raise ConfigurationError(
                f"Slurm rejects the job: {last} Check launcher.* (`eigexp run launcher=slurm --cfg job` prints it)."
            ) from error
        return [job.job_id for job in jobs]


def replace_process(command: list[str]) -> None:
    """Replace this process, which submitit started, by a worker."""
    # Blocked signals stay pending across exec; the worker unblocks them once its handlers are there, so that none is lost in between.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    sys.stdout.flush()
    os.execv(command[0], command)


def minutes(time: str | int) -> int:
    """Return a time limit in whole minutes, rounded up: 90, "90", "1:30:00" and "0-1:30:00" are the same.

    Raises:
        ConfigurationError: if the format is another.
    """
    match = _TIME.fullmatch(str(time))
    if not match:
        raise ConfigurationError(f"launcher.time={time} is not a time. Use minutes, or [days-]hours:minutes:seconds.")
    parts = [int(part) for part in match["parts"].split(":")]
    if match["days"] is not None:
        hours, mins, seconds = (*parts, 0, 0)[:3]
    elif len(parts) == 3:
        hours, mins, seconds = parts
    else:
        hours, mins, seconds = 0, parts[0], (parts[1] if len(parts) > 1 else 0)
    return max(1, math.ceil((int(match["days"] or 0) * 86400 + hours * 3600 + mins * 60 + seconds) / 60))


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise MissingDependencyError("launcher=slurm needs the package submitit. Run: pip install 'eigexp[slurm]'") from error
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise ConfigurationError(
            "launcher=slurm needs the commands sbatch and srun, which are not on PATH. Run it on a login node, or use launcher=local."
        )
    return submitit


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _given(**values: Any) -> Mapping[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
