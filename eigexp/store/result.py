"""A stored result, read without torch: its record at once, its arrays when they are first used."""

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from eigexp.errors import StoreError
from eigexp.store.csv_text import csv_text
from eigexp.store.files import digest, read_bytes
from eigexp.store.schema import FORMAT, Record, check_record, parse
from eigexp.store.schema import RECORD as RECORD
from eigexp.store.seal import check_seal
from eigexp.store.yaml_text import parse_yaml

if TYPE_CHECKING:
    from eigexp.images import Image
    from eigexp.pairs import EigenPairs

PAIRS = "pairs.safetensors"
CURVES = "curves.csv"
CONFIG = "config.yaml"
PRUNE = "Run `eigexp store prune --yes`, then compute it again."
ARRAYS = ("eigendistortions", "eigenvalues", "eigenindex", "residuals", "intervals", "image")


@dataclass(frozen=True)
class Result:
    """One complete result of a store.

    Attributes:
        folder: where its files are, or would be.
        record: record.json.
        packed: returns the content of its files by name, for a result in a shard; None for one in a folder.
    """

    folder: Path
    record: dict[str, Any] = field(repr=False)
    packed: Callable[[str], bytes] | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The result's id."""
        return self.record["id"]

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of pairs.safetensors by name.

        Raises:
            StoreError: if the file is missing or damaged, or its numbers are not those of the record.
        """
        try:
            arrays = load(self.content(PAIRS))
            _check_arrays(arrays, self.record)
        except (SafetensorError, ValueError, KeyError) as error:
            raise StoreError(f"{self.folder / PAIRS} is damaged: {error}. {PRUNE}") from error
        return arrays

    def content(self, name: str) -> bytes:
        """Return the bytes of one of its files, which are those that the record was written with.

        Raises:
            StoreError: if the file is missing, or changed since.
        """
        content = self.packed(name) if self.packed else read_bytes(self.folder / name)
        if digest(content) != self.record.get("files", {}).get(name):
            raise StoreError(f"{self.folder / name} changed after the record was written. {PRUNE}")
        return content

    @property
    def image(self) -> NDArray[Any]:
        """The image, shape (c, h, w) or the model's own input shape, in [0, 1]."""
        return self.arrays["image"]

    @property
    def eigendistortions(self) -> NDArray[Any]:
        """Unit vectors, shape (k, *image shape), in the order of `eigenindex`."""
        return self.arrays["eigendistortions"]

    @property
    def eigenvalues(self) -> NDArray[Any]:
        """Shape (k,), float64, squared response units per squared pixel unit."""
        return self.arrays["eigenvalues"]

    @property
    def eigenindex(self) -> NDArray[Any]:
        """Eigenindices, increasing: positions among all n eigenvalues, 0 the largest; shape (k,), int64."""
        return self.arrays["eigenindex"]

    @property
    def residuals(self) -> NDArray[Any]:
        """||F v - theta v||, shape (k,), float64."""
        return self.arrays["residuals"]

    @property
    def intervals(self) -> NDArray[Any]:
        """Lower and upper bound of each eigenvalue, shape (k, 2), float64."""
        return self.arrays["intervals"]

    @cached_property
    def curves(self) -> list[dict[str, Any]]:
        """One row per solver step; numbers as numbers, empty cells as None. Empty when no curves were stored."""
        if CURVES not in self.record.get("files", {}):
            return []
        try:
            rows = list(csv.DictReader(io.StringIO(self.content(CURVES).decode(), newline="")))
            return [{key: _cell(value) for key, value in row.items()} for row in rows]
        except (ValueError, TypeError, csv.Error) as error:
            raise StoreError(f"{self.folder / CURVES} is damaged: {error}. {PRUNE}") from error

    @cached_property
    def config(self) -> dict[str, Any]:
        """The stored configuration, empty when there is none."""
        return read_config(self.folder / CONFIG, self.content(CONFIG)) if CONFIG in self.record.get("files", {}) else {}

    @property
    def figures(self) -> list[Path]:
        """Paths of the stored figures."""
        return sorted(path for path in self.folder.glob("*.png") if not path.name.startswith("."))


def read_record(path: Path) -> dict[str, Any]:
    """Read a record.json. All records are read here, so each has the types and the digest that it should have.

    Raises:
        StoreError: if it cannot be read, is not a record, belongs to another folder, or was changed after it was written.
    """
    record = parse_record(read_bytes(path), path.parent.name, str(path))
    if record["format"] == 1:  # it has no digest of itself, so its numbers are compared with its arrays
        _ = Result(path.parent, record).arrays
    return record


def parse_record(content: bytes, id: str, where: str) -> dict[str, Any]:
    """Return the record in the content of a record.json, checked.

    Args:
        content: of the file.
        id: of the result that it must belong to.
        where: the file is, for messages.

    Raises:
        StoreError: if it is not a record, belongs to another result, or was changed after it was written.
    """
    try:
        _check_format(content)
        record: Record = parse(content, Record)
        check_record(record)
        if record["id"] != id:
            raise ValueError(f"it belongs to {record['id']}")
        if record["format"] >= 2:
            check_seal(content, record.get("digest"))
    except ValueError as error:
        raise StoreError(f"{where} is damaged: {error}. {PRUNE}") from error
    return json.loads(content)  # with its keys in the order of the file


def read_config(path: Path, content: bytes | None = None) -> dict[str, Any]:
    """Read a configuration of plain values.

    Raises:
        StoreError: if it cannot be read, or is not a mapping.
    """
    try:
        config = parse_yaml(read_bytes(path) if content is None else content) or {}
        if not isinstance(config, dict):
            raise ValueError("it is not a mapping")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise StoreError(f"{path} is damaged: {' '.join(str(error).split())[:200]}. {PRUNE}") from error
    return config


def _check_format(content: bytes) -> None:
    found = re.search(rb'"format": (\d{1,9})[,\s}]', content)
    if found and int(found[1]) > FORMAT:
        raise ValueError(f"it has format {int(found[1])}, and this version reads up to {FORMAT}: install a newer eigexp")


def _check_arrays(arrays: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> None:
    """Check that arrays have the shapes of a result, and the numbers of its record."""
    missing = [name for name in ARRAYS if name not in arrays]
    if missing:
        raise ValueError(f"it does not have {', '.join(missing)}")
    k, image = len(record["eigenindex"]), arrays["image"].shape
    shapes = {"eigendistortions": (k, *image), "intervals": (k, 2), **dict.fromkeys(("eigenvalues", "eigenindex", "residuals"), (k,))}
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(f"{name} has the shape {arrays[name].shape}, not {shape}")
    for name in ("eigenindex", "eigenvalues", "residuals", "intervals"):
        known = np.array(record[name], dtype=float).reshape(shapes[name])  # null becomes NaN
        found = np.where(np.isfinite(arrays[name]), arrays[name], np.nan)
        if not np.array_equal(known, found, equal_nan=True):
            raise ValueError(f"its {name} are not those of the record")


def curves_csv(rows: list[dict[str, Any]]) -> bytes:
    """Write rows as CSV. Columns are the union of their keys, in order of first appearance; None and NaN become empty cells."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    return csv_text([{key: None if value != value else value for key, value in row.items()} for row in rows], names).encode()


def arrays_of(pairs: "EigenPairs", image: "Image") -> dict[str, NDArray[Any]]:
    """Return the numpy arrays of pairs.safetensors by name: image, eigendistortions, eigenvalues, eigenindex, residuals, intervals."""
    return {name: as_array(image.pixels if name == "image" else getattr(pairs, name)) for name in ARRAYS}


def as_array(value: Any) -> NDArray[Any]:
    """Return a tensor or array as a contiguous numpy array, without importing torch."""
    return np.ascontiguousarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)


def _cell(text: str | None) -> Any:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    return int(text) if len(text) < 19 and text.lstrip("-").isdecimal() else number
