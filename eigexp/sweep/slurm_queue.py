"""Slurm's queue through its own commands: list jobs, requeue one, cancel some."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from eigexp.errors import ConfigurationError

_TIMEOUT = 60  # seconds for one command


def job_states() -> dict[str, str] | None:
    """Return the state of each job in the queue, {"12_0": "RUNNING", "13": "PENDING"}; None if Slurm does not answer."""
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", "--array", "--format", "%F %K %T"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return None
    if run.returncode != 0:
        return None
    lines = [line.split() for line in run.stdout.splitlines()]
    return {job if number == "N/A" else f"{job}_{number}": state for job, number, state in (line for line in lines if len(line) == 3)}


def this_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the Slurm job of this process, "12_0" or "13"; None outside Slurm."""
    if "SLURM_ARRAY_JOB_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment.get("SLURM_JOB_ID")


def requeue(job: str) -> str:
    """Put a running job back into the queue. Return the error message, empty on success."""
    run = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    return run.stderr.strip() if run.returncode else ""


def cancel(jobs: Sequence[str]) -> None:
    """Cancel jobs, running or pending.

    Raises:
        ConfigurationError: if Slurm rejects the request.
    """
    if not jobs:
        return
    run = subprocess.run(["scancel", *jobs], capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if run.returncode:
        raise ConfigurationError(f"`scancel {' '.join(jobs)}` failed: {run.stderr.strip()}")
