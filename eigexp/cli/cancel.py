"""`eigexp cancel`: cancel jobs, stop local processes, and name those that have not ended."""

import os
import signal
import socket
import sys
import time
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from eigexp.cli.commands import Commands, add_store
from eigexp.errors import SchedulerError

if TYPE_CHECKING:
    from eigexp.store import Store
    from eigexp.sweep.scheduler import Job
    from eigexp.sweep.task_status import TaskStatus

_PAUSE = 0.5  # seconds between two looks


def add(commands: Commands) -> None:
    """Add the subcommand."""
    parser = commands.add(
        "cancel",
        lambda options, overrides: cancel(options.store, options.ids, wait=options.wait),
        "cancel queued and running jobs, and stop local processes; checkpoints are kept",
        examples=["eigexp cancel", "eigexp cancel 3f2a9c"],
        codes="0 all jobs and processes have ended, 1 some have not, or a scheduler does not answer, 2 invalid input",
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="tasks, by the first characters of their ids; by default all")
    parser.add_argument("--wait", type=float, default=60.0, metavar="SECONDS", help="how long to wait until they have ended")
    add_store(parser)


def cancel(root: str, ids: Sequence[str] = (), *, wait: float = 60.0) -> int:
    """Cancel the jobs of tasks, and stop the local processes of this machine that compute them. Return 0 if all have ended, else 1.

    A job of several tasks is cancelled as a whole. A running task saves its state if the grace time allows.

    Raises:
        SchedulerError: if a scheduler does not answer, so that the jobs to cancel are unknown; jobs of other schedulers are cancelled.
    """
    from eigexp.store import Store
    from eigexp.store.labels import counted
    from eigexp.sweep.task_files import mark_cancelled
    from eigexp.sweep.task_status import IN_FLIGHT, UNKNOWN, StatusReader

    store = Store(root)
    found = [task for task in StatusReader(store).all() if not ids or any(task.id.startswith(id) for id in ids)]
    chosen = [task for task in found if task.state in IN_FLIGHT]
    jobs = {job for task in chosen for job in task.jobs}
    local = {int(task.job["pid"]) for task in chosen if _is_local(store, task)}
    for task in chosen:
        if task.jobs:
            mark_cancelled(store, task.id)
    refusals = _stop(store, jobs)
    for pid in local:
        os.kill(pid, signal.SIGTERM)
    left = _left(store, jobs, {task.id for task in chosen if _is_local(store, task)}, wait)
    cancelled = f"{counted(len(jobs), 'job')} and {counted(len(local), 'local process', 'local processes')}"
    print(f"cancelled {cancelled} of {counted(len(chosen), 'task')}")
    if left:  # a job that ended meanwhile cannot be cancelled, which is not a problem
        print("\n".join(refusals), file=sys.stderr)
        print(
            f"Not ended after {wait:g} s: {', '.join(left)}. They save a checkpoint first; run the command again to check.", file=sys.stderr
        )
    unknown = [task for task in found if task.state == UNKNOWN]
    if unknown:
        raise SchedulerError(f"{len(unknown)} tasks have jobs of unknown status, which were not cancelled: {unknown[0].detail}")
    return 1 if left else 0


def _stop(store: "Store", jobs: "Collection[Job]") -> list[str]:
    """Cancel jobs. Return the messages of schedulers that refused."""
    from eigexp.sweep.scheduler import Scheduler

    refusals = []
    for name in sorted({job.scheduler for job in jobs}):
        try:
            Scheduler.load(store, name).stop(sorted(job.id for job in jobs if job.scheduler == name))
        except SchedulerError as error:
            refusals.append(str(error))
    return refusals


def _left(store: "Store", jobs: "Collection[Job]", tasks: Collection[str], wait: float) -> list[str]:
    """Return the jobs in a queue and the tasks of local processes that have not ended after some seconds."""
    from eigexp.sweep.lock import is_locked
    from eigexp.sweep.scheduler import Queues

    deadline = time.monotonic() + wait
    while True:
        queues = Queues.ask(store, jobs)
        left = [f"job {job.id}" for job, _ in queues.of(sorted(jobs, key=str))] + [f"task {id}" for id in tasks if is_locked(store, id)]
        left += list(queues.silent.values())
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(_PAUSE)


def _is_local(store: "Store", task: "TaskStatus") -> bool:
    # The lock shows that the process of job.json still lives: its number could belong to another program by now.
    from eigexp.sweep.lock import is_locked

    here = task.job.get("host") == socket.gethostname() and bool(task.job.get("pid"))
    return not task.jobs and here and is_locked(store, task.id)
