"""Checkpoints that are whole or absent, and that load without running code from the file."""

import hashlib
import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch
from lightning.fabric.plugins import CheckpointIO
from typing_extensions import override

from eigexp.errors import CheckpointError
from eigexp.store.files import discard, store_error

_MARK = b"\nsha256 "
_TRAILER = len(_MARK) + 64
_PART = 2**24  # bytes read at once


class AtomicCheckpointIO(CheckpointIO):
    """Writes `.<name>.tmp` beside the target, syncs it to disk and moves it into place; reads tensors and plain values only.

    The digest of what was written ends the file (torch reads over it), so that a changed byte is noticed.

    Lightning's own goes through $TMPDIR and a copy, which a kill tears when that is another file system. One fixed temporary name
    means that kills leave one stray file at most, which the next save overwrites.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None) -> None:
        """Write a checkpoint, atomically.

        Raises:
            StoreError: if the disk refuses it; the checkpoint before it is left.
        """
        target = Path(path)
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                file.write(_trailer(temporary))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except (OSError, RuntimeError) as error:
            discard(temporary)
            refusal = error if isinstance(error, OSError) else error.__context__  # torch's writer covers the disk's error with its own
            if not isinstance(refusal, OSError):
                raise
            raise store_error(f"Cannot write the checkpoint {target}", refusal) from error

    @override
    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any | None = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint, onto the CPU; `weights_only` is always on.

        Raises:
            CheckpointError: if there is no such file, or it is damaged.
        """
        if not Path(path).is_file():
            raise CheckpointError(f"There is no checkpoint {path}. Give the path of one, or start without.")
        _check_trailer(Path(path))
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, UnpicklingError, BadZipFile, EOFError, KeyError, ValueError, OSError) as error:
            raise CheckpointError(
                f"The checkpoint {path} is damaged or holds more than tensors and plain values. "
                f"Delete it to start its images again. ({error})"
            ) from error

    @override
    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove a checkpoint and what an interrupted save left."""
        target = Path(path)
        target.unlink(missing_ok=True)
        target.with_name(f".{target.name}.tmp").unlink(missing_ok=True)


def _trailer(path: Path, length: int | None = None) -> bytes:
    """What ends a file whose first `length` bytes, all by default, are as they are now."""
    digest, left = hashlib.sha256(), os.path.getsize(path) if length is None else length
    with path.open("rb") as file:
        while left and (part := file.read(min(_PART, left))):
            digest.update(part)
            left -= len(part)
    return _MARK + digest.hexdigest().encode()


def _check_trailer(path: Path) -> None:
    """A file without digest, such as Lightning's own, passes.

    Raises:
        CheckpointError: if the file is not what was written.
    """
    length = os.path.getsize(path) - _TRAILER
    with path.open("rb") as file:
        file.seek(max(0, length))
        found = file.read()
    if found.startswith(_MARK) and found != _trailer(path, length):
        raise CheckpointError(
            f"The checkpoint {path} was changed after it was written: its digest differs. Delete it to start its images again."
        )
