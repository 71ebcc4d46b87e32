"""A worker: a process that computes planned tasks one after the other, and continues when one fails."""

import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

from eigexp.errors import ConfigurationError, EigexpError
from eigexp.store import Store
from eigexp.store.cross_table import has_table
from eigexp.store.files import discard, store_error
from eigexp.store.store import ERROR
from eigexp.sweep import slurm_queue
from eigexp.sweep.lock import LOCK, task_lock

if TYPE_CHECKING:
    from eigexp.experiment.plan_cache import PlanCache
    from eigexp.experiment.run import RunOutcome

log = logging.getLogger(__name__)
LOG = "log.txt"
SIGNALS = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)


@dataclass(frozen=True)
class TaskReport:
    """What became of one task; a worker writes it as a line of JSON.

    Attributes:
        id: of the task.
        state: `unfinished` if the Trainer ended before the solver, `locked` if another process works on it, `stopped` by a signal, `died`
            with its process.
        code: exit code: 0, 3 stopped on budget, 1 failed, 128 + signal.
        seconds: of wall-clock time.
        message: of the error, or why there is no result.
    """

    id: str
    state: Literal["done", "failed", "unfinished", "locked", "stopped", "died"]
    code: int = 0
    seconds: float = 0.0
    message: str = ""


RunTask = Callable[[dict[str, Any], list[str], "PlanCache"], "RunOutcome"]


class SignalReceived(BaseException):
    """A signal arrived outside a fit, where there is nothing to save. No `except Exception` may catch it."""

    def __init__(self, signum: int):
        super().__init__(signum)
        self.signum = signum


def work(store: Store, ids: Iterable[str], run: RunTask, report: Callable[[TaskReport], None]) -> int:
    """Compute tasks. A task that a signal stops is saved; on SIGUSR2 the Slurm job is put back into the queue.

    Args:
        store: with the planned tasks; their results go there too.
        ids: first id of each task, read one at a time.
        run: computes a configuration.
        report: called as each task ends.

    Returns:
        Exit code: 0, 3 if a task stopped on budget, 1 if one failed, 128 + signal.
    """
    codes: list[int] = []
    raise_on_signals()
    try:
        from eigexp.experiment.plan_cache import PlanCache

        cache = PlanCache()
        for id in ids:
            done = run_task(store, id, run, cache)
            report(done)
            if done.state == "stopped":
                raise SignalReceived(done.code - 128)
            codes.append(done.code)
    except SignalReceived as received:
        return _leave_on_signal(received.signum)
    return exit_code(codes)


def exit_code(codes: Sequence[int]) -> int:
    """Return the exit code of several tasks: 1 if one failed, else the largest."""
    return 1 if 1 in codes else max(codes, default=0)


def run_task(store: Store, id: str, run: RunTask, cache: "PlanCache") -> TaskReport:
    """Compute one task under its lock. An error is written to error.json."""
    began = time.monotonic()
    with task_lock(store, id) as acquired:
        if not acquired:
            return TaskReport(id, "locked")
        try:
            report = _run_locked(store, id, run, cache)
        except Exception as error:  # whatever a task raises ends this task alone
            report = TaskReport(id, "failed", 1, message=record_error(store, id, error))
        if report.state == "done":  # the result is stored, so a process that locks a new file finds nothing to compute
            discard(store.path(id) / LOCK)
    return replace(report, seconds=round(time.monotonic() - began, 3))


def _run_locked(store: Store, id: str, run: RunTask, cache: "PlanCache") -> TaskReport:
    from eigexp.sweep.task_files import read_task, write_worker

    config, job = read_task(store, id)
    tables = [table for table in job.get("tables", ()) if not has_table(store, table)]
    ids = job["ids"] if tables else [each for each in job["ids"] if not store.has(each)]
    if not ids:  # another process finished it between the plan and our lock
        return TaskReport(id, "done")
    write_worker(store, id, job, slurm_queue.this_job())
    with output_to_log(store, id):
        outcome = run(config, ids, cache)
    raise_on_signals()  # the fit restores our handlers, but a user's callback might not
    if outcome.signum is not None:
        return TaskReport(id, "stopped", 128 + outcome.signum)
    missing = [each for each in ids if not store.has(each)]
    if missing and outcome.reason:
        _write_error(store, id, "Unfinished", outcome.reason, transient=True)  # for `eigexp status`; a later sweep tries again
        return TaskReport(id, "unfinished", outcome.exit_code, message=outcome.reason)
    if missing:
        raise ConfigurationError(
            f"The result {missing[0]} was not computed: its model or image changed since the sweep was planned. Plan the sweep again."
        )
    discard(store.path(id) / ERROR)
    return TaskReport(id, "done", outcome.exit_code)


def record_error(store: Store, id: str, error: Exception) -> str:
    """Write error.json with the traceback and return the message. Errors of disk and memory are marked transient: a later sweep retries."""
    transient = isinstance(error, OSError | MemoryError)
    kind = type(error).__name__
    message = str(error) if isinstance(error, EigexpError) else f"{kind}: {error}"
    _write_error(store, id, kind, message, transient=transient, text="".join(traceback.format_exception(error)))
    return message


def _write_error(store: Store, id: str, kind: str, message: str, *, transient: bool, text: str = "") -> None:
    try:
        store.write_json(id, ERROR, {"type": kind, "message": message, "transient": transient, "traceback": text or message})
    except EigexpError as unwritable:
        log.warning("%s", unwritable)
        print(text or message, file=sys.stderr)


@contextmanager
def output_to_log(store: Store, id: str) -> Iterator[None]:
    """Send what the process and its libraries print within the block to log.txt of the task.

    Raises:
        StoreError: if the file cannot be written.
    """
    path = store.path(id) / LOG
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise store_error(f"Cannot write {path}", error) from error
    # The descriptors themselves are replaced, not sys.stdout: compiled libraries and child processes write to them directly.
    kept = [os.dup(1), os.dup(2)]
    try:
        _flush()
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        yield
    finally:
        _flush()
        for number, before in enumerate(kept, start=1):
            os.dup2(before, number)
            os.close(before)
        os.close(descriptor)


def ids_from(stream: Any) -> Iterator[str]:
    """Yield ids from a stream, one per line, until it ends."""
    while line := stream.readline():
        yield line.strip()


def json_reporter() -> Callable[[TaskReport], None]:
    """Return a function that writes reports as lines of JSON to the standard output of this moment, whatever replaces that later."""
    stream = os.fdopen(os.dup(1), "w")

    def report(done: TaskReport) -> None:
        stream.write(json.dumps(asdict(done)) + "\n")
        stream.flush()

    return report


def raise_on_signals() -> None:
    """Let signals outside a fit raise SignalReceived from here on. Signals that were blocked until now arrive."""
    for number in SIGNALS:
        signal.signal(number, _raise)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _raise(signum: int, frame: FrameType | None) -> None:
    raise SignalReceived(signum)


def _leave_on_signal(signum: int) -> int:
    for number in SIGNALS:  # a second signal must not stop us before the job is back in the queue
        signal.signal(number, signal.SIG_IGN)
    job = slurm_queue.this_job()
    if signum == signal.SIGUSR2 and job is not None:  # after SIGTERM a requeue would bring a cancelled job back to life
        problem = slurm_queue.requeue(job)
        print(f"eigexp: job {job} " + (f"could not be requeued: {problem}" if problem else "is requeued"), flush=True)
    return 128 + signum


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
