"""Tasks as Slurm job arrays, through submitit, which only writes the script and calls sbatch: what happens is read from store and queue."""

import math
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from eigexp.errors import ConfigurationError, MissingDependencyError
from eigexp.store import Store
from eigexp.sweep.freeze import freeze, note_job
from eigexp.sweep.local import worker_command
from eigexp.sweep.plan import PlannedTask
from eigexp.sweep.worker import SIGNALS

ARRAY = 1000  # jobs in one array: Slurm's own limit, MaxArraySize, is 1001 unless a site has set another
_TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")


class Slurm:
    """Submits tasks as job arrays and returns.

    Args:
        pack: tasks a job, one after the other.
        partition: of Slurm, as are `account`, `qos` and `constraint`.
        account: to charge.
        qos: quality of service.
        constraint: features that a node must have.
        gpus: a job.
        cpus: a job; its threads.
        memory: a job, "8G" say; None takes the partition's default.
        time: limit of a job: minutes, or "[days-]hours:minutes:seconds".
        parallel: jobs of an array at once.
        warning: seconds before the limit at which a job saves and goes back into the queue.
        environment: lines of shell before the work.
        sbatch: further options, {"mail-type": "FAIL"} say; True for one without value.
        python: the interpreter on the nodes; None for the one that submits.
    """

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
        for name, value, least in (("pack", pack, 1), ("gpus", gpus, 0), ("cpus", cpus, 1), ("parallel", parallel, 1)):
            if value < least:
                raise ConfigurationError(f"launcher.{name}={value} must be at least {least}.")
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

    def launch(self, tasks: Sequence[PlannedTask], store: Store, show: Callable[..., None]) -> int:
        """Freeze tasks, submit them, note each one's job. Returns 0.

        Raises:
            MissingDependencyError: without submitit.
            ConfigurationError: without Slurm, or if it refuses the job.
            StoreError: if the store cannot be written.
        """
        submitit = _submitit()
        freeze(store, tasks, {"launcher": "slurm"})
        packs = [tasks[i : i + self.pack] for i in range(0, len(tasks), self.pack)]
        executor = submitit.SlurmExecutor(folder=store.root / "jobs", python=self.python)
        executor.update_parameters(**self.parameters)
        for array in _chunks(packs, ARRAY):
            for pack, job in zip(array, self._submit(submitit, executor, array, store), strict=True):
                for task in pack:
                    note_job(store, task, {"launcher": "slurm", "job": job})
        print(
            f"submitted {len(tasks)} tasks in {len(packs)} jobs; `eigexp status --store {store.root}` shows how they stand", file=sys.stderr
        )
        return 0

    def _submit(self, submitit: Any, executor: Any, packs: Sequence[Sequence[PlannedTask]], store: Store) -> list[str]:
        try:
            with executor.batch():
                jobs = [executor.submit(become, worker_command(store.root, [task.id for task in pack])) for pack in packs]
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError, OSError) as error:
            last = str(error).strip().splitlines()[-1]
            raise ConfigurationError(
                f"Slurm refuses the job: {last} Look at launcher.* (`eigexp run launcher=slurm --cfg job` shows it)."
            ) from error
        return [job.job_id for job in jobs]


def become(command: list[str]) -> None:
    """Turn this process, which submitit started, into a worker. Signals wait meanwhile, so that none is lost between the two."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    sys.stdout.flush()
    os.execv(command[0], command)


def minutes(time: str | int) -> int:
    """A time limit as whole minutes, rounded up: 90, "90", "1:30:00" and "0-1:30:00" are the same.

    Raises:
        ConfigurationError: if it cannot be read.
    """
    match = _TIME.fullmatch(str(time))
    if not match:
        raise ConfigurationError(f"launcher.time={time} is no time. Give minutes, or [days-]hours:minutes:seconds.")
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
        raise ConfigurationError("launcher=slurm finds no sbatch and srun here. Sweep from a node of the cluster, or use launcher=local.")
    return submitit


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _given(**values: Any) -> Mapping[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
