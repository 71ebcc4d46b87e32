"""Tasks written down before they run, so that a worker needs nothing but the store and an id."""

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from eigexp.errors import StoreError
from eigexp.store import Store
from eigexp.store.files import discard, read_bytes, write_whole
from eigexp.store.result import CONFIG
from eigexp.store.store import ERROR, JOB, config_yaml
from eigexp.sweep.plan import PlannedTask

TASK = "task.yaml"  # of several layers: config.yaml in the same folder is the first layer's own


def freeze(store: Store, tasks: Sequence[PlannedTask], job: Mapping[str, Any]) -> None:
    """Write each task's configuration and job.json, and forget its last error.

    Raises:
        StoreError: if the store cannot be written.
    """
    for task in tasks:
        if task.parts:
            write_whole(store.path(task.id) / TASK, config_yaml(task.config))
        else:
            store.write_config(task.id, task.config)
            discard(store.path(task.id) / TASK)
        for id in task.ids:
            discard(store.path(id) / ERROR)
        note_job(store, task, job)


def note_job(store: Store, task: PlannedTask, job: Mapping[str, Any]) -> None:
    """Write which job has a task: job.json of each of its results."""
    words = {"ids": list(task.ids), "names": list(task.names), "model": task.model, "overrides": list(task.overrides), **job}
    if task.tables:
        words["tables"] = list(task.tables)
    for id in task.ids:
        store.write_json(id, JOB, words)


def note_worker(store: Store, id: str, job: Mapping[str, Any], slurm_job: str | None) -> None:
    """Add to job.json who works on the task now."""
    here = {"host": socket.gethostname(), "pid": os.getpid()}
    store.write_json(id, JOB, {**job, **here, **({"job": slurm_job} if slurm_job else {})})


def frozen(store: Store, id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and job.json of a task.

    Raises:
        StoreError: if it was never frozen.
    """
    path = store.path(id) / TASK
    if not path.exists():
        path = store.path(id) / CONFIG
    job = store.read_json(id, JOB)
    if job is None or not path.exists():
        raise StoreError(f"{path.parent} holds no frozen task. `eigexp sweep` writes them.")
    return yaml.safe_load(read_bytes(path)), job
