"""An index of a store's rows, so that ten thousand records need not be read again. It may be deleted at any time."""

import io
import logging
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from eigexp.errors import StoreError
from eigexp.store.files import write_atomically
from eigexp.store.result import RECORD, read_record
from eigexp.store.store import Store

INDEX = ".index.parquet"
MIN_RESULTS = 200  # below, reading the records is as fast
_STAMP = "_stamp"
log = logging.getLogger(__name__)

Rows = list[dict[str, Any]]


def cached_rows(store: Store, make: Callable[[Mapping[str, Any]], dict[str, Any]], columns: tuple[str, ...], *, keep: bool = True) -> Rows:
    """Return `make(record)` for every complete result: from the index where the record is unchanged, else from the record.

    A record that cannot be read is left out, with a warning in the log.

    Args:
        store: the store.
        make: makes a row from a record.
        columns: of a row; an index with other columns is rebuilt.
        keep: use and write the index, if pyarrow is installed and there are at least `MIN_RESULTS` results.
    """
    stamps = {folder.name: stamp for folder in store.folders() if (stamp := _stamp(folder / RECORD))}
    keep = keep and len(stamps) >= MIN_RESULTS and find_spec("pyarrow") is not None
    known = _read(store.root / INDEX, {*columns, _STAMP}) if keep else {}
    rows: dict[str, dict[str, Any]] = {}
    for id, stamp in stamps.items():
        old = known.get(id)
        if old is not None and old.get(_STAMP) == stamp:
            rows[id] = old
        elif (new := _fresh(store.path(id) / RECORD, make)) is not None:
            rows[id] = {**new, _STAMP: stamp}
    changed = any(known.get(id) is not row for id, row in rows.items()) or len(known) != len(rows)
    if rows and keep and changed:
        _write(store.root / INDEX, list(rows.values()))
    return [{key: value for key, value in row.items() if key != _STAMP} for row in rows.values()]


def _stamp(path: Path) -> str:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return ""
    return f"{found.st_mtime_ns}.{found.st_size}"


def _fresh(path: Path, make: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return make(read_record(path))
    except StoreError as error:
        log.warning("%s", error)
        return None


def _read(path: Path, columns: set[str]) -> dict[str, dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    if not path.exists():
        return {}
    try:
        rows = parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        log.debug("%s is rebuilt: %s", path, error)
        return {}
    return {row["id"]: row for row in rows if row.keys() == columns}


def _write(path: Path, rows: Rows) -> None:
    import pyarrow
    from pyarrow import parquet

    content = io.BytesIO()
    try:
        parquet.write_table(pyarrow.Table.from_pylist(rows), content)
        write_atomically(path, content.getvalue())
    except (pyarrow.ArrowException, StoreError) as error:
        log.debug("no index at %s: %s", path, error)  # a read-only store can still be read
