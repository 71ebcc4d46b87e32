"""A folder of results, `<root>/<first two hex digits>/<id>/`, and how a result is written.

Order of writes: all files of a result are written under temporary names and synced, then renamed one by one, record.json last. So a result
with a record is complete, and a kill at any moment leaves at most temporary files, which `eigexp store prune` removes. Figures, which can
fail, are added after the numbers are safe.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from eigexp.errors import StoreError, UnknownResultError, nearest
from eigexp.store.complete import check_names, tensors
from eigexp.store.complete import commit as _commit
from eigexp.store.files import digest, discard, exclusive, read_bytes, stage, write_atomically
from eigexp.store.folders import Folders
from eigexp.store.record import plain, sealed_record, shown
from eigexp.store.result import CONFIG, CURVES, PAIRS, Result, curves_csv, read_record
from eigexp.store.schema import RECORD, Failure, Job, parse
from eigexp.store.seal import json_bytes, sealed
from eigexp.store.secrets import frozen
from eigexp.store.shard import Row, Shard, write_shards
from eigexp.store.shards import SHARDS, Shards
from eigexp.store.yaml_text import yaml_text

if TYPE_CHECKING:
    from eigexp.images import Image
    from eigexp.pairs import EigenPairs
    from eigexp.store.remote import Remote

JOB = "job.json"
ERROR = "error.json"
_KINDS = {JOB: Job, ERROR: Failure}
log = logging.getLogger(__name__)


class Store(Folders):
    """A folder of results. Any number of processes may read and write it at once.

    A result is complete when its folder has record.json, which holds the digests of the other files. The numbers of a complete result are
    never rewritten: of several writers of one result the first wins, and the others change nothing.

    Args:
        root: the folder; created by the first write. Or a URL such as s3://bucket/prefix: then results are shared through that bucket, and
            this machine keeps those that it has read or made in a folder.

    Attributes:
        root: the folder.
        remote: the bucket; None without one.
        shards: results of many small images, kept together; a result that also has a folder is read from there.
    """

    def __init__(self, root: str | os.PathLike[str]):
        self.remote, folder = _bucket_of(str(root)) if "://" in str(root) else (None, root)
        super().__init__(folder)
        self.shards = Shards(self.root / SHARDS)

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

    def has(self, id: str) -> bool:
        """Return whether the result is complete, here or in the bucket; from there it is copied."""
        if self.shards.of(id) is not None or self._has_folder(id):
            return True
        return self.remote is not None and self.remote.has(id) and self.remote.pull(self.local, id)

    def ids(self) -> list[str]:
        """Return the ids of all complete results, sorted; empty where there is no store yet."""
        return sorted({*self.shards.ids(), *(folder.name for folder in self.folders() if os.path.lexists(folder / RECORD))})

    @override
    def folders(self) -> Iterator[Path]:
        """Yield the folder of every result, complete or not, after those that only the bucket has were copied."""
        if self.remote is not None:
            for id in sorted(self.remote.ids() - set(self.local.ids())):
                self.remote.pull(self.local, id)
        yield from super().folders()

    def find(self, beginning: str) -> str:
        """Return the id that begins with `beginning`.

        Raises:
            UnknownResultError: if no id or several ids do.
        """
        ids = self.ids()
        found = [id for id in ids if id.startswith(beginning)]
        if len(found) == 1 or beginning in found:
            return beginning if beginning in found else found[0]
        if found:
            raise UnknownResultError(f"{len(found)} results begin with {beginning!r}: {', '.join(found[:5])}. Give more digits.")
        raise UnknownResultError(
            f"{self.root} has no result {beginning!r}. {nearest(beginning, ids) if ids else 'It is empty: `eigexp run` fills it.'}"
        )

    # -- reading -------------------------------------------------------------------------------------------------------

    def read(self, id: str) -> Result:
        """Read a complete result; its arrays are loaded when they are first used.

        Raises:
            StoreError: if it does not exist, or its record is damaged.
        """
        folder = self.path(id)
        shard = self.shard_of(id)
        if shard:
            return shard.result(id, folder)
        if not self.has(id):
            raise StoreError(f"{self.root} has no complete result {id}. See `eigexp results`, or compute it with `eigexp run`.")
        return Result(folder, read_record(folder / RECORD))

    def shard_of(self, id: str) -> Shard | None:
        """Return the shard that a result is read from; None where it has a folder."""
        shard = self.shards.of(id)
        return None if shard is None or self._has_folder(id) else shard

    def _has_folder(self, id: str) -> bool:
        return os.path.lexists(f"{self.path_text(id)}/{RECORD}")

    def set_result_aside(self, id: str) -> Path:
        """Move a result that failed verification into `<root>/.corrupt`: its folder, or the whole shard. Return the new path.

        Raises:
            OSError: if it cannot be moved.
        """
        shard = self.shard_of(id)
        return self.set_shard_aside(shard) if shard else self.set_aside(self.path(id))

    def set_shard_aside(self, shard: Shard) -> Path:
        """Move both files of a shard into `<root>/.corrupt`, the one that makes it complete first. Return its new path.

        Raises:
            OSError: if they cannot be moved.
        """
        moved = [self.set_aside(path) for path in shard.files if os.path.lexists(path)]
        return moved[0]

    def sealed_record(self, id: str) -> bytes:
        """Return the bytes of a complete result's record.json.

        Raises:
            StoreError: if they cannot be read.
        """
        shard = self.shard_of(id)
        return shard.sealed_record(id) if shard else read_bytes(self.path(id) / RECORD)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the record of every complete result, with one warning in the log for those that cannot be read.

        Raises:
            StoreError: if the store cannot be read.
        """
        for path, reason in self.shards.unread.items():
            self.leave_out(path, reason)
        packed = [id for shard in self.shards for id in shard.positions]
        for id in dict.fromkeys([*sorted(set(self.ids()) - set(packed)), *packed]):  # shard by shard, so that each is read once
            try:
                yield self.read(id).record
            except StoreError as error:
                self.leave_out(id, str(error))
        self.warn_of_left_out()

    def read_json(self, id: str, name: str) -> dict[str, Any] | None:
        """Read job.json or error.json of a result; None where it does not exist.

        Raises:
            StoreError: if it cannot be read, or is damaged.
        """
        path = self.path(id) / name
        if not os.path.lexists(path):
            return None
        try:
            return parse(read_bytes(path), _KINDS[name])
        except ValueError as error:
            raise StoreError(f"{path} is damaged: {error}. Delete it.") from error

    def known_json(self, id: str, name: str) -> dict[str, Any]:
        """Return job.json or error.json of a result; empty where it does not exist, and with a warning in the log where it is damaged."""
        try:
            return self.read_json(id, name) or {}
        except StoreError as error:
            log.warning("%s Until then it counts as missing.", error)
            return {}

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
            PAIRS: tensors(record, pairs, image),
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
        return self.path(record["id"]) if self.has(record["id"]) else self._write_folder(record, contents)

    def write_shard(self, rows: Sequence[Row]) -> list[Path]:
        """Write the results of a batch as shards, but for those that exist. Return the paths of the shards.

        Raises:
            StoreError: if they cannot be written; none of them then exists.
            MissingDependencyError: if pyarrow is not installed.
        """
        if self.remote is not None:
            raise StoreError(f"{self.location} keeps each result as objects of its own. Set shards=false, or store= to a folder.")
        return write_shards(self.real_shards_folder(), list({row.id: row for row in rows if not self.has(row.id)}.values()))

    def real_shards_folder(self) -> Path:
        """Return the folder of shards; a symbolic link at its place is moved to `.corrupt`."""
        if self.shards.folder.is_symlink():
            self.set_aside(self.shards.folder)
        return self.shards.folder

    def _write_folder(self, record: Mapping[str, Any], contents: Mapping[str, bytes]) -> Path:
        check_names(contents)
        folder = self.real_folder(record["id"])
        everything = {**contents, RECORD: sealed_record(record, contents)}
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

    def add(self, id: str, contents: Mapping[str, bytes], notes: Sequence[str] = ()) -> None:
        """Add files to a complete result, such as figures, and notes to its record. Its numbers do not change.

        Raises:
            StoreError: if they cannot be written, or the record is damaged.
        """
        check_names(contents)
        self.unpack(id)
        folder = self.path(id)
        with exclusive(folder):
            record = self.read(id).record
            fresh = {name: content for name, content in contents.items() if name not in record["files"]}
            for name, content in fresh.items():
                write_atomically(folder / name, content)
            files = {**record["files"], **{name: digest(content) for name, content in fresh.items()}}
            changed = {**record, "notes": [*record["notes"], *notes], "files": files}
            write_atomically(folder / RECORD, sealed(shown(plain(changed))))
        if self.remote is not None:
            self.remote.extend(self.local, id, fresh)

    def unpack(self, id: str) -> Path:
        """Give a result in a shard a folder of its own, from which it is read from then on. Return its folder.

        Raises:
            StoreError: if it does not exist, is damaged, or cannot be written.
        """
        result = self.read(id)
        if result.packed:
            self._write_folder(result.record, {name: result.content(name) for name in result.record["files"]})
        return result.folder

    def write_config(self, id: str, config: Mapping[str, Any]) -> Path:
        """Write the configuration of a planned result, unless the result is complete. Returns its path.

        Raises:
            StoreError: if it cannot be written.
        """
        if not self.has(id):
            write_atomically(self.real_folder(id) / CONFIG, config_yaml(config))
        return self.path(id) / CONFIG

    def write_json(self, id: str, name: str, value: Mapping[str, Any]) -> Path:
        """Write job.json or error.json of a result. Returns its path.

        Raises:
            StoreError: if it cannot be written.
        """
        target = self.real_folder(id) / name
        write_atomically(target, json_bytes(shown(plain(value), lines=True)))
        return target


def _bucket_of(url: str) -> "tuple[Remote, Path]":
    """Return the bucket of a URL, and the folder for its results on this machine."""
    from eigexp.store.remote import Remote, cache_folder

    return Remote(url), cache_folder(url)


def config_yaml(config: Mapping[str, Any]) -> bytes:
    """Return a configuration of plain values as YAML, keys in their order, secrets as what they come from."""
    return yaml_text(plain(frozen(config))).encode()
