"""Save and load an object, with checks that it belongs to this image and model. Files of plenoptic are imported."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eigexp.errors import LoadError, LoadWarning
from eigexp.images import Image
from eigexp.io import SavedObject, is_plenoptic, read_object, write_object
from eigexp.pairs import EigenPairs, NullSpace
from eigexp.store import arrays_of, environment
from eigexp.store.result import ARRAYS, as_array
from eigexp.synthesis.checks import respond
from eigexp.synthesis.plenoptic_files import import_plenoptic
from eigexp.synthesis.solving import Solved, model_name

OBJECT = "eigexp.Eigendistortion"
_PAIRS = tuple(name for name in ARRAYS if name != "image")
_METADATA = {"format", "object", "attributes", "model", "versions", "device", "records", "curves"}


@dataclass(frozen=True)
class Kind:
    """What an object is beside its image, model and results: its class, its noise, subspace and norm, and a user's attributes."""

    name: str
    attributes: tuple[str, ...]


@dataclass(frozen=True)
class Loaded:
    """The content of a file."""

    image: Tensor
    jacobian: Tensor | None
    solved: tuple[Solved, ...]


def save_object(
    path: str | Path, kind: Kind, *, image: Tensor, model: Any, output: Tensor, solved: Sequence[Solved], jacobian: Tensor | None
) -> None:
    """Write an object: arrays "image", "model_output", "jacobian", and "<image number>.<name>" for each array of a stored result.

    Of the attributes that a user or a subclass gave it, the names are written, for the check when it is loaded.
    """
    arrays = {"image": as_array(image), "model_output": as_array(output)}
    if jacobian is not None:
        arrays["jacobian"] = as_array(jacobian)
    for i, one in enumerate(solved):
        pixels = image[i] if image.ndim > 1 else image
        found = arrays_of(one.pairs, Image(f"image {i}", pixels))
        arrays |= {f"{i}.{name}": found[name] for name in _PAIRS}
    metadata = {
        "object": kind.name,
        "attributes": list(kind.attributes),
        "model": model_name(model),
        "versions": environment()["versions"],
        "device": str(image.device),
        "records": [one.record for one in solved],
        "curves": [[_finite(row) for row in one.curves] for one in solved],
    }
    write_object(path, metadata, arrays)


def load_into(
    path: str | Path,
    kind: Kind,
    *,
    image: Tensor,
    model: Any,
    fresh: bool,
    map_location: str | torch.device | None,
    raise_on_checks: bool,
    atol: float,
    rtol: float,
) -> Loaded:
    """Load an object and check that it belongs to this image and model.

    Raises:
        LoadError: if a check fails; some checks only warn without `raise_on_checks`.
    """
    if not fresh:
        raise LoadError("load needs a new object, but this one already has eigendistortions. Make a new Eigendistortion.")
    checks = _Checks(str(path), raise_on_checks, atol, rtol)
    there = _device(image.device if map_location is None else map_location)
    if there != image.device:
        raise LoadError(f"the saved tensors would be on {there}, but the image is on {image.device}. Move the object with to() first.")
    saved = import_plenoptic(path) if Path(path).exists() and is_plenoptic(path) else read_object(path)
    checks.kind(saved, kind)
    tensors = {name: torch.from_numpy(array.copy()).to(there) for name, array in saved.arrays.items()}
    checks.equal("image", tensors["image"], image)
    checks.equal("model output", tensors["model_output"], checks.output(model, tensors["image"]))
    checks.name(saved.metadata.get("model"), model_name(model))
    solved = tuple(_solved(saved, i, tensors) for i in range(len(saved.metadata["records"])))
    return Loaded(tensors["image"], tensors.get("jacobian"), solved)


class _Checks:
    """Checks that raise, or warn without `raise_on_checks`."""

    def __init__(self, path: str, raises: bool, atol: float, rtol: float):
        self._path, self._raises, self._atol, self._rtol = path, raises, atol, rtol

    def fail(self, message: str) -> None:
        """Raise LoadError, or warn."""
        if self._raises:
            raise LoadError(f"{message} eigexp.io.examine({self._path!r}) shows the file; raise_on_checks=False loads it anyway.")
        warnings.warn(message, LoadWarning, stacklevel=5)

    def kind(self, saved: SavedObject, here: Kind) -> None:
        """Check the class of the object, and its attributes."""
        if saved.metadata.get("object") != here.name:
            self.fail(f"the saved object is a {saved.metadata.get('object')}, not an {here.name}.")
        records = saved.metadata.setdefault("records", [])
        wanted = {"image", "model_output", *(f"{i}.{name}" for i in range(len(records)) for name in _PAIRS)}
        missing = sorted(wanted - set(saved.arrays))
        if missing:
            raise LoadError(f"{self._path} lacks {', '.join(missing)}. Save the object again.")
        given = saved.metadata.get("attributes")
        theirs, ours = set(map(str, given if isinstance(given, list) else ())), set(here.attributes)
        extra = sorted(({*saved.arrays} - wanted - {"jacobian"}) | ({*saved.metadata} - _METADATA) | (theirs - ours))
        if extra:
            self.fail(f"the saved object has attributes that this one does not have and that are ignored: {', '.join(extra)}.")
        if ours - theirs:
            self.fail(f"this object has attributes that the saved one did not have: {', '.join(sorted(ours - theirs))}.")

    def output(self, model: Any, image: Tensor) -> Tensor | Exception:
        """Return the model's output for the saved image, or its error."""
        try:
            return respond(model, image).detach()
        except (RuntimeError, ValueError) as error:
            return error

    def equal(self, what: str, saved: Tensor, here: Tensor | Exception) -> None:
        """Check shape and values, and the dtype, whose difference always raises."""
        if isinstance(here, Exception):
            self.fail(f"the model cannot be called with the saved image: {here}.")
        elif saved.shape != here.shape:
            self.fail(f"the saved {what} has the shape {tuple(saved.shape)}, but that of this object {tuple(here.shape)}.")
        elif saved.dtype != here.dtype:
            raise LoadError(f"the saved {what} is {saved.dtype}, but that of this object {here.dtype}. Call to({saved.dtype}) before load.")
        elif not torch.allclose(saved, here, atol=self._atol, rtol=self._rtol):
            most = float((saved - here).abs().max())
            self.fail(f"the saved {what} has other values than that of this object: they differ by up to {most:.3g}.")

    def name(self, saved: Any, here: str) -> None:
        """Check the last part of the model's name."""
        if str(saved).rpartition(".")[2] != here:
            self.fail(f"the saved model is called {saved}, but that of this object {here}.")


def _solved(saved: SavedObject, i: int, tensors: dict[str, Tensor]) -> Solved:
    record = saved.metadata["records"][i]
    cpu = {name: tensors[f"{i}.{name}"].cpu() for name in _PAIRS}
    pairs = EigenPairs(
        **{**cpu, "eigendistortions": tensors[f"{i}.eigendistortions"]},
        clusters=tuple(tuple(cluster) for cluster in record["clusters"]),
        null_space=NullSpace.of(record["null_space"]),
        notes=tuple(record["notes"]),
        **{
            name: record[name]
            for name in ("evidence", "verified", "status", "tolerances", "method", "n", "m", "fisher_vector_products", "steps")
        },
    )
    curves = saved.metadata.get("curves") or []
    return Solved(pairs, record, curves[i] if i < len(curves) else [])


def _device(name: str | torch.device) -> torch.device:
    """Return a device with its number, as tensors name it."""
    return torch.empty(0, device=name).device


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN by None, because JSON has no NaN."""
    return {key: None if value != value else value for key, value in row.items()}
