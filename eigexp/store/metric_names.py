"""The names under which loggers, `trainer.callback_metrics` and sweeps know the numbers of a result: one source, without torch.

A pair is named from its own end of the spectrum, so that runs on images of different sizes share their keys: "top/1/eigenvalue" is the
largest eigenvalue, "bottom/1/eigenvalue" the smallest, "bottom/2/residual" the residual of the second smallest.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from eigexp.store.identity import is_ratio
from eigexp.store.labels import Interval, end_of

STEP = "solver/step"
PRODUCTS = "solver/fisher_vector_products"
PATTERNS = ("top/*", "bottom/*", PRODUCTS)  # what is drawn against the solver's step
SUMMARY = ("lambda_max", "lambda_min_bound", "D_lower", "threshold_top", "verified")


def metric_name(eigenindex: int, n: int, quantity: str) -> str:
    """Return the name of a pair's "eigenvalue" or "residual", such as "top/1/eigenvalue"."""
    end = end_of(eigenindex, n)
    return f"{end}/{eigenindex + 1 if end == 'top' else n - eigenindex}/{quantity}"


def pair_metrics(eigenindex: Sequence[int], n: int, **quantities: Sequence[float | None]) -> dict[str, float]:
    """Return {name: value} of pairs; what is None or not finite is left out.

    Args:
        eigenindex: of the pairs, among all n eigenvalues.
        n: number of coordinates.
        quantities: `eigenvalue=`, `residual=`, one value a pair.
    """
    return {
        metric_name(index, n, name): value
        for name, values in quantities.items()
        for index, value in zip(eigenindex, values, strict=True)
        if value is not None and math.isfinite(value)
    }


def row_metrics(row: Mapping[str, Any], n: int) -> dict[str, float]:
    """Return the metrics of one row of curves.csv, whose columns are "eigenvalue/<eigenindex>" and "residual/<eigenindex>"."""
    metrics: dict[str, float] = {STEP: row["step"], PRODUCTS: row["fisher_vector_products"]}
    for key, value in row.items():
        quantity, _, index = key.partition("/")
        if quantity in ("eigenvalue", "residual") and index.isdigit() and value is not None and math.isfinite(value):
            metrics[metric_name(int(index), n, quantity)] = value
    return metrics


def summary_metrics(
    eigenindex: Sequence[int], eigenvalues: Sequence[float | None], intervals: Sequence[Interval], n: int, *, verified: bool
) -> dict[str, float]:
    """Return the numbers by which results are compared, as far as they are known: see `SUMMARY`.

    `lambda_max` is the largest eigenvalue; `lambda_min_bound` the upper bound of the smallest; `D_lower` the lower bound of
    1/2 ln(lambda_1 / lambda_n); `threshold_top` the norm 1/sqrt(lambda_1) from which the most noticeable distortion is predicted to be
    seen; `verified` is 1 or 0.
    """
    at = {int(index): position for position, index in enumerate(eigenindex)}
    found: dict[str, float | None] = {"verified": float(verified)}
    if 0 in at:
        largest = eigenvalues[at[0]]
        found |= {"lambda_max": largest, "threshold_top": largest**-0.5 if largest and largest > 0 else None}
    if n - 1 in at:
        found["lambda_min_bound"] = intervals[at[n - 1]][1]
    if n > 1 and 0 in at and n - 1 in at:
        found["D_lower"] = d_bounds(intervals[at[0]], intervals[at[n - 1]])[0]
    return {name: found[name] for name in SUMMARY if (value := found.get(name)) is not None and math.isfinite(value)}  # pyright: ignore[reportReturnType]


def record_summary(record: Mapping[str, Any]) -> dict[str, float]:
    """Return `summary_metrics` of a record."""
    found = summary_metrics(
        record["eigenindex"], record["eigenvalues"], record["intervals"], record["n"], verified=bool(record.get("verified"))
    )
    return {name: value for name, value in found.items() if name != "threshold_top" or not is_ratio(record)}


def d_bounds(top: Interval, bottom: Interval) -> tuple[float | None, float | None]:
    """Return the bounds of D = 1/2 ln(lambda_1 / lambda_n) by the two intervals; None where there is none.

    D is never negative. A smallest eigenvalue that is exactly zero leaves the lower bound infinite.
    """
    (top_low, top_high), (bottom_low, bottom_high) = top, bottom
    if bottom_high == 0 and top_low and top_low > 0:
        return math.inf, None
    lower, upper = _half_log(top_low, bottom_high), _half_log(top_high, bottom_low)
    return lower and max(lower, 0.0), upper


def _half_log(top: float | None, bottom: float | None) -> float | None:
    if top is None or bottom is None or not (0 < top < math.inf and 0 < bottom < math.inf):
        return None
    return 0.5 * math.log(top / bottom)
