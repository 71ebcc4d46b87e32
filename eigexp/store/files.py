"""Atomic files: written beside the target under a temporary name, synced to disk, then renamed. A reader sees all of a file or none."""

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
_HINTS = {
    errno.ENOSPC: "The disk is full: free some space, or choose another folder with store=<folder>.",
    errno.EDQUOT: "Your quota is used up: free some space, or choose another folder with store=<folder>.",
    errno.EROFS: "The file system is read-only: choose another folder with store=<folder>.",
    errno.EACCES: "You may not write there: change its permissions, or choose another folder with store=<folder>.",
    errno.EPERM: "You may not write there: change its permissions, or choose another folder with store=<folder>.",
    errno.ENOTDIR: "A part of this path is a file, not a folder: move it away, or choose another folder with store=<folder>.",
    errno.EEXIST: "There is a file where a folder should be: move it away, or choose another folder with store=<folder>.",
    errno.ENAMETOOLONG: "The path is too long for this file system: choose another folder with store=<folder>.",
}


def temporary_beside(target: Path) -> Path:
    """Return `.<name>.<host>.<pid>.tmp` in the target's folder: no two writers share a name, and the name of an orphan tells its writer."""
    host = socket.gethostname().replace("/", "_") or "host"
    return target.with_name(f".{target.name}.{host}.{os.getpid()}.tmp")


def stage(target: Path, content: bytes) -> Path:
    """Write `content` to a temporary file beside `target`, sync it to disk, and return its path. The caller renames it.

    Raises:
        StoreError: if it cannot be written; no file is left.
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


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, leaves the old file or the new one, never a part.

    Raises:
        StoreError: if it cannot be written; the old file is kept.
    """
    temporary = stage(target, content)
    try:
        os.replace(temporary, target)
    except OSError as error:
        discard(temporary)
        raise store_error(f"Cannot write {target}", error) from error
    sync_folder(target.parent)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        StoreError: if it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(f"Cannot read {path}: {error.strerror or error}. Check that it exists and is readable.") from error


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that names of files in it survive a power cut. Does nothing on file systems that cannot sync folders."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):
            raise store_error(f"Cannot sync {folder}", error) from error
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold an exclusive lock on a folder within the block; the kernel releases it if the process dies.

    Where the file system has no locks (some NFS) there is none: every file is still written atomically, and only two writers of the same
    result at the same moment could mix their files, which the digests in the record would show.
    """
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
    """Return the SHA-256 of some bytes, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def discard(path: Path) -> None:
    """Remove a file if it exists. One that cannot be removed is left to `eigexp store prune`."""
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return


def store_error(what: str, error: OSError) -> StoreError:
    """Return a StoreError for an error of the operating system, with a hint."""
    hint = _HINTS.get(error.errno or 0, "Check the folder, or choose another with store=<folder>.")
    return StoreError(f"{what}: {error.strerror or error}. {hint}")
