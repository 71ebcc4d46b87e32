"""An index of a store's rows, so that ten thousand records need not be read again. It may be deleted at any time."""

import io
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eigexp.errors import StoreError
from eigexp.store.files import digest, read_bytes, write_atomically
from eigexp.store.schema import RECORD
from eigexp.store.store import Store

INDEX = ".index.parquet"
MIN_RESULTS = 200  # below, reading the records is as fast
_STAMP, _SEAL = "_stamp", "_seal"
log = logging.getLogger(__name__)

Rows = list[dict[str, Any]]


def cached_rows(store: Store, make: Callable[[Mapping[str, Any]], dict[str, Any]], columns: tuple[str, ...], *, keep: bool = True) -> Rows:
    """Return `make(record)` for every complete result: from the index where the record is unchanged, else from the record.

    Records that cannot be read are left out, with one warning in the log that names them.

    Args:
        store: the store.
        make: makes a row from a record.
        columns: of a row; an index with other columns is rebuilt.
        keep: use and write the index, if pyarrow is installed and there are at least `MIN_RESULTS` results.
    """
    stamps = {id: ".".join(map(str, shard.stamp)) for shard in store.shards for id in shard.positions}
    stamps |= {folder.name: stamp for folder in store.folders() if (stamp := _stamp(folder / RECORD))}
    for path, reason in store.shards.unread.items():
        store.leave_out(path, reason)
    keep = keep and len(stamps) >= MIN_RESULTS and find_spec("pyarrow") is not None
    known = _read(store.root / INDEX, {*columns, _STAMP}) if keep else {}
    rows: dict[str, dict[str, Any]] = {}
    for id, stamp in stamps.items():
        old = known.get(id)
        if old is not None and old.get(_STAMP) == stamp:
            rows[id] = old
        elif (new := _fresh(store, id, make)) is not None:
            rows[id] = {**new, _STAMP: stamp}
    store.warn_of_left_out()
    changed = any(known.get(id) is not row for id, row in rows.items()) or len(known) != len(rows)
    if rows and keep and changed:
        _write(store.root / INDEX, list(rows.values()))
    return [{key: value for key, value in row.items() if key != _STAMP} for row in rows.values()]


def _stamp(path: Path) -> str:
    try:
        found = os.lstat(path)
    except OSError:  # not complete yet, or in a folder that cannot be read
        return ""
    return f"{found.st_mtime_ns}.{found.st_size}"


def _fresh(store: Store, id: str, make: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return make(store.read(id).record)
    except StoreError as error:
        store.leave_out(id, str(error))
        return None


def _read(path: Path, columns: set[str]) -> dict[str, dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    if not path.exists():
        return {}
    try:
        rows = parquet.read_table(pyarrow.BufferReader(read_bytes(path))).to_pylist()
        return {row["id"]: row for row in _rows_as_written(rows) if row.keys() == columns}
    except (pyarrow.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
        log.debug("%s is rebuilt: %s", path, error)
        return {}


def _rows_as_written(rows: Rows) -> Iterator[dict[str, Any]]:
    """Yield the rows whose own digest is correct: a changed index must not show numbers that are in no record."""
    for row in rows:
        seal = row.pop(_SEAL, None)
        if seal == _seal_of(row):
            yield row


def _seal_of(row: Mapping[str, Any]) -> str:
    return digest(repr(sorted(row.items())).encode("utf-8", "backslashreplace"))


def _write(path: Path, rows: Rows) -> None:
    import pyarrow
    from pyarrow import parquet

    content = io.BytesIO()
    try:
        parquet.write_table(pyarrow.Table.from_pylist([{**row, _SEAL: _seal_of(row)} for row in rows]), content)
        write_atomically(path, content.getvalue())
    except (pyarrow.ArrowException, StoreError) as error:
        log.debug("no index at %s: %s", path, error)  # a read-only store can still be read
