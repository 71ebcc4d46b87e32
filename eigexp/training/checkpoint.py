"""Checkpoints that are complete or absent, and that load without executing code from the file."""

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from typing_extensions import override

from eigexp.errors import CheckpointError, StoreError
from eigexp.store.files import put_in_place, staged_file, store_error

_TRAILER_START = b"\nsha256 "
_TRAILER_BYTES = len(_TRAILER_START) + 64
_CHUNK_BYTES = 2**24  # read at once


class AtomicCheckpointIO(CheckpointIO):
    """Writes `.<name>.tmp` beside the target, syncs it to disk and renames it; reads tensors and plain values only.

    The file ends with the digest of what was written, which torch ignores, so a changed byte is noticed; a file without one is not read.

    Lightning's own writer copies from $TMPDIR, and a kill during the copy leaves half a file where that is another file system. With one
    fixed temporary name, kills leave at most one stray file, which the next save overwrites.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None) -> None:
        """Write a checkpoint atomically.

        Raises:
            StoreError: if the file cannot be written; the previous checkpoint is kept.
        """
        target = Path(path)
        temporary = target.with_name(f".{target.name}.tmp")
        try:
            with staged_file(temporary) as file:
                torch.save(checkpoint, file)
                file.flush()
                file.write(_trailer(temporary))
            put_in_place(temporary, target)
        except StoreError:
            raise
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__context__  # torch raises its own error for one of the disk
            if not isinstance(cause, OSError):
                raise
            raise store_error(f"Cannot write the checkpoint {target}", cause) from error

    @override
    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any | None = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint onto the CPU; `weights_only` is always on, so no code in the file is executed.

        Raises:
            CheckpointError: if the file does not exist or is damaged.
        """
        if not Path(path).is_file():
            raise CheckpointError(f"The checkpoint {path} does not exist. Give the path of a checkpoint, or start without one.")
        _check_trailer(Path(path))
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch's readers raise many kinds on a damaged file
            raise CheckpointError(
                f"The checkpoint {path} is damaged or holds more than tensors and plain values. "
                f"Delete it to start its images again ({' '.join(str(error).split())[:200]})."
            ) from error
        if not isinstance(loaded, dict):
            raise CheckpointError(f"The checkpoint {path} contains no state of a fit. Delete it to start again.")
        return loaded

    @override
    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove a checkpoint and the temporary file of an interrupted save."""
        target = Path(path)
        target.unlink(missing_ok=True)
        target.with_name(f".{target.name}.tmp").unlink(missing_ok=True)


def _trailer(path: Path, length: int | None = None) -> bytes:
    """Return the trailer for the first `length` bytes of a file, all by default."""
    digest, left = hashlib.sha256(), os.path.getsize(path) if length is None else length
    with path.open("rb") as file:
        while left and (part := file.read(min(_CHUNK_BYTES, left))):
            digest.update(part)
            left -= len(part)
    return _TRAILER_START + digest.hexdigest().encode()


def _check_trailer(path: Path) -> None:
    """Check the digest of a file before anything in it is read.

    Raises:
        CheckpointError: if the file was changed after it was written, or has no digest.
    """
    length = os.path.getsize(path) - _TRAILER_BYTES
    with path.open("rb") as file:
        file.seek(max(0, length))
        found = file.read()
    if not found.startswith(_TRAILER_START):
        raise CheckpointError(
            f"The checkpoint {path} is damaged or not of eigexp: it does not end with a digest. Delete it to start its images again."
        )
    if found != _trailer(path, length):
        raise CheckpointError(
            f"The checkpoint {path} was changed after it was written: its digest differs. Delete it to start its images again."
        )
