"""Files of a planned task in the store, so that a worker needs nothing but the store and an id."""

import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from eigexp.errors import StoreError
from eigexp.store import Store
from eigexp.store.files import discard, write_atomically
from eigexp.store.result import CONFIG, read_config
from eigexp.store.secrets import thawed
from eigexp.store.store import ERROR, JOB, config_yaml
from eigexp.sweep.plan import PlannedTask
from eigexp.sweep.scheduler import Job, jobs_of

TASK = "task.yaml"  # of several layers: config.yaml in the same folder belongs to the first layer alone


def write_tasks(store: Store, tasks: Sequence[PlannedTask], job: Mapping[str, Any]) -> None:
    """Write each task's configuration and job.json, and remove the error of an earlier attempt.

    Raises:
        StoreError: if the store cannot be written.
    """
    for task in tasks:
        if task.parts:
            write_atomically(store.real_folder(task.id) / TASK, config_yaml(task.config))
        else:
            store.write_config(task.id, task.config)
            discard(store.path(task.id) / TASK)
        for id in task.ids:
            discard(store.path(id) / ERROR)
        write_job(store, task, job)


def write_job(store: Store, task: PlannedTask, job: Mapping[str, Any], submitted: Job | None = None) -> None:
    """Write job.json of each of the task's results, or of the first of a shard: what the task is, and all jobs that ever had it."""
    content = {"ids": list(task.ids), "names": list(task.names), "model": task.model, "overrides": list(task.overrides), **job}
    if task.tables:
        content["tables"] = list(task.tables)
    before = jobs_of(store.known_json(task.id, JOB))
    content |= _with_job(before, submitted)
    for id in task.ids[:1] if task.config.get("shards") else task.ids:  # results in a shard have no folders
        store.write_json(id, JOB, content)


def write_worker(store: Store, id: str, job: Mapping[str, Any], running: Job | None) -> None:
    """Add to job.json which process works on the task now."""
    worker = {"host": socket.gethostname(), "pid": os.getpid()}
    store.write_json(id, JOB, {**job, **worker, **_with_job(jobs_of(job), running)})


def halve_batch(store: Store, task: PlannedTask) -> bool:
    """Let the task's next attempt take half as many images at once. Returns False where it is one image already."""
    job = store.known_json(task.id, JOB)
    size = min(len(task.ids), int(job.get("batch_size") or task.config["images"].get("batch_size") or 1))
    if size < 2:
        return False
    store.write_json(task.id, JOB, {**job, "batch_size": size // 2})
    return True


def with_batch_size(config: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with the batch size of job.json, where it has one."""
    size = job.get("batch_size")
    return {**config, "images": {**config["images"], "batch_size": size}} if size else dict(config)


def mark_cancelled(store: Store, id: str) -> None:
    """Write to job.json that the task was cancelled; the next sweep that has it removes the mark."""
    job = store.read_json(id, JOB)
    if job is not None:
        store.write_json(id, JOB, {**job, "cancelled": True})


def _with_job(before: Sequence[Job], job: Job | None) -> dict[str, Any]:
    """Return the keys `jobs`, all of them with the latest last, and `job`, the id of the latest where it is this one."""
    jobs = [str(each) for each in before if each != job] + ([str(job)] if job else [])
    return {**({"jobs": jobs} if jobs else {}), **({"job": job.id} if job else {})}


def read_task(store: Store, id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configuration and job.json of a task.

    Raises:
        StoreError: if no sweep has written them.
    """
    path = store.path(id) / TASK
    if not path.exists():
        path = store.path(id) / CONFIG
    job = store.read_json(id, JOB)
    if job is None or not path.exists():
        raise StoreError(f"{path.parent} has no planned task. Run `eigexp sweep` to write it.")
    return thawed(read_config(path)), job
