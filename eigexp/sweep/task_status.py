"""Status of tasks, from the store and Slurm's queue alone: no torch, no worker is asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eigexp.errors import StoreError
from eigexp.store import Store
from eigexp.store.cross_table import has_table
from eigexp.store.result import RECORD, read_record
from eigexp.store.store import ERROR, JOB
from eigexp.sweep.lock import is_locked
from eigexp.sweep.slurm_queue import job_states

DONE, IN_FLIGHT, FAILED, PARTIAL, TO_DO = "done", "in flight", "failed", "partial", "to do"
STATES = (DONE, IN_FLIGHT, FAILED, PARTIAL, TO_DO)
ON_BUDGET = "stopped on budget"  # detail of a task that is done, but did not converge


@dataclass(frozen=True)
class TaskStatus:
    """Status of one task.

    Attributes:
        id: of the task's first result.
        state: one of STATES.
        job: content of job.json (ids, names, model, job, ...); empty for a result that no sweep made.
        detail: state of the Slurm job, message of the error, or ON_BUDGET.
    """

    id: str
    state: str
    job: Mapping[str, Any]
    detail: str = ""


class StatusReader:
    """Reads the status of tasks. Slurm's queue is asked once, and only if a task has a Slurm job.

    Args:
        store: of the results.
        queue: state by Slurm job; None asks `squeue`.
    """

    def __init__(self, store: Store, queue: Mapping[str, str] | None = None):
        self.store = store
        self._queue = queue
        self._asked = queue is not None

    def of(self, id: str, ids: Sequence[str] = (), tables: Sequence[str] = ()) -> TaskStatus:
        """Return the status of the task of result `id`: done when all its `ids` and all its cross tables are stored."""
        job = self.store.read_json(id, JOB) or {}
        ids = ids or (id,)
        stored = [each for each in ids if self.store.has(each)]
        if len(stored) == len(ids) and all(has_table(self.store, table) for table in tables):
            return TaskStatus(id, DONE, job)
        # The lock and the queue come before the error: a task that is tried again has the error of its last attempt until it succeeds.
        running = self._running(id, job)
        if running:
            return TaskStatus(id, IN_FLIGHT, job, running)
        error = next((found for each in ids if (found := self.store.read_json(each, ERROR))), None) or {}
        message = str(error.get("message", ""))
        if error and not error.get("transient"):
            return TaskStatus(id, FAILED, job, message)
        partial = any(checkpoint_path(self.store, each).exists() for each in ids) or bool(stored and tables)
        return TaskStatus(id, PARTIAL if partial else TO_DO, job, message)

    def all(self) -> list[TaskStatus]:
        """Return the status of every task that a sweep wrote, by its first id, and of every complete result besides."""
        found = []
        for id in sorted(folder.name for folder in self.store.folders()):
            job = self.store.read_json(id, JOB) or {}
            if job.get("ids", [id])[0] == id and (job or self.store.has(id)):
                found.append(self.of(id, job.get("ids", ()), job.get("tables", ())))
        return found

    def with_results(self, tasks: Sequence[TaskStatus]) -> list[TaskStatus]:
        """Return the tasks with a detail where one is done and not all is well with its results. Reads the records of these."""
        return [replace(task, detail=self._result_detail(task)) if task.state == DONE else task for task in tasks]

    def _result_detail(self, task: TaskStatus) -> str:
        try:
            statuses = {read_record(self.store.path(id) / RECORD).get("status") for id in task.job.get("ids", (task.id,))}
        except StoreError:
            return "corrupt record; run `eigexp store verify`"
        return "" if statuses == {"converged"} else ON_BUDGET

    def _running(self, id: str, job: Mapping[str, Any]) -> str:
        if is_locked(self.store, id):
            return f"running on {job.get('host', 'another machine')}" + (f", job {job['job']}" if job.get("job") else "")
        if not job.get("job"):
            return ""
        if not self._asked:
            self._queue, self._asked = job_states(), True
        state = (self._queue or {}).get(job["job"])
        return f"{state.lower()}, job {job['job']}" if state else ""


def checkpoint_path(store: Store, id: str) -> Path:
    """Return where the checkpoint of a task is."""
    return store.root / "checkpoints" / f"{id}.ckpt"
