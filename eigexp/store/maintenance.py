"""Maintenance of a store: find and remove what is corrupt or left over, and merge another store."""

import os
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eigexp.errors import StoreError
from eigexp.store.cross_table import FOLDERS, read_table, table_files, table_path
from eigexp.store.files import TEMPORARY, discard, exclusive, read_bytes, store_error, write_atomically
from eigexp.store.folders import QUARANTINE, STATE, is_id
from eigexp.store.result import Result, read_record
from eigexp.store.schema import RECORD
from eigexp.store.shard import SUFFIX, TENSORS, Shard, copy_shard
from eigexp.store.shards import SHARDS
from eigexp.store.store import ERROR, JOB, Store

Kind = Literal["corrupt", "orphan", "checkpoint"]
CHECKPOINTS = "checkpoints"
FOREIGN_ORPHAN_SECONDS = 24 * 3600  # whether a writer on another machine still runs cannot be seen from here
STALE_DAYS = 7  # after which a checkpoint without a planned task is taken for abandoned


@dataclass(frozen=True)
class Finding:
    """Something in a store that should not be there.

    Attributes:
        kind: "corrupt", a result whose files do not match the digests in its record, or a damaged cross table; "orphan", a temporary file
            whose writer has ended; "checkpoint", of a result that is complete or of a task that was abandoned.
        path: the folder or file.
        detail: what is wrong.
    """

    kind: Kind
    path: Path
    detail: str


@dataclass(frozen=True)
class Merged:
    """What a merge did: ids that were copied, that existed, and that were refused (id and reason); cross tables that were copied."""

    copied: tuple[str, ...]
    present: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    tables: tuple[str, ...] = ()


def verify(store: Store) -> list[Finding]:
    """Find what is corrupt or left over. Reads every byte of every result, and changes nothing.

    Raises:
        StoreError: if the store cannot be read.
    """
    findings: list[Finding] = []
    store.left_out = {}
    for folder in sorted(store.folders()):
        problem = problem_of(folder)
        if problem:
            findings.append(Finding("corrupt", folder, problem))
        elif os.path.lexists(folder / RECORD) and os.path.lexists(folder / STATE):
            findings.append(Finding("checkpoint", folder / STATE, "the result is complete and needs no checkpoint"))
    for shard in store.shards:
        if problem := shard.problem():
            findings.append(Finding("corrupt", shard.path, problem))
    store.left_out |= {str(path): reason for path, reason in store.shards.unread.items()}
    unread = [Finding("corrupt", Path(path), reason) for path, reason in store.left_out.items()]
    store.left_out = {}
    return [
        *findings,
        *unread,
        *_bad_task_files(store),
        *_links(store),
        *_corrupt_tables(store),
        *_stale_checkpoints(store),
        *_orphans(store),
        *_half_shards(store),
    ]


def problem_of(folder: Path) -> str:
    """Return what is wrong with a result that has a record; empty if nothing is, or if it is not complete yet."""
    for part in (folder.parent, folder):
        if part.is_symlink():
            return f"{part} is a symbolic link, which a store may not hold"
    if not os.path.lexists(folder / RECORD):
        return ""
    try:
        return _changes(Result(folder, read_record(folder / RECORD)))
    except StoreError as error:
        return str(error)


def problem_in(store: Store, id: str) -> str:
    """Return what is wrong with a complete result, in a folder or a shard; empty if nothing is."""
    if store.shard_of(id) is None:
        return problem_of(store.path(id))
    try:
        return _changes(store.read(id))
    except StoreError as error:
        return str(error)


def _changes(result: Result) -> str:
    changed = [name for name in result.record["files"] if not _is_unchanged(result, name)]
    if not changed:
        _ = result.arrays, result.curves, result.config  # they can be read, and the arrays hold the record's numbers
    return f"{', '.join(changed)} changed after the record was written" if changed else ""


def _is_unchanged(result: Result, name: str) -> bool:
    try:
        result.content(name)
    except StoreError:
        return False
    return True


def prune(store: Store, yes: bool = False) -> list[Finding]:
    """Return what `verify` finds. With `yes` also delete orphans and checkpoints, and move corrupt results to `<root>/.corrupt`.

    Raises:
        StoreError: if the store cannot be read or changed.
    """
    findings = verify(store)
    for finding in findings if yes else ():
        try:
            _remove(store, finding)
        except OSError as error:
            raise store_error(f"Cannot remove {finding.path}", error) from error
    return findings


def remove_spent_checkpoints(store: Store, ids: Iterable[str]) -> None:
    """Remove the checkpoints of complete results: a kill between the last write of a result and the end of its task leaves one."""
    folder = store.root / CHECKPOINTS
    if folder.is_symlink():
        return
    for id in ids:
        for name in (f"{id}.ckpt", f".{id}.ckpt.tmp"):
            discard(folder / name)


def merge(store: Store, other: Store) -> Merged:
    """Copy the complete results of `other` that `store` does not have, each checked against its digests. `other` is not changed.

    Cross tables are copied with the results that they belong to.

    Raises:
        StoreError: if `other` does not exist, or `store` cannot be written.
    """
    if not other.root.is_dir():
        raise StoreError(f"The store {other.root} does not exist. Give the folder of the store to merge.")
    copied: list[str] = []
    present: list[str] = []
    refused: list[tuple[str, str]] = []
    for shard in other.shards:
        if not any(map(store.has, shard.positions)) and not shard.problem():
            copy_shard(shard, store.real_shards_folder())
            copied += shard.positions
    whole = set(copied)
    for id in other.ids():
        if id in whole:
            continue
        if store.has(id):
            present.append(id)
        elif problem := problem_in(other, id):
            refused.append((id, problem))
        else:
            result = other.read(id)
            store.write_files(result.record, {name: result.content(name) for name in result.record["files"]})
            copied.append(id)
    tables, torn_tables = _merge_tables(store, other)
    return Merged(tuple(copied), tuple(present), (*refused, *torn_tables), tables)


def _merge_tables(store: Store, other: Store) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Copy the cross tables whose results are all in `store`. Returns the ids of those copied, and of those refused with the reason."""
    copied: list[str] = []
    refused: list[tuple[str, str]] = []
    for path in table_files(other):
        target = table_path(store, path.stem)
        try:
            wanted = not target.exists() and all(store.has(id) for id in read_table(path).ids)
        except StoreError as error:
            refused.append((path.stem, str(error)))
            continue
        if wanted:
            write_atomically(target, read_bytes(path))
            copied.append(path.stem)
    return tuple(copied), refused


def _remove(store: Store, finding: Finding) -> None:
    if finding.kind == "orphan" and finding.path.suffix == TENSORS:
        with exclusive(store.shards.folder):  # a writer may have just completed it
            if not finding.path.with_suffix(SUFFIX).exists():
                finding.path.unlink(missing_ok=True)
    elif finding.kind == "orphan":
        finding.path.unlink(missing_ok=True)
    elif finding.kind == "checkpoint":
        is_folder = finding.path.is_dir() and not finding.path.is_symlink()
        shutil.rmtree(finding.path) if is_folder else finding.path.unlink(missing_ok=True)
    else:
        shard = Shard(finding.path, ())
        store.set_shard_aside(shard) if finding.path.parent == store.shards.folder else store.set_aside(finding.path)


def _bad_task_files(store: Store) -> Iterator[Finding]:
    for folder in store.folders():
        for name in (JOB, ERROR):
            try:
                store.read_json(folder.name, name)
            except StoreError as error:
                yield Finding("corrupt", folder / name, str(error))


def _links(store: Store) -> Iterator[Finding]:
    for name in (CHECKPOINTS, *FOLDERS, "jobs", QUARANTINE):
        if (store.root / name).is_symlink():
            yield Finding("corrupt", store.root / name, "it is a symbolic link, which a store may not hold")


def _corrupt_tables(store: Store) -> Iterator[Finding]:
    for path in table_files(store):
        try:
            read_table(path)
        except StoreError as error:
            yield Finding("corrupt", path, str(error))


def _stale_checkpoints(store: Store) -> Iterator[Finding]:
    folder = store.root / CHECKPOINTS
    if folder.is_symlink():
        return
    for path in sorted(folder.glob("*.ckpt")):
        days = (time.time() - path.lstat().st_mtime) / 86400
        if not is_id(path.stem):
            continue
        if store.has(path.stem):
            yield Finding("checkpoint", path, "the result is complete and needs no checkpoint")
        elif days > STALE_DAYS and not store.path(path.stem).exists():
            yield Finding("checkpoint", path, f"no sweep of this store has its task, and it was not changed for {days:.0f} days")
    for path in sorted(folder.glob(".*.ckpt.tmp")):
        if time.time() - path.lstat().st_mtime > FOREIGN_ORPHAN_SECONDS:
            yield Finding("orphan", path, "its writer has ended")


def _orphans(store: Store) -> Iterator[Finding]:
    folders = list(store.folders())
    for place in [store.root, *(store.root / folder for folder in (*FOLDERS, SHARDS)), *folders, *(folder / STATE for folder in folders)]:
        if place.is_symlink() or not place.is_dir():
            continue
        for entry in os.scandir(place):
            match = TEMPORARY.match(entry.name)
            if match and _abandoned(Path(entry), int(match["pid"])):
                yield Finding("orphan", Path(entry), "its writer has ended")


def _half_shards(store: Store) -> Iterator[Finding]:
    """Yield the arrays of shards whose writer died before the rows were in place."""
    folder = store.shards.folder
    if folder.is_symlink() or not folder.is_dir():
        return
    with exclusive(folder):  # else a living writer may be between the two
        half = [path for path in sorted(folder.glob(f"[!.]*{TENSORS}")) if not os.path.lexists(path.with_suffix(SUFFIX))]
    yield from (Finding("orphan", path, "its writer has ended before the shard was complete") for path in half)


def _abandoned(path: Path, pid: int) -> bool:
    if not path.name.endswith(f".{socket.gethostname()}.{pid}.tmp"):
        return time.time() - path.lstat().st_mtime > FOREIGN_ORPHAN_SECONDS
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # it runs, as another user
    return False
