"""A stored result, read without torch: its record at once, its arrays when they are first used."""

import csv
import io
import json
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
from eigexp.store.files import read_bytes

if TYPE_CHECKING:
    from eigexp.images import Image
    from eigexp.pairs import EigenPairs

RECORD = "record.json"
PAIRS = "pairs.safetensors"
CURVES = "curves.csv"
CONFIG = "config.yaml"
ARRAYS = ("eigendistortions", "eigenvalues", "eigenindex", "residuals", "intervals", "image")


@dataclass(frozen=True)
class Result:
    """One complete result of a store.

    Attributes:
        folder: where its files are.
        record: record.json.
    """

    folder: Path
    record: dict[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """The result's id."""
        return self.record["id"]

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of pairs.safetensors by name.

        Raises:
            StoreError: if the file is missing or damaged.
        """
        path = self.folder / PAIRS
        try:
            return load(read_bytes(path))
        except (SafetensorError, ValueError, KeyError) as error:
            raise StoreError(f"{path} is damaged: {error}. Run `eigexp store prune --yes`, then compute it again.") from error

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
        path = self.folder / CURVES
        if not path.exists():
            return []
        return [
            {key: _cell(value) for key, value in row.items()} for row in csv.DictReader(io.StringIO(read_bytes(path).decode(), newline=""))
        ]

    @cached_property
    def config(self) -> dict[str, Any]:
        """The stored configuration, empty when there is none."""
        path = self.folder / CONFIG
        return yaml.safe_load(read_bytes(path)) or {} if path.exists() else {}

    @property
    def figures(self) -> list[Path]:
        """Paths of the stored figures."""
        return sorted(path for path in self.folder.glob("*.png") if not path.name.startswith("."))


def read_record(path: Path) -> dict[str, Any]:
    """Read a record.json.

    Raises:
        StoreError: if it cannot be read or is not a record.
    """
    try:
        record = json.loads(read_bytes(path))
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}. Run `eigexp store prune --yes`, then compute it again.") from error
    if not isinstance(record, dict) or "id" not in record:
        raise StoreError(f"{path} is not a record of eigexp: it has no id. Run `eigexp store prune --yes` to set it aside.")
    return record


def curves_csv(rows: list[dict[str, Any]]) -> bytes:
    """Write rows as CSV. Columns are the union of their keys, in order of first appearance; None and NaN become empty cells."""
    names = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value != value else value for key, value in row.items()} for row in rows)
    return text.getvalue().encode()


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
    return int(number) if text.lstrip("-").isdigit() else number
