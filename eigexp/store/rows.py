"""One record as one row of plain values: its columns, every setting it was computed with, and all its pairs."""

import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from eigexp.errors import StoreError
from eigexp.store.identity import is_ratio, settings_of
from eigexp.store.labels import VERIFIED, end_of, layer_label
from eigexp.store.metric_names import d_bounds

Row = dict[str, Any]
SETTINGS = {"k": "solver.k", "tol": "solver.tol", **{name: name for name in ("solver", "noise", "subspace", "size", "seed", "dtype")}}
COLUMNS: tuple[str, ...] = (
    "id",
    "model",
    "layer",
    "image",
    "n",
    "m",
    "top",
    "top_low",
    "top_high",
    "bottom",
    "bottom_low",
    "bottom_high",
    "D",
    "D_low",
    "D_high",
    "threshold_top",
    "threshold_top_low",
    "threshold_top_high",
    "threshold_bottom",
    "threshold_bottom_low",
    "threshold_bottom_high",
    "evidence_top",
    "evidence_bottom",
    "verified",
    "status",
    "method",
    "fisher_vector_products",
    "seconds",
    "created",
    *SETTINGS,
)
# What a row has beside its columns, as JSON text in the index.
DETAILS = ("settings", "pairs", "image_sha256", "notes")
PAIR_COLUMNS = ("eigenindex", "end", "rank", "eigenvalue", "low", "high", "residual", "threshold", "threshold_low", "threshold_high")


def row_of(record: Mapping[str, Any]) -> Row:
    """Return the columns and details of one record.

    `top` is the largest eigenvalue and `bottom` the smallest of all n, None where not computed. D and a threshold are None where only a
    bound is known, which then is in the column `..._low` or `..._high`.

    Raises:
        StoreError: if the record lacks a key.
    """
    try:
        return {**_columns(record), **_details(record)}
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(f"The record of {record.get('id')} lacks {error}. Run `eigexp store verify`.") from error


def packed(row: Row) -> Row:
    """Return a row with its details as JSON text, for the index."""
    return {**row, **{name: json.dumps(row[name]) for name in DETAILS}}


def unpacked(row: Row) -> Row:
    """Return the row that was `packed`; rows with the same settings share them."""
    return {**row, **{name: (_shared if name == "settings" else json.loads)(row[name]) for name in DETAILS}}


@lru_cache(maxsize=256)
def _shared(text: str) -> Any:
    return json.loads(text)


def _columns(record: Mapping[str, Any]) -> Row:
    ends = {"top": _end(record, 0), "bottom": _end(record, record["n"] - 1)}
    evidence, layer, settings = record["evidence"], record.get("layer"), settings_of(record)
    values = {
        **{key: record.get(key) for key in COLUMNS},
        "image": record["image"]["name"],
        "layer": None if layer is None else layer_label(layer),
        "evidence_top": evidence.get("top"),
        "evidence_bottom": evidence.get("bottom"),
        **{column: settings.get(key) for column, key in SETTINGS.items()},
    }
    for end, (value, low, high) in ends.items():
        values |= {end: value, f"{end}_low": low, f"{end}_high": high}
        values |= _bounded(f"threshold_{end}", *_threshold(record, value, low, high))
    return values | _bounded("D", *_separation(record["n"], ends["top"], ends["bottom"]))


def _details(record: Mapping[str, Any]) -> Row:
    pairs = [_pair(record, at) for at in range(len(record["eigenindex"]))]
    sha256, notes = record["image"].get("sha256") or "", record.get("notes") or []
    return {"settings": settings_of(record), "pairs": pairs, "image_sha256": sha256, "notes": notes}


def _pair(record: Mapping[str, Any], at: int) -> Row:
    index, n, (low, high) = record["eigenindex"][at], record["n"], record["intervals"][at]
    end, value = end_of(index, n), record["eigenvalues"][at]
    evidence = record["evidence"].get(end)
    return {
        "eigenindex": index,
        "end": end,
        "rank": index + 1 if end == "top" else n - index,
        "eigenvalue": value,
        "low": low,
        "high": high,
        "residual": record["residuals"][at],
        **_bounded("threshold", *_threshold(record, value, low, high)),
        "evidence": evidence,
        "verified": evidence in VERIFIED,
    }


def _bounded(name: str, value: float | None, low: float | None, high: float | None) -> Row:
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _end(record: Mapping[str, Any], eigenindex: int) -> tuple[float | None, float | None, float | None]:
    if eigenindex not in record["eigenindex"]:
        return None, None, None
    at = record["eigenindex"].index(eigenindex)
    low, high = record["intervals"][at]
    return record["eigenvalues"][at], low, high


def _threshold(
    record: Mapping[str, Any], value: float | None, low: float | None, high: float | None
) -> tuple[float | None, float | None, float | None]:
    """Return 1/sqrt(lambda) with its bounds; no value where lambda may be zero, nothing where it is a ratio."""
    if is_ratio(record):
        return None, None, None
    known = value if low and low > 0 else None
    return tuple(bound**-0.5 if bound and bound > 0 else None for bound in (known, high, low))  # pyright: ignore[reportReturnType]


def _separation(n: int, top: Sequence[float | None], bottom: Sequence[float | None]) -> tuple[float | None, float | None, float | None]:
    """Return D = 1/2 ln(lambda_1 / lambda_n) with its bounds; no value where lambda_n may be zero."""
    if n < 2 or top[0] is None or bottom[0] is None:
        return None, None, None
    low, high = d_bounds((top[1], top[2]), (bottom[1], bottom[2]))
    value = 0.5 * math.log(top[0] / bottom[0]) if high is not None and top[0] > 0 and bottom[0] > 0 else None
    return value, low, high
