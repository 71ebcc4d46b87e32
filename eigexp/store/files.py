"""Read and write all files of a store, so that a reader sees a complete file or none."""

import errno
import fcntl
import hashlib
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from eigexp.errors import StoreError

TEMPORARY = re.compile(r"^\..+\.(?P<host>[^/]+)\.(?P<pid>\d+)\.tmp$")
_HINTS = {
    errno.ENOSPC: "The disk is full: free some space, or choose another folder with store=<folder>.",
    errno.EDQUOT: "Your quota is used up: free some space, or choose another folder with store=<folder>.",
    errno.EROFS: "The file system is read-only: choose another folder with store=<folder>.",
    errno.EACCES: "You have no permission to write there: change the permissions, or choose another folder with store=<folder>.",
    errno.EPERM: "You have no permission to write there: change the permissions, or choose another folder with store=<folder>.",
    errno.ENOTDIR: "A part of this path is a file, not a folder: move it away, or choose another folder with store=<folder>.",
    errno.EEXIST: "There is a file where a folder should be: move it away, or choose another folder with store=<folder>.",
    errno.EISDIR: "There is a folder where a file should be: move it away, or choose another name.",
    errno.ELOOP: "It is a symbolic link, which a store may not hold: remove it.",
    errno.ENAMETOOLONG: "The path is too long for this file system: choose another folder with store=<folder>.",
}


def temporary_beside(target: Path) -> Path:
    """Return `.<name>.<host>.<pid>.tmp` in the target's folder: no two writers share a name, and the name of an orphan tells its writer."""
    host = socket.gethostname().replace("/", "_") or "host"
    return target.with_name(f".{target.name}.{host}.{os.getpid()}.tmp")


@contextmanager
def staged_file(temporary: Path) -> Iterator[BinaryIO]:
    """Open a temporary file for writing, and sync it to disk at the end of the block; after an error no file is left.

    Raises:
        OSError: if it cannot be written.
    """
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        if os.path.lexists(temporary) and not stat.S_ISREG(os.lstat(temporary).st_mode):
            os.unlink(temporary)  # a pipe of this name would block the writer for ever
        # A link under this name, left by another user, must not lead the write out of the folder.
        with open(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # the data must reach the disk before the name does, or a power cut leaves an empty file
    except BaseException:
        discard(temporary)
        raise


def stage(target: Path, content: bytes) -> Path:
    """Write `content` to a temporary file beside `target`, sync it to disk, and return its path. The caller renames it.

    Raises:
        StoreError: if it cannot be written; no file is left.
    """
    temporary = temporary_beside(target)
    try:
        with staged_file(temporary) as file:
            file.write(content)
    except OSError as error:
        raise store_error(f"Cannot write {target}", error) from error
    return temporary


def put_in_place(temporary: Path, target: Path) -> None:
    """Give a staged file its name, and sync the folder, so that the name survives a power cut.

    Raises:
        StoreError: if it cannot be renamed; the old file is kept.
    """
    try:
        os.replace(temporary, target)
    except OSError as error:
        discard(temporary)
        raise store_error(f"Cannot write {target}", error) from error
    sync_folder(target.parent)


def write_atomically(target: Path, content: bytes) -> None:
    """Write a file so that a reader, or a kill at any moment, leaves the old file or the new one, never a part.

    Raises:
        StoreError: if it cannot be written; the old file is kept.
    """
    put_in_place(stage(target, content), target)


def write_output(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file that the user named: atomically, to where a link leads, and straight into a device or a pipe.

    Raises:
        StoreError: if it cannot be written.
    """
    target = Path(path).expanduser().absolute()
    try:
        if _is_stream(target):
            with target.open("wb") as stream:
                stream.write(content)
            return
        target = Path(os.path.realpath(target))
    except OSError as error:
        raise store_error(f"Cannot write {path}", error) from error
    write_atomically(target, content)


def _is_stream(target: Path) -> bool:
    """Return whether a path is a character device, a pipe or a descriptor such as /dev/stdout, none of which may be replaced by a file."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISBLK(mode):
        raise PermissionError(errno.EPERM, "it is a block device, and writing to it would destroy its data")
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or target.parts[1:2] in (("dev",), ("proc",))


def read_bytes(path: Path, *, follow: bool = False) -> bytes:
    """Return the content of a regular file. Pipes and devices, which could block for ever, are refused.

    Args:
        path: of the file.
        follow: read what a symbolic link leads to; in a store a link is refused, because it may lead anywhere.

    Raises:
        StoreError: if it cannot be read.
    """
    return _read(path, follow=follow)


def read_end(path: Path, count: int) -> bytes:
    """Return the last bytes of a regular file, `count` at most.

    Raises:
        StoreError: if it cannot be read.
    """
    return _read(path, last=count)


def _read(path: Path, *, follow: bool = False, last: int | None = None) -> bytes:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise StoreError(f"{path} is a pipe or a device, not a file. Remove it.")
            if last is not None:
                file.seek(max(0, os.fstat(descriptor).st_size - last))
            return file.read()
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        hint = _HINTS[errno.ELOOP] if error.errno == errno.ELOOP else "Check that it exists and is readable."
        raise StoreError(f"Cannot read {path}: {error.strerror or error}. {hint}") from error


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
