"""`eigexp status` and `eigexp cancel`: from the store and Slurm's queue alone, without torch."""

import os
import signal
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from eigexp.cli.commands import Commands, add_store

if TYPE_CHECKING:
    from eigexp.store import Store
    from eigexp.sweep.task_status import TaskStatus


def add(commands: Commands) -> None:
    """Add the subcommands."""
    shown = commands.add(
        "status",
        lambda options, overrides: status(options.store, failed=options.failed, form=options.format, traceback=options.traceback),
        "show the status of every task of a store: done, in flight, failed, partial or to do",
        examples=["eigexp status", "eigexp status --failed"],
    )
    shown.add_argument("--failed", action="store_true", help="only tasks that failed, with a line for each distinct error")
    shown.add_argument("--traceback", action="store_true", help="with --failed: the traceback of the first task of each error, too")
    shown.add_argument("--format", choices=("table", "json"), default="table", help="format of the output")
    stopped = commands.add(
        "cancel",
        lambda options, overrides: cancel(options.store, options.ids),
        "cancel tasks in Slurm's queue, and stop local ones; their checkpoints stay",
        examples=["eigexp cancel", "eigexp cancel 3f2a9c"],
    )
    stopped.add_argument("ids", nargs="*", metavar="ID", help="tasks, by the first characters of their ids; by default all")
    for parser in (shown, stopped):
        add_store(parser)


def status(root: str, *, failed: bool = False, form: str = "table", traceback: bool = False) -> int:
    """Print the status of every task of a store, grouped by state, and a line for each distinct error. Return 0."""
    from eigexp.cli.task_tables import as_json, count_line, error_lines, print_table, status_table
    from eigexp.store import Store
    from eigexp.store.store import ERROR
    from eigexp.sweep.task_status import FAILED, StatusReader

    store = Store(root)
    reader = StatusReader(store)
    tasks = reader.with_results(reader.all())
    if failed:
        tasks = [task for task in tasks if task.state == FAILED or store.read_json(task.id, ERROR)]
    if form == "json":
        print(as_json(tasks))
        return 0
    if tasks:
        print_table(status_table(tasks))
    errors = {task.id: error for task in tasks if (error := store.read_json(task.id, ERROR))}
    for line in error_lines(tasks, errors, traceback=traceback):
        print(line)
    print(count_line(tasks))
    return 0


def cancel(root: str, ids: Sequence[str] = ()) -> int:
    """Cancel the Slurm jobs of tasks, and stop the local processes of this machine that compute them. Return 0.

    A job of several tasks is cancelled as a whole. A running task saves its state if the grace time allows.
    """
    from eigexp.store import Store
    from eigexp.sweep import slurm_queue
    from eigexp.sweep.task_status import IN_FLIGHT, StatusReader

    store = Store(root)
    running = [task for task in StatusReader(store).all() if task.state == IN_FLIGHT]
    chosen = [task for task in running if not ids or any(task.id.startswith(id) for id in ids)]
    jobs = sorted({task.job["job"] for task in chosen if task.job.get("job")})
    slurm_queue.cancel(jobs)
    local = sorted({task.job["pid"] for task in chosen if _is_local(store, task)})
    for pid in local:
        os.kill(pid, signal.SIGTERM)
    print(f"cancelled {len(jobs)} jobs and {len(local)} local processes, of {len(chosen)} tasks in flight")
    return 0


def _is_local(store: "Store", task: "TaskStatus") -> bool:
    # The lock shows that the process of job.json still lives: its number could belong to another program by now.
    from eigexp.sweep.lock import is_locked

    return (
        not task.job.get("job") and task.job.get("host") == socket.gethostname() and bool(task.job.get("pid")) and is_locked(store, task.id)
    )
