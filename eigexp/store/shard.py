"""A shard: the results of one batch of images in two files, instead of a folder for each result.

`<name>.safetensors` has the arrays of all results, stacked. `<name>.parquet` has a row for each: the columns of `eigexp results`, and the
content of its record.json, curves.csv and config.yaml, byte for byte as in a folder. So records, their digests and ids do not depend on
where results are stored. The parquet file is written last: a shard that has it is complete.
"""

import io
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from eigexp.errors import MissingDependencyError, StoreError
from eigexp.store.complete import commit, in_order, tensor_bytes
from eigexp.store.files import digest, discard, read_bytes, stage
from eigexp.store.folders import is_id
from eigexp.store.record import sealed_record
from eigexp.store.result import ARRAYS, CONFIG, CURVES, PAIRS, PRUNE, Result, arrays_of, parse_record
from eigexp.store.rows import COLUMNS, row_of
from eigexp.store.schema import RECORD

if TYPE_CHECKING:
    from eigexp.images import Image
    from eigexp.pairs import EigenPairs

SUFFIX, TENSORS = ".parquet", ".safetensors"
_TEXTS = {RECORD: "record", CURVES: "curves", CONFIG: "config"}  # columns with the content of a file
_FORMAT = b"eigexp shard 1"
_KEPT = 64  # shards whose rows stay in memory: about 1 MB each


@dataclass
class Row:
    """A result to be written into a shard.

    Args:
        record: from `build_record`.
        pairs: its eigenpairs.
        image: the image that they belong to.
        texts: content of curves.csv and config.yaml, by name.
    """

    record: Mapping[str, Any]
    pairs: InitVar["EigenPairs"]
    image: InitVar["Image"]
    texts: dict[str, bytes]
    arrays: dict[str, NDArray[Any]] = field(init=False)
    sealed: bytes = field(init=False)

    def __post_init__(self, pairs: "EigenPairs", image: "Image") -> None:
        self.arrays = arrays_of(pairs, image)
        self.sealed = sealed_record(self.record, {PAIRS: tensor_bytes(self.id, self.arrays), **self.texts})

    @property
    def id(self) -> str:
        """The result's id."""
        return self.record["id"]


@dataclass(frozen=True)
class Shard:
    """The results of one shard.

    Attributes:
        path: its parquet file.
        stamp: changes when the file does.
    """

    path: Path
    stamp: tuple[int, ...]

    @cached_property
    def positions(self) -> dict[str, int]:
        """The row of each result, by its id.

        Raises:
            StoreError: if the file cannot be read.
        """
        ids = [str(id) for id in _columns(self.path, self.stamp, ("id",))["id"].to_pylist()]
        if len(set(ids)) != len(ids) or not all(map(is_id, ids)):
            raise StoreError(f"{self.path} is damaged: its ids are not those of results. {PRUNE}")
        return {id: position for position, id in enumerate(ids)}

    @property
    def files(self) -> tuple[Path, Path]:
        """Its two files, the one that makes it complete first."""
        return self.path, self.path.with_suffix(TENSORS)

    def sealed_record(self, id: str) -> bytes:
        """Return the bytes of a result's record.json."""
        return self._text(id, RECORD)

    def result(self, id: str, folder: Path) -> Result:
        """Return one of its results.

        Args:
            id: of the result.
            folder: where it would be outside a shard.

        Raises:
            StoreError: if its record is damaged.
        """
        record = parse_record(self.sealed_record(id), id, f"{self.path}: {id}")
        return Result(folder, record, lambda name: self.content(id, name))

    def content(self, id: str, name: str) -> bytes:
        """Return the content of a result's file, as it would be in a folder.

        Raises:
            StoreError: if a file of the shard cannot be read.
        """
        if name == PAIRS:
            at = self.positions[id]
            return tensor_bytes(id, {key: value[at] for key, value in self._stacked().items()})
        if name in _TEXTS:
            return self._text(id, name)
        raise StoreError(f"{self.path} has no {name} of {id}. {PRUNE}")

    def shown(self, name: str) -> dict[str, Any]:
        """Return a column of `eigexp results` by id, for those who wrote or checked the shard: it is not sealed, as records are."""
        return dict(zip(self.positions, _columns(self.path, self.stamp, COLUMNS)[name].to_pylist(), strict=True))

    def problem(self) -> str:
        """Return what is wrong with any of its results; empty if nothing is. Reads every byte."""
        try:
            shown = {name: column.to_pylist() for name, column in _columns(self.path, self.stamp, COLUMNS).items()}
            for id, at in self.positions.items():
                problem = self._problem_of(id, {name: shown[name][at] for name in COLUMNS})
                if problem:
                    return f"{id}: {problem}"
        except StoreError as error:
            return str(error)
        return ""

    def _problem_of(self, id: str, shown: Mapping[str, Any]) -> str:
        result = self.result(id, self.path)
        changed = [name for name, wanted in result.record["files"].items() if digest(self.content(id, name)) != wanted]
        if changed:
            return f"{', '.join(changed)} changed after the record was written"
        row = _plain(row_of(result.record))
        wrong = [name for name in COLUMNS if row[name] != shown[name]]
        return f"the column {wrong[0]} differs from the record" if wrong else ""

    def _text(self, id: str, name: str) -> bytes:
        content = _columns(self.path, self.stamp, tuple(_TEXTS.values()))[_TEXTS[name]][self.positions[id]].as_py()
        if not isinstance(content, bytes):
            raise StoreError(f"{self.path} is damaged: it has no {name} of {id}. {PRUNE}")
        return content

    def _stacked(self) -> dict[str, NDArray[Any]]:
        path = self.path.with_suffix(TENSORS)
        arrays = _tensors(path, stamp_of(path))
        wrong = [name for name in ARRAYS if name not in arrays or len(arrays[name]) != len(self.positions)]
        if wrong:
            raise StoreError(f"{path} is damaged: it does not have {wrong[0]} of {len(self.positions)} results. {PRUNE}")
        return arrays


def write_shards(folder: Path, rows: Sequence[Row]) -> list[Path]:
    """Write results as shards, each completely or not at all; those whose arrays have other shapes in another shard. Return the paths.

    Raises:
        StoreError: if they cannot be written.
        MissingDependencyError: if pyarrow is not installed.
    """
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple((row.arrays[name].shape, row.arrays[name].dtype) for name in ARRAYS)].append(row)
    return [_write(folder, group) for group in groups.values()]


def copy_shard(shard: Shard, folder: Path) -> None:
    """Copy a shard into another folder of shards, unless that has it.

    Raises:
        StoreError: if it cannot be read or written.
    """
    _put(folder, {folder / path.name: read_bytes(path) for path in reversed(shard.files)})


def _write(folder: Path, rows: Sequence[Row]) -> Path:
    path = folder / f"{digest(' '.join(str(row.record['id']) for row in rows).encode())[:16]}{SUFFIX}"
    stacked = {name: np.stack([row.arrays[name] for row in rows]) for name in ARRAYS}
    tensors = in_order(save(stacked, metadata={"format": _FORMAT.decode(), "ids": path.name}))
    _put(folder, {path.with_suffix(TENSORS): tensors, path: _table(rows)})
    return path


def _put(folder: Path, contents: Mapping[Path, bytes]) -> None:
    """Write the files of a shard, the last of which makes it complete."""
    staged: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            staged[path] = stage(path, content)
        commit(folder, staged)
    finally:
        for temporary in staged.values():
            discard(temporary)


def _table(rows: Sequence[Row]) -> bytes:
    """Return the content of the parquet file."""
    pyarrow, parquet = arrow()
    values = [_plain(row_of(row.record)) for row in rows]
    columns = {name: [row[name] for row in values] for name in COLUMNS}
    columns |= {column: [({RECORD: row.sealed} | row.texts).get(name) for row in rows] for name, column in _TEXTS.items()}
    table = pyarrow.table(columns).replace_schema_metadata({b"format": _FORMAT})
    content = io.BytesIO()
    parquet.write_table(table, content, compression="zstd")
    return content.getvalue()


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row, with one type a column whatever the settings are."""
    return {name: row[name] if isinstance(row[name], int | float | None) else str(row[name]) for name in COLUMNS}


def stamp_of(path: Path) -> tuple[int, ...]:
    """Return what changes when a file does; empty where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def arrow() -> tuple[Any, Any]:
    """Return pyarrow and its parquet module.

    Raises:
        MissingDependencyError: if pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingDependencyError("Shards of results need pyarrow. Run: pip install 'eigexp[table]'") from error
    return pyarrow, parquet


@lru_cache(maxsize=3 * _KEPT)
def _columns(path: Path, stamp: tuple[int, ...], names: tuple[str, ...]) -> dict[str, Any]:
    """Return columns of a parquet file, in Arrow's memory; the stamp is part of the key, so that a changed file is read again."""
    pyarrow, parquet = arrow()
    try:
        # Without threads: a shard is small, and threads would keep a sweep from forking its workers.
        content = read_bytes(path)
        file = parquet.ParquetFile(
            pyarrow.BufferReader(content), pre_buffer=False, read_dictionary=[name for name in names if name == _TEXTS[CONFIG]]
        )
        if file.metadata.num_rows > len(content):  # ids differ, so each takes a byte: a billion equal rows are meant to fill the memory
            raise ValueError(f"it has {file.metadata.num_rows} rows in {len(content)} bytes")
        table = file.read(columns=list(names), use_threads=False)
        return {name: table.column(name) for name in names}
    except (pyarrow.ArrowException, OSError, KeyError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(f"{path} is damaged: {' '.join(str(error).split())[:200]}. {PRUNE}") from error


@lru_cache(maxsize=8)
def _tensors(path: Path, stamp: tuple[int, ...]) -> dict[str, NDArray[Any]]:
    try:
        return load(read_bytes(path))
    except (SafetensorError, ValueError, KeyError) as error:
        raise StoreError(f"{path} is damaged: {error}. {PRUNE}") from error
