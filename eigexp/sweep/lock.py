"""Lock a task for one process: the kernel's lock on a file in the task's folder, released when that process ends, however it ends."""

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from eigexp.store import Store
from eigexp.store.files import store_error

LOCK = "lock"
_SWEEP = "sweep.lock"
_PATIENCE = 1.0  # seconds to wait for a lock: a process that reads a task's status holds it for some microseconds
_PAUSE = 0.05  # seconds between two tries
_UNSUPPORTED = (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


@contextmanager
def task_lock(store: Store, id: str) -> Iterator[bool]:
    """Hold the task's lock within the block. Yields False if a living process holds it already.

    On a file system without locks every process gets it: two workers may then compute one task, and both write the same numbers.

    Raises:
        StoreError: if the store cannot be written.
    """
    with _locked_file(store.real_folder(id) / LOCK, _PATIENCE) as acquired:
        if acquired and store.remote is not None:  # other machines, too
            with store.remote.lease(id) as leased:
                yield leased
        else:
            yield acquired


@contextmanager
def sweep_lock(store: Store, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a store's sweeps within the block: of two that look and submit at once, the second sees what the first submitted.

    Args:
        store: of the sweeps.
        on_wait: called once if another sweep has the lock.

    Raises:
        StoreError: if the store cannot be written.
    """
    path = store.root / _SWEEP
    with _locked_file(path, _PATIENCE) as acquired:
        if acquired:
            yield
            return
    on_wait()
    with _locked_file(path, float("inf")):
        yield


@contextmanager
def _locked_file(path: Path, patience: float) -> Iterator[bool]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The file outlives the lock: while the task is unfinished, removing it would let two processes lock two files of one name.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        raise store_error(f"Cannot write {path}", error) from error
    try:
        yield _acquired_within(descriptor, patience)
    finally:
        os.close(descriptor)


def is_locked(store: Store, id: str) -> bool:
    """Return whether a living process works on the task. Nothing is written."""
    return _held(store.path(id) / LOCK)


def _held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # no process can have begun
        return False
    try:
        # A shared lock is enough to see an exclusive one, and two readers do not take each other for a worker.
        return not _acquired(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _acquired_within(descriptor: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while not _acquired(descriptor, fcntl.LOCK_EX):
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE)
    return True


def _acquired(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return True
