"""Status of tasks, from the store and the schedulers' queues alone: no torch, no worker is asked."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eigexp.errors import StoreError
from eigexp.store import Store
from eigexp.store.cross_table import has_table
from eigexp.store.store import ERROR, JOB
from eigexp.sweep.job_script import end_of_job
from eigexp.sweep.lock import is_locked
from eigexp.sweep.scheduler import HELD, QUEUED, RUNNING, Job, Queues, jobs_of

DONE, UNKNOWN, ENDED, FAILED, PARTIAL, TO_DO = "done", "unknown", "ended without result", "failed", "partial", "to do"
STATES = (DONE, RUNNING, QUEUED, HELD, UNKNOWN, ENDED, FAILED, PARTIAL, TO_DO)
IN_FLIGHT = (RUNNING, QUEUED, HELD)
NOT_MET = "tolerance not met"  # detail of a task that is done, but did not converge


@dataclass(frozen=True)
class TaskStatus:
    """Status of one task.

    Attributes:
        id: of the task's first result.
        state: one of STATES.
        job: content of job.json (ids, names, model, jobs, ...); empty for a result that no sweep made.
        detail: the job and the scheduler's own words, how the last job ended, message of the error, or NOT_MET.
        jobs: those of the task's jobs that have not ended.
    """

    id: str
    state: str
    job: Mapping[str, Any]
    detail: str = ""
    jobs: tuple[Job, ...] = ()


@dataclass(frozen=True)
class _Asked:
    """A task whose status is wanted, as its job.json was before the queue was asked."""

    id: str
    ids: Sequence[str]
    tables: Sequence[str]
    job: Mapping[str, Any]


class StatusReader:
    """Reads the status of tasks. Each scheduler is asked once for each call, and only if a task has a job there.

    Args:
        store: of the results.
        queues: what schedulers said; None asks them.
    """

    def __init__(self, store: Store, queues: Queues | None = None):
        self.store = store
        self._queues = queues

    def of(self, id: str, ids: Sequence[str] = (), tables: Sequence[str] = ()) -> TaskStatus:
        """Return the status of the task of result `id`: done when all its `ids` and all its cross tables are stored."""
        return self.of_each([(id, ids, tables)])[0]

    def of_each(self, tasks: Sequence[tuple[str, Sequence[str], Sequence[str]]]) -> list[TaskStatus]:
        """Return the status of several tasks, each given as id, ids and cross tables."""
        return self._found([_Asked(id, ids or (id,), tables, self.store.known_json(id, JOB)) for id, ids, tables in tasks])

    def all(self) -> list[TaskStatus]:
        """Return the status of every task that a sweep wrote, by its first id, and of every complete result and shard besides.

        What cannot be read is left out, with one warning in the log that names it.
        """
        asked = []
        for id in sorted(folder.name for folder in self.store.folders()):
            try:
                job = self.store.read_json(id, JOB) or {}
                self.store.read_json(id, ERROR)
            except StoreError as error:
                self.store.leave_out(id, str(error))
                continue
            if job.get("ids", [id])[0] == id and (job or self.store.has(id)):
                asked.append(_Asked(id, job.get("ids", (id,)), job.get("tables", ()), job))
        asked += self._shards_besides({id for task in asked for id in task.ids})
        self.store.warn_of_left_out()
        return self._found(asked)

    def _shards_besides(self, known: Collection[str]) -> Iterator[_Asked]:
        """Yield the shards that have results of no known task, as a task each."""
        for shard in self.store.shards:
            ids = [id for id in shard.positions if id not in known]
            if ids:
                names, models = shard.shown("image"), shard.shown("model")
                yield _Asked(ids[0], ids, (), {"ids": ids, "names": [names[id] for id in ids], "model": models[ids[0]]})

    def with_results(self, tasks: Sequence[TaskStatus]) -> list[TaskStatus]:
        """Return the tasks with what the records of those that are done say: a detail where not all is well, and what no sweep wrote."""
        return [self._with_result(task) if task.state == DONE else task for task in tasks]

    def _found(self, asked: Sequence[_Asked]) -> list[TaskStatus]:
        # In this order a status cannot be wrong. A job that job.json named before the queue was asked, and that is not in the queue, has
        # ended; whatever it stored was there before it left the queue, and so is seen now.
        done = [self._done(task) for task in asked]
        waiting = [task for task, is_done in zip(asked, done, strict=True) if not is_done]
        queues = self._queues or Queues.ask(self.store, [job for task in waiting for job in jobs_of(task.job)])
        return [
            TaskStatus(task.id, DONE, task.job) if is_done else self._status(task, queues)
            for task, is_done in zip(asked, done, strict=True)
        ]

    def _status(self, task: _Asked, queues: Queues) -> TaskStatus:
        if self._done(task):
            return TaskStatus(task.id, DONE, task.job)
        jobs = jobs_of(task.job)
        living = list(queues.of(jobs))
        where = tuple(job for job, _ in living)
        if is_locked(self.store, task.id):
            host, number = task.job.get("host", "another machine"), task.job.get("job")
            return TaskStatus(task.id, RUNNING, task.job, f"running on {host}" + (f", job {number}" if number else ""), where)
        # The queue comes before the error: a task that is tried again has the error of its last attempt until it succeeds.
        if living:
            job, found = living[0]
            return TaskStatus(task.id, found.state, task.job, f"{found.words.lower()}, job {job.id}", where)
        return self._at_rest(task, jobs, queues)

    def _at_rest(self, task: _Asked, jobs: Sequence[Job], queues: Queues) -> TaskStatus:
        """Return the status of a task that no process and no job in a queue has."""
        error = next((found for each in task.ids if (found := self.store.known_json(each, ERROR))), {})
        message = str(error.get("message", ""))
        if error and not error.get("transient"):
            return TaskStatus(task.id, FAILED, task.job, message)
        silence = queues.silence_about(jobs)
        if silence:
            return TaskStatus(task.id, UNKNOWN, task.job, silence)
        if self._done(task):  # since the first look
            return TaskStatus(task.id, DONE, task.job)
        stored = any(self.store.has(each) for each in task.ids)
        if jobs and not error and not task.job.get("cancelled"):
            return TaskStatus(task.id, ENDED, task.job, end_of_job(self.store, jobs[-1].id))
        partial = any(checkpoint_path(self.store, each).exists() for each in task.ids) or bool(stored and task.tables)
        return TaskStatus(task.id, PARTIAL if partial else TO_DO, task.job, message or ("cancelled" if task.job.get("cancelled") else ""))

    def _done(self, task: _Asked) -> bool:
        return all(self.store.has(each) for each in task.ids) and all(has_table(self.store, table) for table in task.tables)

    def _with_result(self, task: TaskStatus) -> TaskStatus:
        try:
            records = [self.store.read(id).record for id in task.job.get("ids", (task.id,))]
        except StoreError:
            return replace(task, detail="corrupt record; run `eigexp store verify`")
        job = task.job or {"model": records[0]["model"], "names": [record["image"]["name"] for record in records]}
        return replace(task, job=job, detail="" if {record["status"] for record in records} == {"converged"} else NOT_MET)


def checkpoint_path(store: Store, id: str) -> Path:
    """Return where the checkpoint of a task is."""
    return store.root / "checkpoints" / f"{id}.ckpt"
