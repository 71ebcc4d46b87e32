"""Keeping a store sound: what is torn or left over, clearing it away, and taking over the results of another store."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from eigexp.errors import StoreError
from eigexp.store.cross_table import FOLDER, read_table, table_files, table_path
from eigexp.store.files import TEMPORARY, digest, read_bytes, store_error, write_whole
from eigexp.store.result import RECORD, read_record
from eigexp.store.store import STATE, Store

Kind = Literal["torn", "orphan", "checkpoint"]
ASIDE = ".torn"
CHECKPOINTS = "checkpoints"
FOREIGN_ORPHAN_SECONDS = 24 * 3600
STALE_DAYS = 7  # a run that was given up leaves nothing but its checkpoint


@dataclass(frozen=True)
class Finding:
    """Something in a store that should not be there.

    Attributes:
        kind: "torn", a result whose files are not what its record says, or a damaged table of layers; "orphan", a temporary file whose
            writer is gone; "checkpoint", the state of a result that is whole.
        path: the folder or file.
        detail: what is wrong, in words.
    """

    kind: Kind
    path: Path
    detail: str


@dataclass(frozen=True)
class Merged:
    """What a merge did: ids that were copied, that were there already, and that were refused (id and reason); tables that were copied."""

    copied: tuple[str, ...]
    present: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    tables: tuple[str, ...] = ()


def verify(store: Store) -> list[Finding]:
    """Whatever is torn or left over, empty for a sound store. Reads every byte of every result and changes nothing.

    Raises:
        StoreError: if the store cannot be read.
    """
    findings: list[Finding] = []
    for folder in sorted(store.folders()):
        problem = torn(folder)
        if problem:
            findings.append(Finding("torn", folder, problem))
        elif (folder / RECORD).exists() and (folder / STATE).exists():
            findings.append(Finding("checkpoint", folder / STATE, "the result is whole and needs no checkpoint"))
    return [*findings, *_torn_tables(store), *_stale_checkpoints(store), *_orphans(store)]


def torn(folder: Path) -> str:
    """What is wrong with a result that calls itself whole; empty when nothing is, or when it is still in the making."""
    if not (folder / RECORD).exists():
        return ""
    try:
        record = read_record(folder / RECORD)
        if record["id"] != folder.name:
            return f"its record belongs to {record['id']}"
        wrong = [name for name, wanted in record.get("files", {}).items() if digest(read_bytes(folder / name)) != wanted]
    except StoreError as error:
        return str(error)
    return f"{', '.join(wrong)} changed after the record was written" if wrong else ""


def prune(store: Store, yes: bool = False) -> list[Finding]:
    """What `verify` finds, and with `yes` clear it away: orphans and checkpoints are deleted, torn results set aside in `<root>/.torn`.

    Raises:
        StoreError: if the store cannot be read or changed.
    """
    findings = verify(store)
    for finding in findings if yes else ():
        try:
            _clear(store, finding)
        except OSError as error:
            raise store_error(f"Cannot clear {finding.path}", error) from error
    return findings


def merge(store: Store, other: Store) -> Merged:
    """Copy the whole results that `other` has and `store` has not, each checked against its digests; the other store is left as it is.

    Tables of several layers go with the results that they belong to.

    Raises:
        StoreError: if `other` is no store, or `store` cannot be written.
    """
    if not other.root.is_dir():
        raise StoreError(f"There is no store {other.root}. Give the folder that holds the results to take over.")
    copied: list[str] = []
    present: list[str] = []
    refused: list[tuple[str, str]] = []
    for id in other.ids():
        if store.has(id):
            present.append(id)
        elif problem := torn(other.path(id)):
            refused.append((id, problem))
        else:
            record = other.read(id).record
            store.write_files(record, {name: read_bytes(other.path(id) / name) for name in record.get("files", {})})
            copied.append(id)
    tables, torn_tables = _merge_tables(store, other)
    return Merged(tuple(copied), tuple(present), (*refused, *torn_tables), tables)


def _merge_tables(store: Store, other: Store) -> tuple[tuple[str, ...], list[tuple[str, str]]]:
    """Copy the tables all of whose results are here. Returns the ids copied, and those refused with the reason."""
    copied: list[str] = []
    refused: list[tuple[str, str]] = []
    for path in table_files(other):
        target = table_path(store, path.stem)
        try:
            complete = not target.exists() and all(store.has(id) for id in read_table(path).ids)
        except StoreError as error:
            refused.append((path.stem, str(error)))
            continue
        if complete:
            write_whole(target, read_bytes(path))
            copied.append(path.stem)
    return tuple(copied), refused


def set_aside(store: Store, path: Path) -> Path:
    """Move something that cannot be trusted into `<root>/.torn`, where nothing looks for it. Returns its new path.

    Raises:
        OSError: if it cannot be moved.
    """
    aside = store.root / ASIDE
    aside.mkdir(exist_ok=True)
    target = aside / f"{path.name}.{time.time_ns()}"
    os.replace(path, target)
    return target


def _clear(store: Store, finding: Finding) -> None:
    if finding.kind == "orphan":
        finding.path.unlink(missing_ok=True)
    elif finding.kind == "checkpoint":
        shutil.rmtree(finding.path) if finding.path.is_dir() else finding.path.unlink(missing_ok=True)
    else:
        set_aside(store, finding.path)


def _torn_tables(store: Store) -> Iterator[Finding]:
    for path in table_files(store):
        try:
            read_table(path)
        except StoreError as error:
            yield Finding("torn", path, str(error))


def _stale_checkpoints(store: Store) -> Iterator[Finding]:
    folder = store.root / CHECKPOINTS
    for path in sorted(folder.glob("*.ckpt")):
        days = (time.time() - path.stat().st_mtime) / 86400
        if store.has(path.stem):
            yield Finding("checkpoint", path, "the result is whole and needs no checkpoint")
        elif days > STALE_DAYS and not store.path(path.stem).exists():
            yield Finding("checkpoint", path, f"no sweep of this store has its task, and nobody has touched it for {days:.0f} days")
    for path in sorted(folder.glob(".*.ckpt.tmp")):
        if time.time() - path.stat().st_mtime > FOREIGN_ORPHAN_SECONDS:
            yield Finding("orphan", path, "its writer is gone")


def _orphans(store: Store) -> Iterator[Finding]:
    folders = list(store.folders())
    for place in [store.root, store.root / FOLDER, *folders, *(folder / STATE for folder in folders)]:
        if not place.is_dir():
            continue
        for entry in os.scandir(place):
            match = TEMPORARY.match(entry.name)
            if match and _abandoned(Path(entry), int(match["pid"])):
                yield Finding("orphan", Path(entry), "its writer is gone")


def _abandoned(path: Path, pid: int) -> bool:
    if not path.name.endswith(f".{socket.gethostname()}.{pid}.tmp"):
        return time.time() - path.stat().st_mtime > FOREIGN_ORPHAN_SECONDS
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # alive, and somebody else's
    return False
