"""Lock a task for one process: the kernel's lock on a file in the task's folder, released when that process ends, however it ends."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eigexp.store import Store
from eigexp.store.files import store_error

LOCK = "lock"
_UNSUPPORTED = (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


@contextmanager
def task_lock(store: Store, id: str) -> Iterator[bool]:
    """Hold the task's lock within the block. Yields False if a living process holds it already.

    On a file system without locks every process gets it: two workers may then compute one task, and both write the same numbers.

    Raises:
        StoreError: if the store cannot be written.
    """
    path = store.path(id) / LOCK
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The file outlives the lock: while the task is unfinished, removing it would let two processes lock two files of one name.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise store_error(f"Cannot write {path}", error) from error
    try:
        yield _acquired(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def is_locked(store: Store, id: str) -> bool:
    """Return whether a living process works on the task. Nothing is written."""
    return _held(store.path(id) / LOCK)


def _held(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # no process can have begun
        return False
    try:
        # A shared lock is enough to see an exclusive one, and two readers do not take each other for a worker.
        return not _acquired(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _acquired(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    return True
