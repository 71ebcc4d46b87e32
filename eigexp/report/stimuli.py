"""Images with distortions added, as PNG files for an experiment, and a table of the effects of clipping and rounding."""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eigexp.errors import ConfigurationError
from eigexp.report.pixels import default_scale
from eigexp.report.png import encode_png
from eigexp.report.view import View
from eigexp.report.words import clipping_words
from eigexp.store.csv_text import csv_text
from eigexp.store.files import write_output
from eigexp.store.identity import is_ratio

MANIFEST = "manifest.csv"
COLUMNS: tuple[str, ...] = (
    "file",
    "id",
    "model",
    "image",
    "eigenindex",
    "eigenvalue",
    "alpha",
    "bits",
    "clipped",
    "realised_alpha",
    "cosine",
    "rounding_rms",
    "predicted_dprime",
    "measured_dprime",
)
Distance = Callable[[NDArray[Any], NDArray[Any]], float]
_DEPTHS: dict[int, type[np.uint8] | type[np.uint16]] = {8: np.uint8, 16: np.uint16}
_UNSAFE = re.compile(r"[^\w.-]+")


def export_stimuli(
    result: Any,
    folder: str | Path,
    *,
    alphas: Sequence[float] | None = None,
    dprimes: Sequence[float] = (),
    eigenindex: Sequence[int] | None = None,
    bits: Sequence[int] = (8, 16),
    record: Mapping[str, Any] | None = None,
    distance: Distance | None = None,
) -> list[dict[str, Any]]:
    """Write image + alpha * distortion and image - alpha * distortion as PNG, the image itself, and manifest.csv. Returns its rows.

    A row says, for each file: `clipped`, the share of values that left [0, 1]; `realised_alpha`, the norm of the difference between the
    two files that a screen shows, the reference and this one, and `cosine`, how much of its direction is the distortion's (1 is all);
    `rounding_rms`, the rounding to its bits; `predicted_dprime`, alpha * sqrt(eigenvalue), by the model, before clipping and rounding,
    and `measured_dprime`, how far apart the model's responses to the two files are.

    Args:
        result: a stored Result, or arrays by the names of pairs.safetensors.
        folder: where the files go; created if necessary. Its manifest keeps rows of other results.
        alphas: norms of the distortions, in pixel units (image values are in [0, 1]); one at which both ends are visible by default.
        dprimes: further norms, in predicted thresholds: that of d' is d' / sqrt(eigenvalue) of each distortion. One whose eigenvalue may
            be zero has no predicted threshold; it is shown at `alphas` alone.
        eigenindex: of the distortions, negative from the end; both ends by default.
        bits: depths to write, 8 and 16.
        record: of the result, where arrays are given.
        distance: of the model's responses to two images, for `measured_dprime`; empty without.

    Raises:
        ConfigurationError: if a norm is not positive, a depth is unknown, a distortion has no predicted threshold, or the image is neither
            grey nor colour.
        StoreError: if the folder cannot be written.
    """
    view = View.of(result, record)
    norms = norms_of(view, alphas=alphas, dprimes=dprimes, eigenindex=eigenindex, bits=bits)
    folder = Path(folder)
    rows = []
    for depth in bits:
        reference = quantise(view.image.astype(np.float64), depth)
        rows.append(_write(folder, view, depth, reference, reference, None, 0.0)[0])
        for position, sizes in norms.items():
            for alpha in (sign * size for size in sizes for sign in (1, -1)):
                values = view.image.astype(np.float64) + alpha * view.distortions[position]
                row, shown = _write(folder, view, depth, values, reference, position, alpha)
                rows.append(row | {"measured_dprime": distance(shown, reference) if distance else None})
    _write_manifest(folder / MANIFEST, rows)
    return rows


def norms_of(
    view: View, *, alphas: Sequence[float] | None, dprimes: Sequence[float], eigenindex: Sequence[int] | None, bits: Sequence[int]
) -> dict[int, list[float]]:
    """Return the norms of the distortion at each position, after a check of the arguments of `export_stimuli`.

    Raises:
        ConfigurationError: as `export_stimuli`.
    """
    positions = view.positions(eigenindex)
    alphas = list(alphas) if alphas is not None else [] if dprimes else [default_scale(view.distortions[positions])]
    _check(view, [*alphas, *dprimes], bits)
    return {at: list(dict.fromkeys([*alphas, *_predicted(dprimes, view, at, needed=not alphas)])) for at in positions}


def quantise(values: NDArray[Any], bits: int) -> NDArray[np.float64]:
    """Return values as a file of that bit depth holds them: clipped to [0, 1] and rounded."""
    levels = 2**bits - 1
    return np.round(np.clip(values, 0, 1) * levels) / levels


def _write(
    folder: Path, view: View, bits: int, values: NDArray[Any], reference: NDArray[Any], position: int | None, alpha: float
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Write one file; its row of the manifest, and its values as the file holds them."""
    shown = quantise(values, bits)
    name = _file_name(view, bits, position, alpha)
    levels = 2**bits - 1
    planes = np.round(shown * levels).astype(_DEPTHS[bits]).reshape(-1, *shown.shape[-2:])
    write_output(folder / name, encode_png(np.moveaxis(planes, 0, -1) if len(planes) == 3 else planes[0]))
    difference = shown - reference
    norm = float(np.linalg.norm(difference))
    clipped = float(np.mean((values < 0) | (values > 1)))
    row = dict.fromkeys(COLUMNS) | {"file": name, "bits": bits, "alpha": alpha, "clipped": clipped, "realised_alpha": norm}
    row |= {"id": view.record.get("id"), "model": view.record.get("model"), "image": (view.record.get("image") or {}).get("name")}
    row["rounding_rms"] = float(np.sqrt(np.mean((shown - np.clip(values, 0, 1)) ** 2)))
    if position is not None:
        value = max(float(view.eigenvalues[position]), 0.0)
        row |= {
            "eigenindex": int(view.eigenindex[position]),
            "eigenvalue": value,
            "predicted_dprime": None if is_ratio(view.record) else abs(alpha) * value**0.5,
        }
        row["cosine"] = float(np.sign(alpha) * np.vdot(difference, view.distortions[position]) / norm) if norm else 0.0
    return row, shown


def file_stem(view: View) -> str:
    """Return what the files of a result are called: image, model and id, without anything that could lead out of a folder."""
    image = (view.record.get("image") or {}).get("name") or "image"
    parts = [
        _UNSAFE.sub("-", str(part))[:60].strip(".")
        for part in (image, view.record.get("model"), str(view.record.get("id") or "")[:8])
        if part
    ]
    return "_".join(part for part in parts if part)


def _predicted(dprimes: Sequence[float], view: View, position: int, *, needed: bool) -> list[float]:
    """Return the norms at which these d' are predicted; none, unless `needed`, where the model predicts no threshold."""
    threshold = view.threshold(position)
    if threshold is not None:
        return [dprime * threshold for dprime in dprimes]
    if needed and dprimes:
        why = "is a ratio" if is_ratio(view.record) else "may be zero"
        raise ConfigurationError(
            f"The eigenvalue of {view.record.get('id')}, eigenindex {int(view.eigenindex[position])}, {why}: it predicts no threshold. "
            "Give norms, too: --alpha 0.5"
        )
    return []


def _file_name(view: View, bits: int, position: int | None, alpha: float) -> str:
    what = "reference" if position is None else f"eigenindex{int(view.eigenindex[position])}_{alpha:+g}"
    return f"{file_stem(view)}_{what}_{bits}bit.png"


def summary_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the effect of clipping and rounding, one line for each distortion, norm and bit depth: the worse of both signs."""
    groups: dict[tuple[int, float, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["eigenindex"] is not None:
            groups.setdefault((row["eigenindex"], abs(row["alpha"]), row["bits"]), []).append(row)
    lines = []
    for (index, alpha, bits), both in groups.items():
        clipped, cosine = max(row["clipped"] for row in both), min(row["cosine"] for row in both)
        shown = min(row["realised_alpha"] for row in both)
        effect = f"{clipping_words(clipped)}, norm in the file {shown:.4g}, cosine to the distortion {cosine:.4f}"
        lines.append(f"eigenindex {index}, norm {alpha:g}, {bits} bit: {effect}")
    return lines


def _write_manifest(path: Path, rows: list[dict[str, Any]]) -> None:
    new = {row["file"] for row in rows}
    kept: list[dict[str, Any]] = []
    if path.exists():
        with path.open(newline="", encoding="utf-8") as file:
            kept = [row for row in csv.DictReader(file) if row.get("file") not in new]
    write_output(path, csv_text([*kept, *rows], COLUMNS).encode())


def _check(view: View, alphas: Sequence[float], bits: Sequence[int]) -> None:
    bad = [alpha for alpha in alphas if not (np.isfinite(alpha) and alpha > 0)]
    if bad or not alphas:
        raise ConfigurationError(f"alphas={list(alphas)} must be positive norms in pixel units, or d'. Both signs are written for each.")
    if unknown := [depth for depth in bits if depth not in _DEPTHS]:
        raise ConfigurationError(f"bits={unknown[0]} must be 8, 16 or both.")
    if view.image.ndim < 2 or int(np.prod(view.image.shape[:-2])) not in (1, 3):
        raise ConfigurationError(
            f"An input of shape {list(view.image.shape)} is neither grey nor colour. Stimuli need one or three channels."
        )
