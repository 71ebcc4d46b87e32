"""A folder of results, `<root>/<first two hex digits>/<id>/`, and how a result is written.

Order of writes: all files of a result are written under temporary names and synced, then renamed one by one, record.json last. So a result
with a record is complete, and a kill at any moment leaves at most temporary files, which `eigexp store prune` removes.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from safetensors.numpy import save

from eigexp.errors import StoreError, nearest
from eigexp.store.files import digest, discard, exclusive, read_bytes, stage, store_error, sync_folder, write_atomically
from eigexp.store.record import FORMAT, plain
from eigexp.store.result import CONFIG, CURVES, PAIRS, RECORD, Result, arrays_of, curves_csv, read_record

if TYPE_CHECKING:
    from eigexp.images import Image
    from eigexp.pairs import EigenPairs
    from eigexp.store.remote import Remote

STATE = "state"
JOB = "job.json"
ERROR = "error.json"
_LENGTH = 8  # bytes of the length of a safetensors header
_ID = re.compile(r"[0-9A-Za-z_-]{2,64}")


class Store:
    """A folder of results. Any number of processes may read and write it at once.

    A result is complete when its folder has record.json, which holds the digests of the other files. Complete results are never rewritten:
    of several writers of one result the first wins, and the others change nothing.

    Args:
        root: the folder; created by the first write. Or a URL such as s3://bucket/prefix: then results are shared through that bucket, and
            this machine keeps those that it has read or made in a folder.

    Attributes:
        root: the folder.
        remote: the bucket; None without one.
    """

    def __init__(self, root: str | os.PathLike[str]):
        self.remote, folder = _bucket_of(str(root)) if "://" in str(root) else (None, root)
        self.root = Path(folder).expanduser().absolute()

    def __repr__(self) -> str:
        return f"Store({self.location!r})"

    @property
    def location(self) -> str:
        """Where it is, as the option --store takes it."""
        return self.remote.url if self.remote else str(self.root)

    @property
    def local(self) -> "Store":
        """The same without its bucket."""
        return Store(self.root)

    # -- paths ---------------------------------------------------------------------------------------------------------

    def path(self, id: str) -> Path:
        """Return the folder of a result, whether it exists or not.

        Raises:
            StoreError: if `id` cannot be the name of a folder.
        """
        if not _ID.fullmatch(id):
            raise StoreError(f"{id!r} is not the id of a result. An id has 16 hexadecimal digits; `eigexp results` lists them.")
        return self.root / id[:2] / id

    def state(self, id: str) -> Path:
        """Return the folder for checkpoints of an unfinished result, whether it exists or not."""
        return self.path(id) / STATE

    def has(self, id: str) -> bool:
        """Return whether the result is complete, here or in the bucket; from there it is copied."""
        if (self.path(id) / RECORD).exists():
            return True
        return self.remote is not None and self.remote.has(id) and self.remote.pull(self.local, id)

    def ids(self) -> list[str]:
        """Return the ids of all complete results, sorted; empty where there is no store yet."""
        return sorted(folder.name for folder in self.folders() if (folder / RECORD).exists())

    def folders(self) -> Iterator[Path]:
        """Yield the folder of every result, complete or not.

        Raises:
            StoreError: if the store is a file or cannot be read.
        """
        if self.remote is not None:
            for id in sorted(self.remote.ids() - set(self.local.ids())):
                self.remote.pull(self.local, id)
        if not self.root.exists():
            return
        try:
            for group in os.scandir(self.root):
                if len(group.name) == 2 and group.is_dir():
                    yield from (Path(entry) for entry in os.scandir(group) if _ID.fullmatch(entry.name) and entry.is_dir())
        except OSError as error:
            raise StoreError(
                f"Cannot read the store {self.root}: {error.strerror}. Give an existing folder with store=<folder>."
            ) from error

    def find(self, beginning: str) -> str:
        """Return the id that begins with `beginning`.

        Raises:
            StoreError: if no id or several ids do.
        """
        ids = self.ids()
        found = [id for id in ids if id.startswith(beginning)]
        if len(found) == 1 or beginning in found:
            return beginning if beginning in found else found[0]
        if found:
            raise StoreError(f"{len(found)} results begin with {beginning!r}: {', '.join(found[:5])}. Give more digits.")
        raise StoreError(
            f"{self.root} has no result {beginning!r}. {nearest(beginning, ids) if ids else 'It is empty: `eigexp run` fills it.'}"
        )

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, id: str) -> Result:
        """Read a complete result; its arrays are loaded when they are first used.

        Raises:
            StoreError: if it does not exist, or its record is damaged.
        """
        path = self.path(id) / RECORD
        if not path.exists():
            raise StoreError(f"{self.root} has no complete result {id}. See `eigexp results`, or compute it with `eigexp run`.")
        return Result(path.parent, read_record(path))

    def read_json(self, id: str, name: str) -> dict[str, Any] | None:
        """Read job.json or error.json of a result; None where it does not exist.

        Raises:
            StoreError: if it cannot be read.
        """
        path = self.path(id) / name
        if not path.exists():
            return None
        try:
            return json.loads(read_bytes(path))
        except ValueError as error:
            raise StoreError(f"{path} is damaged: {error}. Delete it.") from error

    # -- writing -------------------------------------------------------------------------------------------------------

    def write(
        self,
        record: Mapping[str, Any],
        pairs: "EigenPairs",
        image: "Image",
        curves: Sequence[Mapping[str, Any]] = (),
        config: Mapping[str, Any] | None = None,
        figures: Mapping[str, bytes] | None = None,
    ) -> Path:
        """Write a result completely or not at all, unless it exists. Returns its folder.

        Args:
            record: from `build_record`; has the id.
            pairs: its eigenpairs.
            image: the image that they belong to.
            curves: rows of curves.csv.
            config: the configuration.
            figures: content of PNG files by name, such as "distortions.png".

        Raises:
            StoreError: if it cannot be written; the result then does not exist.
        """
        contents = {
            PAIRS: _tensors(record, pairs, image),
            CURVES: curves_csv([dict(row) for row in curves]),
            CONFIG: config_yaml(config or {}),
            **(figures or {}),
        }
        return self.write_files(record, contents)

    def write_files(self, record: Mapping[str, Any], contents: Mapping[str, bytes]) -> Path:
        """Write the files of a result, and last the record with their digests. Returns the folder.

        Raises:
            StoreError: if they cannot be written; the result then does not exist.
        """
        if self.remote is not None:
            folder = self.local.write_files(record, contents)
            self.remote.push(self.local, record["id"])
            return folder
        folder = self.path(record["id"])
        if self.has(record["id"]):
            return folder
        digests = {name: digest(content) for name, content in contents.items()}
        everything = {**contents, RECORD: _json({**record, "files": digests})}
        staged: dict[Path, Path] = {}
        try:
            for name, content in everything.items():
                staged[folder / name] = stage(folder / name, content)
            _commit(folder, staged)
        finally:
            for temporary in staged.values():
                discard(temporary)
        discard(folder / ERROR)  # of an earlier attempt
        return folder

    def write_config(self, id: str, config: Mapping[str, Any]) -> Path:
        """Write the configuration of a planned result, unless the result is complete. Returns its path.

        Raises:
            StoreError: if it cannot be written.
        """
        target = self.path(id) / CONFIG
        if not self.has(id):
            write_atomically(target, config_yaml(config))
        return target

    def write_json(self, id: str, name: str, value: Mapping[str, Any]) -> Path:
        """Write job.json or error.json of a result. Returns its path.

        Raises:
            StoreError: if it cannot be written.
        """
        target = self.path(id) / name
        write_atomically(target, _json(value))
        return target


def _bucket_of(url: str) -> "tuple[Remote, Path]":
    """Return the bucket of a URL, and the folder for its results on this machine."""
    from eigexp.store.remote import Remote, cache_folder

    return Remote(url), cache_folder(url)


def config_yaml(config: Mapping[str, Any]) -> bytes:
    """Return a configuration of plain values as YAML, keys in their order."""
    return yaml.safe_dump(plain(config), sort_keys=False, allow_unicode=True, width=120).encode()


def _commit(folder: Path, staged: Mapping[Path, Path]) -> None:
    """Rename temporary files to their targets in order. Writers of one result take turns, so that all its files come from one of them."""
    targets = list(staged)
    try:
        with exclusive(folder):
            if targets[-1].exists():
                return  # another writer was first
            for target in targets[:-1]:
                os.replace(staged[target], target)
            sync_folder(folder)  # the other names must reach the disk before the record's
            os.replace(staged[targets[-1]], targets[-1])
            sync_folder(folder)
    except StoreError:
        raise
    except OSError as error:
        raise store_error(f"Cannot write the result {folder}", error) from error


def _tensors(record: Mapping[str, Any], pairs: "EigenPairs", image: "Image") -> bytes:
    return _in_order(save(arrays_of(pairs, image), metadata={"format": f"eigexp {FORMAT}", "id": str(record["id"])}))


def _in_order(content: bytes) -> bytes:
    """Return a safetensors file with the keys of its metadata sorted: the library writes them in any order, so equal results differed."""
    length = int.from_bytes(content[:_LENGTH], "little")
    header = json.loads(content[_LENGTH : _LENGTH + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _LENGTH)  # arrays begin at a multiple of 8 bytes
    return len(text).to_bytes(_LENGTH, "little") + text + content[_LENGTH + length :]


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(plain(value), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
