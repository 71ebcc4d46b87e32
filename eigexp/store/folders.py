"""Where a store's files are: `<root>/<first two hex digits>/<id>/`, and which are left out when reading or moved to `.corrupt`.

A store may come from another person, so nothing in it is followed out of it: its folders and files must not be symbolic links.
"""

import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from eigexp.errors import StoreError
from eigexp.store.files import store_error

STATE = "state"
QUARANTINE = ".corrupt"
_ID = re.compile(r"[0-9A-Za-z_-]{2,64}")
log = logging.getLogger(__name__)


def is_id(text: str) -> bool:
    """Return whether a text can be the id of a result."""
    return bool(_ID.fullmatch(text))


class Folders:
    """The folders of a store's results.

    Args:
        root: the store's folder.

    Attributes:
        root: the same, absolute.
        left_out: folders and ids that were not read, with the reason.
    """

    def __init__(self, root: str | os.PathLike[str]):
        self.root = Path(root).expanduser().absolute()
        self._prefix = f"{self.root}/"
        self.left_out: dict[str, str] = {}

    def path(self, id: str) -> Path:
        """Return the folder of a result, whether it exists or not.

        Raises:
            StoreError: if `id` cannot be the name of a folder.
        """
        return Path(self.path_text(id))

    def path_text(self, id: str) -> str:
        """Return `path` as a string: a Path takes longer to make than a file to be looked for, which counts for ten thousand results.

        Raises:
            StoreError: if `id` cannot be the name of a folder.
        """
        if not is_id(id):
            raise StoreError(f"{id!r} is not the id of a result. An id has 16 hexadecimal digits; `eigexp results` lists them.")
        return f"{self._prefix}{id[:2]}/{id}"

    def state(self, id: str) -> Path:
        """Return the folder for checkpoints of an unfinished result, whether it exists or not."""
        return self.path(id) / STATE

    def folders(self) -> Iterator[Path]:
        """Yield the folder of every result, complete or not. What cannot be read is left out, and its reason kept in `left_out`.

        Raises:
            StoreError: if the store is a file or cannot be read.
        """
        if not self.root.exists():
            return
        try:
            groups = sorted(os.scandir(self.root), key=lambda group: group.name)
        except OSError as error:
            raise StoreError(
                f"Cannot read the store {self.root}: {error.strerror}. Give an existing folder with store=<folder>."
            ) from error
        for group in groups:
            if len(group.name) == 2 and self._is_folder(group):
                yield from self._folders_of(group)

    def leave_out(self, what: str | Path, why: str) -> None:
        """Note that a result or folder is left out of what is shown."""
        self.left_out.setdefault(str(what), why)

    def warn_of_left_out(self) -> None:
        """Log in one line what was left out, and the first reason."""
        if self.left_out:
            names, reason = list(self.left_out), next(iter(self.left_out.values()))
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            log.warning(
                "Left out: %s%s. The first reason: %s `eigexp store verify` lists all.",
                ", ".join(names[:5]),
                more,
                reason,
            )
            self.left_out = {}

    def _folders_of(self, group: os.DirEntry[str]) -> Iterator[Path]:
        try:
            entries = sorted(os.scandir(group), key=lambda entry: entry.name)
        except OSError as error:
            self.leave_out(group.path, f"Cannot read {group.path}: {error.strerror}.")
            return
        yield from (Path(entry) for entry in entries if _ID.fullmatch(entry.name) and self._is_folder(entry))

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        if entry.is_symlink():
            self.leave_out(entry.path, f"{entry.path} is a symbolic link, which a store may not hold.")
        return entry.is_dir(follow_symlinks=False)

    def real_folder(self, id: str) -> Path:
        """Return the folder of a result, created if necessary; a symbolic link at its place is moved to `.corrupt`.

        Raises:
            StoreError: if it cannot be made.
        """
        folder = self.path(id)
        try:
            for part in (folder.parent, folder):
                if part.is_symlink():
                    self.set_aside(part)
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise store_error(f"Cannot write {folder}", error) from error
        return folder

    def set_aside(self, path: Path) -> Path:
        """Move a file, folder or link that failed verification into `<root>/.corrupt`. Return its new path.

        Raises:
            OSError: if it cannot be moved.
        """
        link = next((part for part in (path.parent, path) if part != self.root and part.is_symlink()), path)
        aside = self.root / QUARANTINE
        if aside.is_symlink():
            aside.unlink()
        aside.mkdir(exist_ok=True)
        target = aside / f"{link.name}.{time.time_ns()}"
        os.replace(link, target)
        return target
