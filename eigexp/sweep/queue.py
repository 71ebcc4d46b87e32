"""Slurm's queue, asked through its commands: what is in it, put a job back, take jobs out."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

from eigexp.errors import ConfigurationError

SECONDS = 60


def queued() -> dict[str, str] | None:
    """State by job, {"12_0": "RUNNING", "13": "PENDING"}; None where Slurm does not answer."""
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", "--array", "--format", "%F %K %T"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    if run.returncode != 0:
        return None
    lines = [line.split() for line in run.stdout.splitlines()]
    return {job if number == "N/A" else f"{job}_{number}": state for job, number, state in (line for line in lines if len(line) == 3)}


def this_job(environment: Mapping[str, str] = os.environ) -> str | None:
    """The Slurm job that this process belongs to, "12_0" or "13"; None outside."""
    if "SLURM_ARRAY_JOB_ID" in environment:
        return f"{environment['SLURM_ARRAY_JOB_ID']}_{environment['SLURM_ARRAY_TASK_ID']}"
    return environment.get("SLURM_JOB_ID")


def requeue(job: str) -> str:
    """Put a running job back into the queue. Returns what went wrong, empty if nothing did."""
    run = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, timeout=SECONDS, check=False)
    return run.stderr.strip() if run.returncode else ""


def cancel(jobs: Sequence[str]) -> None:
    """Take jobs out of the queue, running or waiting.

    Raises:
        ConfigurationError: if Slurm refuses.
    """
    if not jobs:
        return
    run = subprocess.run(["scancel", *jobs], capture_output=True, text=True, timeout=SECONDS, check=False)
    if run.returncode:
        raise ConfigurationError(f"scancel {' '.join(jobs)}: {run.stderr.strip()}")
