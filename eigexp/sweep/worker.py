"""A process that does frozen tasks, one after the other, and goes on when one fails."""

import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from eigexp.errors import ConfigurationError, EigexpError
from eigexp.store import Store
from eigexp.store.cross_table import has_table
from eigexp.store.files import discard, store_error
from eigexp.store.store import ERROR
from eigexp.sweep import queue
from eigexp.sweep.lock import CLAIM, claim

if TYPE_CHECKING:
    from eigexp.experiment.tasks import BuiltModel

log = logging.getLogger(__name__)
LOG = "log.txt"
SIGNALS = (signal.SIGTERM, signal.SIGUSR2, signal.SIGINT)
Reply = dict[str, Any]


class Outcome(Protocol):
    """What `eigexp.experiment.run.run` returns, as far as a worker reads it."""

    @property
    def signum(self) -> int | None:
        """The signal that stopped it."""
        ...

    @property
    def exit_code(self) -> int:
        """0 converged, 3 on budget."""
        ...


RunTask = Callable[[dict[str, Any], list[str], "BuiltModel"], Outcome]


class Stopped(BaseException):
    """A signal came outside of a fit, where there is nothing to save."""

    def __init__(self, signum: int):
        super().__init__(signum)
        self.signum = signum


def work(store: Store, ids: Iterable[str], run: RunTask, reply: Callable[[Reply], None]) -> int:
    """Do the tasks; what a signal interrupts is saved, and on SIGUSR2 the Slurm job puts itself back into the queue.

    Args:
        store: where they are frozen and their results go.
        ids: first id of each task, asked for one at a time.
        run: computes a configuration.
        reply: hears of each task that is over.

    Returns:
        Exit code: 0, 3 if a task stopped on budget, 1 if one failed, 128 + signal.
    """
    codes: list[int] = [0]
    stop_on_signals()
    try:
        from eigexp.experiment.tasks import BuiltModel

        built = BuiltModel()
        for id in ids:
            answer = do(store, id, run, built)
            reply(answer)
            if answer["state"] == "stopped":
                raise Stopped(answer["signum"])
            codes.append(answer["code"])
    except Stopped as stopped:
        return _leave(stopped.signum)
    return 1 if 1 in codes else max(codes)


def do(store: Store, id: str, run: RunTask, built: "BuiltModel") -> Reply:
    """One task. Returns {"id", "state": done | failed | held | stopped, "code", "seconds", ...}; an error is recorded in error.json."""
    began = time.monotonic()
    with claim(store, id) as mine:
        if not mine:
            return {"id": id, "state": "held", "code": 0, "seconds": 0.0}
        try:
            answer = _do(store, id, run, built)
        except Exception as error:  # whatever a task raises is its own; it is recorded, and the next begins
            answer = {"state": "failed", "code": 1, "message": record_error(store, id, error)}
        if answer["state"] == "done":
            discard(store.path(id) / CLAIM)
    return {"id": id, **answer, "seconds": round(time.monotonic() - began, 3)}


def _do(store: Store, id: str, run: RunTask, built: "BuiltModel") -> Reply:
    from eigexp.sweep.freeze import frozen, note_worker

    config, job = frozen(store, id)
    tables = [table for table in job.get("tables", ()) if not has_table(store, table)]
    ids = job["ids"] if tables else [each for each in job["ids"] if not store.has(each)]
    if not ids:
        return {"state": "done", "code": 0, "was_there": True}
    note_worker(store, id, job, queue.this_job())
    with logged(store, id):
        outcome = run(config, ids, built)
    stop_on_signals()  # the fit put back what it found, which is ours; a foreign callback might not
    if outcome.signum is not None:
        return {"state": "stopped", "code": 128 + outcome.signum, "signum": outcome.signum}
    missing = [each for each in ids if not store.has(each)]
    if missing:
        raise ConfigurationError(
            f"The result {missing[0]} was not made: its model or image changed since the sweep was planned. Sweep again."
        )
    discard(store.path(id) / ERROR)
    return {"state": "done", "code": outcome.exit_code}


def record_error(store: Store, id: str, error: Exception) -> str:
    """Write error.json with the traceback. Returns the message; errors of disk and memory may pass, so a later sweep tries again."""
    transient = isinstance(error, OSError | MemoryError)
    kind = type(error).__name__
    message = str(error) if isinstance(error, EigexpError) else f"{kind}: {error}"
    text = "".join(traceback.format_exception(error))
    try:
        store.write_json(id, ERROR, {"type": kind, "message": message, "transient": transient, "traceback": text})
    except EigexpError as refused:
        log.warning("%s", refused)
        print(text, file=sys.stderr)
    return message


@contextmanager
def logged(store: Store, id: str) -> Iterator[None]:
    """Within the block, what the process and its libraries print goes to log.txt of the task.

    Raises:
        StoreError: if that cannot be written.
    """
    path = store.path(id) / LOG
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise store_error(f"Cannot write {path}", error) from error
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


def asked_for(stream: Any) -> Iterator[str]:
    """Ids from a stream, a line each, until it ends."""
    while line := stream.readline():
        yield line.strip()


def replier() -> Callable[[Reply], None]:
    """Replies as JSON lines on the standard output that the process has now."""
    stream = os.fdopen(os.dup(1), "w")

    def reply(answer: Reply) -> None:
        stream.write(json.dumps(answer) + "\n")
        stream.flush()

    return reply


def stop_on_signals() -> None:
    """From here, a signal outside of a fit raises Stopped. Signals that were blocked until now arrive."""
    for number in SIGNALS:
        signal.signal(number, _stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _stop(signum: int, frame: FrameType | None) -> None:
    raise Stopped(signum)


def _leave(signum: int) -> int:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    job = queue.this_job()
    if signum == signal.SIGUSR2 and job is not None:
        problem = queue.requeue(job)
        print(
            f"eigexp: job {job} could not be requeued: {problem}" if problem else f"eigexp: job {job} goes back into the queue", flush=True
        )
    return 128 + signum


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
