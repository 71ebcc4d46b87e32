"""Cross tables: the sensitivity of several layers or models to stored distortions, as rows; of layers, one file per image.

`<root>/cross/<id>.json`, complete or absent like a result; older stores have them in `sensitivity/`. The id of a table is made from the
ids of the results that it compares.
"""

import fnmatch
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.errors import ConfigurationError, StoreError, nearest
from eigexp.store.files import read_bytes, write_atomically
from eigexp.store.labels import layer_label, model_label
from eigexp.store.record import ID_DIGITS, plain, shown
from eigexp.store.schema import TableFile, parse
from eigexp.store.seal import check_seal, sealed
from eigexp.store.store import Store

FOLDER = "cross"
FOLDERS = (FOLDER, "sensitivity")  # the second is where earlier versions wrote; it is read, not written
FORMAT = 2  # 1 had no digest
COLUMNS = ("id", "model", "layer", "image", "eigenindex", "eigenvalue", "seen_by", "value", "threshold", "ratio")


@dataclass(frozen=True)
class CrossTable:
    """v^T F_l v = ||W_l^(1/2) J_l v||^2 for every eigendistortion v of several layers of a model, under each of those layers l.

    Attributes:
        record: the file's content. `layers`: for each {layer, id, m, n, largest}, `largest` the largest known eigenvalue; `vectors`: for
            each {layer (its position in `layers`), eigenindex, eigenvalue}; `values` [vector][layer], squared response units per squared
            pixel unit; `model`, `image`, `deviation` (of each layer's values for its own vectors from their eigenvalues, relative to its
            largest eigenvalue).
    """

    record: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        """The table's id, made from the ids of its results."""
        return self.record["id"]

    @property
    def ids(self) -> list[str]:
        """Ids of the results whose eigendistortions it holds, in the order of the layers."""
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
        """Return v^T F_l v for one eigendistortion v of each layer, NaN where a layer has no such pair. Row: layer of v; column: layer l.

        Args:
            eigenindex: 0 for the most noticeable distortion; negative numbers count from the end, -1 the least noticeable.
        """
        side = len(self.record["layers"])
        found = np.full((side, side), np.nan)
        for vector, row in zip(self.record["vectors"], self.values, strict=True):
            n = self.record["layers"][vector["layer"]]["n"]
            if vector["eigenindex"] == eigenindex % n:
                found[vector["layer"]] = row
        return found

    def relative(self, eigenindex: int) -> NDArray[np.float64]:
        """Return `matrix` with each column divided by its layer's largest eigenvalue, so that 1 is the largest response of a layer."""
        largest = np.array([layer["largest"] for layer in self.record["layers"]], dtype=float)
        return self.matrix(eigenindex) / np.where(largest > 0, largest, np.nan)

    def rows(self) -> list[dict[str, Any]]:
        """Return a row of COLUMNS for each value."""
        about, layers = self.record, self.record["layers"]
        names = [model_label(about["model"], layer["layer"]) for layer in layers]
        rows = []
        for vector, values in zip(about["vectors"], about["values"], strict=True):
            of = layers[vector["layer"]]
            result = {"id": of["id"], "model": about["model"], "layer": of["layer"], "image": about["image"]}
            rows += rows_of(result, vector["eigenindex"], vector["eigenvalue"], dict(zip(names, values, strict=True)))
        return with_ratios(rows)


def rows_of(record: Mapping[str, Any], eigenindex: int, eigenvalue: float | None, values: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return a row of COLUMNS but the last for each model or layer that a distortion was shown to.

    Args:
        record: `id`, `model`, `layer` and `image` of the distortion's result.
        eigenindex: of the distortion.
        eigenvalue: of the distortion.
        values: v^T F v, by the name of the model or layer that sees it.
    """
    layer = record["layer"]
    about = {
        "id": record["id"],
        "model": record["model"],
        "layer": layer_label(layer) if layer else None,
        "image": record["image"]["name"],
        "eigenindex": eigenindex,
        "eigenvalue": eigenvalue,
    }
    return [{**about, "seen_by": name, "value": value, "threshold": value**-0.5 if value > 0 else None} for name, value in values.items()]


def with_ratios(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with `ratio`: each value relative to the largest that the same model or layer has at the same image."""
    rows, largest = list(rows), dict[tuple[Any, Any], float]()
    for row in rows:
        key = row["image"], row["seen_by"]
        largest[key] = max(largest.get(key, 0.0), row["value"])
    return [row | {"ratio": row["value"] / top if (top := largest[row["image"], row["seen_by"]]) > 0 else None} for row in rows]


def table_id(ids: Iterable[str]) -> str:
    """Return the id of the table of these results; their order does not matter."""
    return hashlib.sha256(" ".join(sorted(ids)).encode()).hexdigest()[:ID_DIGITS]


def table_path(store: Store, id: str) -> Path:
    """Return the path of a table, whether it exists or not."""
    paths = [store.root / folder / f"{id}.json" for folder in FOLDERS]
    return next((path for path in paths if path.exists()), paths[0])


def has_table(store: Store, id: str) -> bool:
    """Return whether the table exists."""
    return table_path(store, id).exists()


def write_table(store: Store, content: Mapping[str, Any]) -> Path:
    """Write a table atomically, unless it exists. Returns its path.

    Raises:
        StoreError: if it cannot be written.
    """
    ids = [layer["id"] for layer in content["layers"]]
    record = shown(plain({"id": table_id(ids), "format": FORMAT, **content}))
    target = table_path(store, record["id"])
    if not target.exists():
        write_atomically(target, sealed(record))
    return target


def read_table(path: Path) -> CrossTable:
    """Read a table from its file.

    Raises:
        StoreError: if it cannot be read or is corrupt.
    """
    hint = "Run `eigexp store prune --yes` to move it away, then run the configuration that made it."
    try:
        content = read_bytes(path)
        table: TableFile = parse(content, TableFile)
        if table["format"] >= 2:
            check_seal(content, table.get("digest"))
    except ValueError as error:
        raise StoreError(f"{path} is damaged: {error}. {hint}") from error
    layers, vectors = table["layers"], table["vectors"]
    complete = len(table["values"]) == len(vectors) and all(len(row) == len(layers) for row in table["values"])
    positions = all(vector["layer"] < len(layers) for vector in vectors)
    named = table["id"] == path.stem == table_id(layer["id"] for layer in layers)
    if not (complete and positions and named):
        raise StoreError(f"{path} is damaged: its values, layers and id do not match. {hint}")
    return CrossTable(dict(table))


def table_files(store: Store) -> list[Path]:
    """Return the files of all tables, sorted by id."""
    folders = [store.root / folder for folder in FOLDERS if not (store.root / folder).is_symlink()]
    paths = [path for folder in folders for path in folder.glob("*.json") if not path.name.startswith(".")]
    return sorted({path.name: path for path in reversed(paths)}.values(), key=lambda path: path.name)


def cross_tables(store: Store, where: Sequence[str] = ()) -> list[CrossTable]:
    """Read the tables of a store, sorted by model and image.

    Args:
        store: the store.
        where: conditions on model and image, all of which must hold: "model=resnet18", "image=cam*".

    A damaged table is left out, with a warning in the log.

    Raises:
        ConfigurationError: if a condition is invalid.
    """
    wanted = dict(_condition(text) for text in where)
    tables = []
    for path in table_files(store):
        try:
            tables.append(read_table(path))
        except StoreError as error:
            store.leave_out(path.stem, str(error))
    store.warn_of_left_out()
    chosen = [t for t in tables if all(fnmatch.fnmatchcase(_about(t)[key].lower(), value.lower()) for key, value in wanted.items())]
    return sorted(chosen, key=lambda t: (*_about(t).values(), t.layers))


def _about(table: CrossTable) -> dict[str, str]:
    return {"model": str(table.record["model"]), "image": str(table.record["image"]["name"])}


def _condition(text: str) -> tuple[str, str]:
    key, sign, value = (part.strip() for part in text.partition("="))
    if not sign or key not in ("model", "image"):
        raise ConfigurationError(f"where={text!r} cannot select cross tables. {nearest(key, ['model', 'image'])} Write model=resnet18.")
    return key, value
