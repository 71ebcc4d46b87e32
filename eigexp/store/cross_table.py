"""Tables of several layers against each other: how sensitive each is to the eigendistortions of all, one file an image.

`<root>/sensitivity/<id>.json`, whole or absent like a result, its id made from the ids of the results whose eigendistortions it holds.
"""

import fnmatch
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.errors import ConfigurationError, StoreError, nearest
from eigexp.store.files import read_bytes, write_whole
from eigexp.store.labels import layer_label
from eigexp.store.record import ID_DIGITS, plain
from eigexp.store.store import Store

FOLDER = "sensitivity"
FORMAT = 1
COLUMNS = ("model", "image", "vectors_of", "eigenindex", "eigenvalue", "responses_of", "value", "relative", "table")


@dataclass(frozen=True)
class SensitivityTable:
    """v^T F_l v = ||W_l^(1/2) J_l v||^2 for every eigendistortion v of several layers of a model, under each of those layers l.

    Attributes:
        record: the file's content. `layers`: {layer, id, m, n, largest} each, `largest` the largest eigenvalue known; `vectors`: {layer (a
            position in `layers`), eigenindex, eigenvalue} each; `values` [vector][layer], squared response units per squared pixel unit;
            `model`, `image`, `deviation` (of the layers' own values from their eigenvalues, relative to their largest).
    """

    record: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """The table's id, from those of its results."""
        return self.record["id"]

    @property
    def ids(self) -> list[str]:
        """The results whose eigendistortions it holds, in the order of the layers."""
        return [layer["id"] for layer in self.record["layers"]]

    @property
    def layers(self) -> list[str]:
        """The layers' names; those of a concatenation joined by +."""
        return [layer_label(layer["layer"]) for layer in self.record["layers"]]

    @property
    def values(self) -> NDArray[np.float64]:
        """v^T F_l v, shape (vectors, layers)."""
        return np.array(self.record["values"], dtype=float).reshape(len(self.record["vectors"]), len(self.record["layers"]))

    def matrix(self, eigenindex: int) -> NDArray[np.float64]:
        """v^T F_l v for one eigendistortion of each layer: rows the layers of the vectors, columns those of the responses.

        Args:
            eigenindex: rank, negative counting from the end: 0 the most noticeable, -1 the least. NaN where a layer has no such pair.
        """
        side = len(self.record["layers"])
        found = np.full((side, side), np.nan)
        for vector, row in zip(self.record["vectors"], self.values, strict=True):
            n = self.record["layers"][vector["layer"]]["n"]
            if vector["eigenindex"] == eigenindex % n:
                found[vector["layer"]] = row
        return found

    def relative(self, eigenindex: int) -> NDArray[np.float64]:
        """As `matrix`, each column divided by its layer's largest eigenvalue: 1 is as noticeable as the layer's own most noticeable."""
        largest = np.array([layer["largest"] for layer in self.record["layers"]], dtype=float)
        return self.matrix(eigenindex) / np.where(largest > 0, largest, np.nan)

    def rows(self) -> Iterator[dict[str, Any]]:
        """One row of COLUMNS a value: whose distortion, and under which layer."""
        layers = self.record["layers"]
        for vector, values in zip(self.record["vectors"], self.record["values"], strict=True):
            for layer, value in zip(layers, values, strict=True):
                yield {
                    "model": self.record["model"],
                    "image": self.record["image"]["name"],
                    "vectors_of": layer_label(layers[vector["layer"]]["layer"]),
                    "eigenindex": vector["eigenindex"],
                    "eigenvalue": vector["eigenvalue"],
                    "responses_of": layer_label(layer["layer"]),
                    "value": value,
                    "relative": value / layer["largest"] if layer["largest"] else None,
                    "table": self.id,
                }


def table_id(ids: Iterable[str]) -> str:
    """The id of the table of these results, whatever their order."""
    return hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:ID_DIGITS]


def table_path(store: Store, id: str) -> Path:
    """Where a table lies, there or not."""
    return store.root / FOLDER / f"{id}.json"


def has_table(store: Store, id: str) -> bool:
    """Whether the table is there."""
    return table_path(store, id).exists()


def write_table(store: Store, content: Mapping[str, Any]) -> Path:
    """Write a table whole; one that is there is left as it is. Returns its path.

    Raises:
        StoreError: if the disk refuses it.
    """
    ids = [layer["id"] for layer in content["layers"]]
    record = plain({"id": table_id(ids), "format": FORMAT, **content})
    target = table_path(store, record["id"])
    if not target.exists():
        write_whole(target, (json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    return target


def read_table(path: Path) -> SensitivityTable:
    """A table's file.

    Raises:
        StoreError: if it cannot be read, or is not the table that its name says.
    """
    cure = "`eigexp store prune` sets it aside; the run that made it makes it again."
    try:
        record = json.loads(read_bytes(path))
        shape = np.array(record["values"], dtype=float).reshape(len(record["vectors"]), -1).shape
        whole = shape == (len(record["vectors"]), len(record["layers"])) or not record["vectors"]
        positions = {vector["layer"] for vector in record["vectors"]} <= set(range(len(record["layers"])))
        named = record["id"] == path.stem == table_id(layer["id"] for layer in record["layers"])
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} is damaged ({type(error).__name__}: {error}). {cure}") from error
    if not (whole and positions and named):
        raise StoreError(f"{path} is damaged: its values, layers and id do not belong together. {cure}")
    return SensitivityTable(record)


def table_files(store: Store) -> list[Path]:
    """The files of all tables, sorted by id."""
    return sorted(path for path in (store.root / FOLDER).glob("*.json") if not path.name.startswith("."))


def sensitivity_tables(store: Store, where: Sequence[str] = ()) -> list[SensitivityTable]:
    """All tables of a store, sorted by model and image.

    Args:
        store: the results.
        where: conditions that all must hold: "model=resnet18", "image=cam*". Other columns of results are not asked here.

    Raises:
        StoreError: if one is damaged.
        ConfigurationError: if a condition is none.
    """
    wanted = dict(_condition(text) for text in where)
    tables = [read_table(path) for path in table_files(store)]
    chosen = [t for t in tables if all(fnmatch.fnmatchcase(_about(t)[key].lower(), value.lower()) for key, value in wanted.items())]
    return sorted(chosen, key=lambda t: (*_about(t).values(), t.layers))


def _about(table: SensitivityTable) -> dict[str, str]:
    return {"model": str(table.record["model"]), "image": str(table.record["image"]["name"])}


def _condition(text: str) -> tuple[str, str]:
    key, sign, value = (part.strip() for part in text.partition("="))
    if not sign or key not in ("model", "image"):
        raise ConfigurationError(f"where={text!r} cannot choose tables of layers. {nearest(key, ['model', 'image'])} Write model=resnet18.")
    return key, value
