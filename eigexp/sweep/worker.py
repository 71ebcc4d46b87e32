"""A worker: a process that computes planned tasks one after the other, and continues when one fails."""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from eigexp.errors import ConfigurationError, is_out_of_memory
from eigexp.store import Store
from eigexp.store.cross_table import has_table
from eigexp.store.files import discard
from eigexp.store.maintenance import remove_spent_checkpoints
from eigexp.store.store import ERROR, JOB
from eigexp.sweep.failures import breaks_device, record_error, write_error
from eigexp.sweep.job_script import TOO_EARLY
from eigexp.sweep.lock import LOCK, task_lock
from eigexp.sweep.process import (
    MemoryAfterTasks,
    SignalReceived,
    free_memory,
    ignore_signals,
    memory_limit,
    output_to_log,
    preload,
    raise_on_signals,
    replace_worker,
)
from eigexp.sweep.scheduler import this_job

if TYPE_CHECKING:
    from eigexp.experiment.plan_cache import PlanCache
    from eigexp.experiment.run import RunOutcome


@dataclass(frozen=True)
class TaskReport:
    """What became of one task; a worker writes it as a line of JSON.

    Attributes:
        id: of the task.
        state: `unfinished` if the Trainer ended before the solver, `locked` if another process works on it, `stopped` by a signal, `died`
            with its process, `again` if it died and is tried with fewer images at once.
        code: exit code: 0, 3 tolerance not met, 1 failed, 128 + signal.
        seconds: of wall-clock time.
        message: of the error, or why there is no result.
    """

    id: str
    state: Literal["done", "failed", "unfinished", "locked", "stopped", "died", "again"]
    code: int = 0
    seconds: float = 0.0
    message: str = ""


RunTask = Callable[[dict[str, Any], list[str], "PlanCache"], "RunOutcome"]


def work(store: Store, ids: Sequence[str], run: RunTask, report: Callable[[TaskReport], None]) -> int:
    """Compute tasks. A task that a signal stops is saved; the script of the job decides whether the job goes back into the queue.

    Args:
        store: with the planned tasks; their results go there too.
        ids: first id of each task; ["-"] reads them from standard input, one at a time.
        run: computes a configuration.
        report: called as each task ends.

    Returns:
        Exit code: 0, 3 if a task misses the tolerance, 1 if one failed, 128 + signal, TOO_EARLY for a signal before the first task was over
        or saved.
    """
    codes: list[int] = []
    raise_on_signals()
    try:
        from eigexp.experiment.plan_cache import PlanCache

        cache = PlanCache()
        for done, restart in _each(store, ids, run, cache):
            report(done)
            codes.append(done.code)
            if done.state == "stopped":
                break
            if restart is not None:
                replace_worker(store, restart)
    except SignalReceived as received:
        return 128 + received.signum if codes else TOO_EARLY
    return max(codes) if codes and codes[-1] > 128 else exit_code(codes)


def _each(store: Store, ids: Sequence[str], run: RunTask, cache: "PlanCache") -> Iterator[tuple[TaskReport, Sequence[str] | None]]:
    """Yield the report of each task, and what a new process should go on with where this one is no longer fit; else None."""
    piped, memory = list(ids) == ["-"], MemoryAfterTasks()
    for number, id in enumerate(ids_from(sys.stdin) if piped else ids):
        rest = ids if piped else ids[number + 1 :]
        with time_limit(store, id, rest):
            done, broken = run_task(store, id, run, cache)
        memory.free()
        yield done, rest if broken else None


def exit_code(codes: Sequence[int]) -> int:
    """Return the exit code of several tasks: 1 if one failed, else the largest."""
    return 1 if 1 in codes else max(codes, default=0)


def run_task(store: Store, id: str, run: RunTask, cache: "PlanCache") -> tuple[TaskReport, bool]:
    """Compute one task under its lock. An error is written to error.json. Returns the report, and whether the error broke the device."""
    began, broken = time.monotonic(), False
    with task_lock(store, id) as acquired:
        if not acquired:
            return TaskReport(id, "locked"), False
        try:
            report = _run_locked(store, id, run, cache)
        except (Exception, SystemExit) as error:  # whatever a task raises ends this task alone, its own sys.exit too
            report, broken = TaskReport(id, "failed", 1, message=record_error(store, id, error)), breaks_device(error)
        if report.state == "done":  # the result is stored, so a process that locks a new file finds nothing to compute
            discard(store.path(id) / LOCK)
    return replace(report, seconds=round(time.monotonic() - began, 3)), broken


def _run_locked(store: Store, id: str, run: RunTask, cache: "PlanCache") -> TaskReport:
    from eigexp.sweep.task_files import read_task, with_batch_size, write_worker

    config, job = read_task(store, id)
    tables = [table for table in job.get("tables", ()) if not has_table(store, table)]
    ids = job["ids"] if tables else [each for each in job["ids"] if not store.has(each)]
    if not ids:  # another process finished it between the plan and our lock
        remove_spent_checkpoints(store, job["ids"])
        return TaskReport(id, "done")
    preload()
    write_worker(store, id, job, this_job())
    from eigexp.sweep.isolation import isolated

    with output_to_log(store, id), isolated(), memory_limit(job.get("task_memory")):
        outcome = _run_within_memory(with_batch_size(config, job), ids, run, cache)
    if outcome.signum is not None:
        ignore_signals()
        return TaskReport(id, "stopped", 128 + outcome.signum)
    raise_on_signals()  # the fit restores our handlers, but a user's callback might not
    missing = [each for each in ids if not store.has(each)]
    if missing and outcome.reason:
        write_error(store, id, "Unfinished", outcome.reason, transient=True)  # for `eigexp status`; a later sweep tries again
        return TaskReport(id, "unfinished", outcome.exit_code, message=outcome.reason)
    if missing:
        raise ConfigurationError(
            f"The result {missing[0]} was not computed: its model or image changed since the sweep was planned. Plan the sweep again."
        )
    discard(store.path(id) / ERROR)
    return TaskReport(id, "done", outcome.exit_code)


def _run_within_memory(config: dict[str, Any], ids: list[str], run: RunTask, cache: "PlanCache") -> "RunOutcome":
    """Run a task; where memory is too small for its images at once, in smaller and smaller batches."""
    while True:
        try:
            return run(config, ids, cache)
        except Exception as error:
            size = min(len(ids), int(config["images"].get("batch_size") or 1))
            if size < 2 or not is_out_of_memory(error):
                raise
        print(f"Out of memory with {size} images at once; trying {size // 2}.", file=sys.stderr)
        free_memory()
        config = {**config, "images": {**config["images"], "batch_size": size // 2}}


@contextmanager
def time_limit(store: Store, id: str, rest: Sequence[str]) -> Iterator[None]:
    """Give the task `task_seconds` of its job.json; one that takes longer is recorded as failed, and a new process does the rest."""
    seconds = store.known_json(id, JOB).get("task_seconds")
    if seconds is None:
        yield
        return

    def end() -> None:
        message = f"It took more than launcher.task_seconds={seconds:g}. Increase it and use --retry-failed; the checkpoint is kept."
        text = f"{message}\n{''.join(traceback.format_stack(sys._current_frames()[main]))}"
        write_error(store, id, "TimeLimit", message, transient=False, text=text)
        os.write(standard_output, _line(TaskReport(id, "failed", 1, seconds, message)).encode())
        replace_worker(store, rest)

    # A thread, because a model that hangs in compiled code handles no signal; and a new process, because a thread cannot be stopped.
    main, standard_output = threading.get_ident(), os.dup(1)
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        os.close(standard_output)


def ids_from(stream: Any) -> Iterator[str]:
    """Yield ids from a stream, one per line, until it ends."""
    while line := stream.readline():
        yield line.strip()


def json_reporter() -> Callable[[TaskReport], None]:
    """Return a function that writes reports as lines of JSON to the standard output of this moment, whatever replaces that later."""
    stream = os.fdopen(os.dup(1), "w")

    def report(done: TaskReport) -> None:
        stream.write(_line(done))
        stream.flush()

    return report


def _line(report: TaskReport) -> str:
    return json.dumps(asdict(report)) + "\n"
