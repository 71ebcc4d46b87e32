"""Files that are whole or absent: written beside the target under another name, synced to disk, moved into place."""

import errno
import fcntl
import hashlib
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eigexp.errors import StoreError

TEMPORARY = re.compile(r"^\..+\.(?P<host>[^/]+)\.(?P<pid>\d+)\.tmp$")
_CURES = {
    errno.ENOSPC: "The disk is full: free space there, or choose another folder with store=<folder>.",
    errno.EDQUOT: "Your quota is used up: free space there, or choose another folder with store=<folder>.",
    errno.EROFS: "The file system is read-only: choose another folder with store=<folder>.",
    errno.EACCES: "You may not write there: change its permissions, or choose another folder with store=<folder>.",
    errno.EPERM: "You may not write there: change its permissions, or choose another folder with store=<folder>.",
    errno.ENOTDIR: "A part of this path is a file, not a folder: move it away, or choose another folder with store=<folder>.",
    errno.EEXIST: "There is a file where a folder should be: move it away, or choose another folder with store=<folder>.",
    errno.ENAMETOOLONG: "The path is too long for this file system: choose another folder with store=<folder>.",
}


def temporary_beside(target: Path) -> Path:
    """`.<name>.<host>.<pid>.tmp` in the target's folder: no two writers share one, and an orphan names who left it."""
    host = socket.gethostname().replace("/", "_") or "host"
    return target.with_name(f".{target.name}.{host}.{os.getpid()}.tmp")


def stage(target: Path, content: bytes) -> Path:
    """Write `content` beside `target`, synced to disk, and return where; the caller moves it into place.

    Raises:
        StoreError: if the disk refuses it; nothing is left behind.
    """
    temporary = temporary_beside(target)
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        discard(temporary)
        raise store_error(f"Cannot write {target}", error) from error
    return temporary


def write_whole(target: Path, content: bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, sees the old one or the new one, and never half of it.

    Raises:
        StoreError: if the disk refuses it; the old file is left.
    """
    temporary = stage(target, content)
    try:
        os.replace(temporary, target)
    except OSError as error:
        discard(temporary)
        raise store_error(f"Cannot write {target}", error) from error
    sync_folder(target.parent)


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        StoreError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror or error}. Check that it exists and that you may read it.") from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut; file systems that cannot sync folders are let be."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise store_error(f"Cannot sync {folder}", error) from error
    finally:
        os.close(descriptor)


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Hold the kernel's lock on a folder, which ends with the process that holds it; without one where the file system has none (NFS)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS):
                raise store_error(f"Cannot lock {folder}", error) from error
        yield
    finally:
        os.close(descriptor)


def digest(content: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def discard(path: Path) -> None:
    """Remove a file that may be absent; one that cannot be removed is left for `prune`."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def store_error(what: str, error: OSError) -> StoreError:
    """An error of the operating system with its cure."""
    cure = _CURES.get(error.errno or 0, "Check the folder, or choose another with store=<folder>.")
    return StoreError(f"{what}: {error.strerror or error}. {cure}")
