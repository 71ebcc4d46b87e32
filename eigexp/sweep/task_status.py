"""How a task stands, from the store and Slurm's queue alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eigexp.store import Store
from eigexp.store.cross_table import has_table
from eigexp.store.store import ERROR, JOB
from eigexp.sweep.lock import claimed
from eigexp.sweep.queue import queued

DONE, IN_FLIGHT, FAILED, PARTIAL, TO_DO = "done", "in flight", "failed", "partial", "to do"
STATES = (DONE, IN_FLIGHT, FAILED, PARTIAL, TO_DO)


@dataclass(frozen=True)
class Standing:
    """How one task stands.

    Attributes:
        id: the task's first result.
        state: one of STATES.
        job: job.json, where its ids, names and job are; empty for a result that no sweep made.
        detail: the job's state, or the error's message.
    """

    id: str
    state: str
    job: Mapping[str, Any]
    detail: str = ""


class Standings:
    """Tells how tasks stand; Slurm's queue is asked once.

    Args:
        store: the results.
        queue: state by job; by default what `squeue` says.
    """

    def __init__(self, store: Store, queue: Mapping[str, str] | None = None):
        self.store = store
        self._queue = queue
        self._asked = queue is not None

    def of(self, id: str, ids: Sequence[str] = (), tables: Sequence[str] = ()) -> Standing:
        """How the task of result `id` stands; done when all its `ids`, and its `tables` of several layers, are."""
        job = self.store.read_json(id, JOB) or {}
        stored = [each for each in ids or (id,) if self.store.has(each)]
        if len(stored) == len(ids or (id,)) and all(has_table(self.store, table) for table in tables):
            return Standing(id, DONE, job)
        flying = self._in_flight(id, job)
        if flying:
            return Standing(id, IN_FLIGHT, job, flying)
        error = next((found for each in ids or (id,) if (found := self.store.read_json(each, ERROR))), None)
        if error and not error.get("transient"):
            return Standing(id, FAILED, job, str(error.get("message", "")))
        partial = any(checkpoint(self.store, each).exists() for each in ids or (id,)) or bool(stored and tables)
        return Standing(id, PARTIAL if partial else TO_DO, job, str(error.get("message", "")) if error else "")

    def all(self) -> list[Standing]:
        """Every task that a sweep left in the store, by its first id, and every whole result besides."""
        found = []
        for id in sorted(folder.name for folder in self.store.folders()):
            job = self.store.read_json(id, JOB) or {}
            if job.get("ids", [id])[0] == id and (job or self.store.has(id)):
                found.append(self.of(id, job.get("ids", ()), job.get("tables", ())))
        return found

    def _in_flight(self, id: str, job: Mapping[str, Any]) -> str:
        if claimed(self.store, id):
            return f"running on {job.get('host', 'a host')}" + (f", job {job['job']}" if job.get("job") else "")
        if not job.get("job"):
            return ""
        if not self._asked:
            self._queue, self._asked = queued(), True
        state = (self._queue or {}).get(job["job"])
        return f"{state.lower()}, job {job['job']}" if state else ""


def checkpoint(store: Store, id: str) -> Path:
    """Where a task's checkpoint lies."""
    return store.root / "checkpoints" / f"{id}.ckpt"
