"""Submit tasks as Slurm job arrays: the profile of the template launcher with Slurm's own options as settings."""

import shutil
from typing import Any

from eigexp.errors import ConfigurationError
from eigexp.store import Store
from eigexp.sweep.launcher import OnReport
from eigexp.sweep.template import Template

# The work runs under srun because Slurm signals steps, not the batch shell. The batch shell ignores signals, and so does srun, which would
# take a second SIGINT as a wish to kill.
_SCRIPT = """#!/bin/bash
#SBATCH --job-name=eigexp
#SBATCH --array={{ first }}-{{ last }}%{{ parallel }}
#SBATCH --output="{{ folder }}/%A_%a.log"
#SBATCH --open-mode=append
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task={{ cpus }}
#SBATCH --time={{ minutes }}
#SBATCH --signal=USR2@{{ warning }}
#SBATCH --requeue
{% if gpus %}
#SBATCH --gpus-per-node={{ gpus }}
{% endif %}
{% if memory %}
#SBATCH --mem={{ memory }}
{% endif %}
{% if queue %}
#SBATCH --partition={{ queue }}
{% endif %}
{% if account %}
#SBATCH --account={{ account }}
{% endif %}
{% for option in options %}
#SBATCH {{ option }}
{% endfor %}
trap '' HUP INT TERM USR1 USR2
exec srun --unbuffered --cpus-per-task={{ cpus }} bash "{{ work }}"
"""
_PROFILE: dict[str, Any] = {
    "name": "slurm",
    "submit": "sbatch --parsable {script}",
    "status": "squeue --noheader --array --format='%F %K %T %r'",
    "listed": r"^(?P<job>\d+) (?:(?P<index>\d+)|\S+) (?P<state>\S+.*)$",
    "states": {"held": "Held|HOLD|SPECIAL_EXIT", "queued": "^(PENDING|CONFIGURING|REQUEUED|RESV_DEL_HOLD)", "running": ""},
    "cancel": "scancel {jobs}",
    "format": "{job}_{index}",
    "first": 0,
    "job": '"$SLURM_ARRAY_JOB_ID"_"$SLURM_ARRAY_TASK_ID"',
    "index": "$SLURM_ARRAY_TASK_ID",
    "requeue": 'trap "" TERM; scontrol requeue "$job" && sleep 60',  # Slurm ends the step meanwhile, with SIGTERM and then SIGKILL
}


class Slurm(Template):
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
        start: seconds that a job needs before it computes.
        parallel: most jobs of an array that run at once.
        warning: seconds before the time limit at which a job saves and requeues itself.
        task_seconds: time limit of one task; None for none.
        task_memory: host memory that a worker may take, such as "8GB"; None for the job's limit alone.
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
        start: int = 30,
        parallel: int = 256,
        warning: int = 90,
        task_seconds: float | None = None,
        task_memory: str | float | None = None,
        environment: list[str] | None = None,
        sbatch: dict[str, Any] | None = None,
        python: str | None = None,
    ):
        more = {"qos": qos, "constraint": constraint, **(sbatch or {})}
        super().__init__(
            script=_SCRIPT,
            pack=pack, cpus=cpus, gpus=gpus, memory=memory, time=time, start=start, warning=warning, task_seconds=task_seconds,
            task_memory=task_memory, parallel=parallel, queue=partition, account=account, options=_options(more),
            environment=environment, python=python, **_PROFILE,
        )  # fmt: skip

    def launch(self, tasks: Any, store: Store, on_report: OnReport) -> int:
        """Submit tasks and write to job.json which job has each. Return 0.

        Raises:
            ConfigurationError: if Slurm is not installed, or rejects the job.
            StoreError: if the store cannot be written.
        """
        if shutil.which("sbatch") is None:
            raise ConfigurationError(
                "launcher=slurm needs the command sbatch, which is not on PATH. Run it on a login node, or use launcher=local."
            )
        return super().launch(tasks, store, on_report)


def _options(given: dict[str, Any]) -> list[str]:
    """Return options of sbatch as it reads them from a script: values with spaces in quotes."""
    return [f"--{key}" if value is True else f'--{key}="{value}"' for key, value in given.items() if value not in (None, False)]
