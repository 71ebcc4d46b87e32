"""Who is at work on a task: the kernel's lock on a file in its folder, which ends with the process that holds it, however that dies."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eigexp.store import Store
from eigexp.store.files import store_error

CLAIM = "claim"
_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


@contextmanager
def claim(store: Store, id: str) -> Iterator[bool]:
    """Within the block the task is ours if the value is True; False if a living process has it.

    Where the file system has no locks everybody gets it, and two workers write the same numbers once.

    Raises:
        StoreError: if the store cannot be written.
    """
    path = store.path(id) / CLAIM
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise store_error(f"Cannot write {path}", error) from error
    try:
        yield _locked(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def claimed(store: Store, id: str) -> bool:
    """Whether a living process works on the task. Changes nothing."""
    return _taken(store.path(id) / CLAIM)


def _taken(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # nobody can have begun
        return False
    try:
        return not _locked(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
