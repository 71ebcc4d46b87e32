"""The shards of a store: which there are, and which of them has a result."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from eigexp.errors import StoreError
from eigexp.store.shard import SUFFIX, Shard, stamp_of

SHARDS = "shards"  # folder of a store
_SETTLED_SECONDS = 2.0  # after a change, until a folder's time tells a later change from it


class Shards:
    """The shards in a folder. Other processes may add to them at any time.

    Args:
        folder: of the shards, whether it exists or not.

    Attributes:
        folder: the same.
        unread: shards that cannot be read, with the reason.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.unread: dict[Path, str] = {}
        self._seen: tuple[int, ...] | None = None
        self._found: list[tuple[Path, tuple[int, ...]]] = []
        self._shards: tuple[Shard, ...] = ()
        self._of: dict[str, Shard] = {}

    def __iter__(self) -> Iterator[Shard]:
        self._refresh()
        return iter(self._shards)

    def of(self, id: str) -> Shard | None:
        """Return the shard that has a result; None where none has."""
        self._refresh()
        return self._of.get(id)

    def ids(self) -> list[str]:
        """Return the ids of all results in shards."""
        self._refresh()
        return list(self._of)

    def _refresh(self) -> None:
        """Read the folder again if it changed since. A change just before the last look may have been in the same tick of its clock."""
        stamp = stamp_of(self.folder)
        if stamp == self._seen:
            return
        found = [(path, stamp_of(path)) for path in self._paths()]
        if found != self._found:
            known = {(shard.path, shard.stamp): shard for shard in self._shards}
            self.unread = {path: why for path, why in self.unread.items() if path == self.folder}
            self._shards = tuple(shard for each in found if self._can_read(shard := known.get(each) or Shard(*each)))
            self._of = {id: shard for shard in reversed(self._shards) for id in shard.positions}
        self._found = found
        self._seen = stamp if not stamp or abs(time.time() - stamp[0] / 1e9) > _SETTLED_SECONDS else None

    def _paths(self) -> list[Path]:
        self.unread.pop(self.folder, None)
        if self.folder.is_symlink():
            self.unread[self.folder] = f"{self.folder} is a symbolic link, which a store may not hold."
            return []
        try:
            names = sorted(entry.name for entry in os.scandir(self.folder))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.unread[self.folder] = f"Cannot read {self.folder}: {error.strerror}."
            return []
        return [self.folder / name for name in names if name.endswith(SUFFIX) and not name.startswith(".")]

    def _can_read(self, shard: Shard) -> bool:
        try:
            return bool(shard.positions)
        except StoreError as error:
            self.unread[shard.path] = str(error)
            return False
