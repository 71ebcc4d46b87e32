"""The process of a worker: its signals, its output, its memory, and the process that takes its place."""

import functools
import gc
import importlib
import os
import resource
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from eigexp.config.failure import one_line
from eigexp.errors import MemoryLimitError, is_out_of_memory
from eigexp.store import Store
from eigexp.store.files import store_error
from eigexp.system.imports import without_collections
from eigexp.training.light_import import import_lightning

LOG = "log.txt"
_LITTLE = 2**26  # bytes
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP)


class SignalReceived(BaseException):
    """A signal arrived outside a fit, where there is nothing to save. No `except Exception` may catch it."""

    def __init__(self, signum: int):
        super().__init__(signum)
        self.signum = signum


def raise_on_signals() -> None:
    """Let signals outside a fit raise SignalReceived from here on. Signals that were blocked until now arrive."""
    for number in SIGNALS:
        signal.signal(number, _raise)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _raise(signum: int, frame: FrameType | None) -> None:
    ignore_signals()  # one signal to a whole group arrives twice: by itself, and passed on by the job's script
    raise SignalReceived(signum)


def ignore_signals() -> None:
    """Ignore further signals: this process is about to end."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def worker_command(store: str, ids: Sequence[str]) -> list[str]:
    """Return the command of a worker process; with the ids ["-"] it reads ids from its standard input."""
    # -P: a file in the current folder must not be taken for a library; `_target_`s find their module there all the same.
    return [sys.executable, "-P", "-m", "eigexp", "work", "--store", store, *ids]


def replace_worker(store: Store, ids: Sequence[str]) -> None:
    """Replace this process by a new worker for these tasks; end it where there are none."""
    _flush()
    if not ids:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    command = worker_command(store.location, ids)
    os.execv(command[0], command)


@functools.cache
def preload() -> None:
    """Import what every task needs, once, and spare it the garbage collector, which runs after each task and would search it all again."""
    import_lightning()
    with without_collections():
        importlib.import_module("eigexp.experiment.fitting")
    gc.collect()
    gc.freeze()


@contextmanager
def output_to_log(store: Store, id: str) -> Iterator[None]:
    """Send what the process and its libraries print within the block to log.txt of the task.

    Raises:
        StoreError: if the file cannot be written.
    """
    path = store.path(id) / LOG
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
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


@contextmanager
def memory_limit(limit: int | None) -> Iterator[None]:
    """Let the process take no more than these bytes of the host's memory within the block; None for what there is.

    Raises:
        MemoryLimitError: if it needs more.
    """
    if limit is None:
        yield
        return
    # The data segment is what a process has for itself, in memory or swap; the address space would count a GPU's reservations, too.
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryLimitError(
            f"It needs more than launcher.task_memory={limit / 1e9:g}GB ({one_line(error)}). Increase launcher.task_memory."
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def free_memory() -> None:
    """Free what the last task has left, on the device too, so that two are never in memory at once."""
    gc.collect()
    if _uses_gpu():
        sys.modules["torch"].cuda.empty_cache()


class MemoryAfterTasks:
    """Frees the memory after each task that may have left some.

    Small tasks leave so little that the search for unused objects takes longer than it is worth: the interpreter's own collections do.
    """

    def __init__(self) -> None:
        self._resident: int | None = None

    def free(self) -> None:
        """Free memory if a GPU is in use, or the process has grown since the last time, or the system does not tell."""
        before, now = self._resident, _resident()
        if before is None or now is None or now > before + _LITTLE or _uses_gpu():
            free_memory()
            self._resident = _resident()


def _uses_gpu() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda.is_initialized()


def _resident() -> int | None:
    """Return the bytes of memory that this process takes; None where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_bytes().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return None


def end_first_where_memory_is_full() -> None:
    """Let the kernel choose this process, and no other of the user's, where the machine has no memory left."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
