"""Files of saved objects: safetensors with JSON in the header, and plenoptic's files. Nothing is unpickled."""

import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from eigexp.errors import LoadError
from eigexp.store.files import read_bytes, write_output

FORMAT = 1
_KEY = "eigexp"


@dataclass(frozen=True)
class SavedObject:
    """The content of a file.

    Attributes:
        metadata: plain values: object, format, model, versions, and further values of the object.
        arrays: by name.
    """

    metadata: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Examined:
    """The outline of a file; prints as a table.

    Attributes:
        path: of the file.
        metadata: plain values, without the object's records.
        shapes: {name: "dtype, shape"} of every array.
    """

    path: str
    metadata: dict[str, Any]
    shapes: dict[str, str]

    def __repr__(self) -> str:
        """Return aligned lines."""
        entries = {**{key: _in_brief(value) for key, value in self.metadata.items()}, **self.shapes}
        width = max(map(len, entries), default=0)
        return "\n".join([self.path, *(f"  {key:<{width}}  {value}" for key, value in entries.items())])


def write_object(path: str | Path, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write an object atomically to one file.

    Raises:
        StoreError: if it cannot be written.
    """
    header = {_KEY: json.dumps({"format": FORMAT, **metadata}, allow_nan=False)}
    write_output(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}, metadata=header))


def read_object(path: str | Path) -> SavedObject:
    """Read an object.

    Raises:
        LoadError: if the file was not written by `write_object`, is damaged, or has a newer format.
        StoreError: if it cannot be read.
    """
    content = read_bytes(Path(path), follow=True)
    metadata, _ = _outline(content, str(path))
    try:
        arrays = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise LoadError(f"{path} is damaged: {error}. Save the object again.") from error
    return SavedObject(metadata, arrays)


def is_plenoptic(path: str | Path) -> bool:
    """Return whether a file is a zip archive, as `torch.save` and so plenoptic write it."""
    return zipfile.is_zipfile(path)


def read_plenoptic(path: str | Path, map_location: Any = None) -> dict[str, Any]:
    """Read the attributes of an object that plenoptic saved, tensors and plain values only (`torch.load(weights_only=True)`).

    Raises:
        LoadError: if the file contains anything else.
    """
    import pickle

    import torch

    try:
        saved = torch.load(path, map_location=map_location, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise LoadError(
            f"{path} cannot be read safely: {error}. Give a file of plenoptic 1.2 or later; map_location='cpu' if it was saved on a GPU."
        ) from error
    if not isinstance(saved, dict) or not isinstance(saved.get("save_metadata"), dict):
        raise LoadError(f"{path} is not a saved object of plenoptic: it has no save_metadata. Give a file of its `save` method.")
    return saved


def examine(path: str | Path, map_location: Any = None) -> Examined:
    """Return the outline of a saved object: kind, versions, model, and the dtype and shape of every array. Also for plenoptic's files.

    The arrays of a file of eigexp are not loaded: its header is enough.

    Args:
        path: of the file.
        map_location: device for tensors of plenoptic's file, such as "cpu".

    Raises:
        LoadError: (a ValueError) if the file is not a saved object.
        StoreError: if it cannot be read.
    """
    if Path(path).exists() and is_plenoptic(path):
        return _examine_plenoptic(path, map_location)
    metadata, shapes = _outline(read_bytes(Path(path), follow=True), str(path))
    records = metadata.pop("records", [])
    metadata.pop("curves", None)
    for i, record in enumerate(records):
        prefix = f"{i}." if len(records) > 1 else ""
        metadata |= {f"{prefix}{key}": record.get(key) for key in ("method", "status", "verified", "steps", "fisher_vector_products")}
    return Examined(str(path), metadata, shapes)


def _outline(content: bytes, path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return metadata and shapes from the header of a safetensors file."""
    try:
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        metadata = json.loads(header.pop("__metadata__")[_KEY])
        shapes = {name: f"{entry['dtype']}, shape {tuple(entry['shape'])}" for name, entry in header.items()}
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LoadError(f"{path} is not a saved object of eigexp. Give a file of `Eigendistortion.save`, or of plenoptic's.") from error
    if metadata.get("format", 0) > FORMAT:
        raise LoadError(f"{path} has format {metadata['format']}, but this version reads up to {FORMAT}. Install a newer eigexp.")
    return metadata, shapes


def _examine_plenoptic(path: str | Path, map_location: Any) -> Examined:
    import torch

    saved = read_plenoptic(path, map_location)
    info = saved.pop("save_metadata")
    metadata: dict[str, Any] = {
        "object": info.get("synthesis_object"),
        "versions": {name.removesuffix("_version"): info[name] for name in ("plenoptic_version", "torch_version") if name in info},
    }
    shapes = {}
    for key, value in saved.items():
        name = key.removeprefix("_")
        if isinstance(value, torch.Tensor):
            shapes[name] = f"{str(value.dtype).removeprefix('torch.')}, shape {tuple(value.shape)}"
        elif isinstance(value, tuple) and value and isinstance(value[0], str):
            metadata[name] = value[0]
        else:
            metadata[name] = list(value) if isinstance(value, torch.Size) else value
    return Examined(str(path), metadata, shapes)


def _in_brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    text = str(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
