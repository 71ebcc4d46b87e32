"""The numbers of a step and of a certificate, for `trainer.callback_metrics`."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from eigexp.pairs import EigenPairs
from eigexp.solvers.base import Progress
from eigexp.store.metric_names import metric_name, pair_metrics, summary_metrics
from eigexp.training.time_left import relative_residual

RESIDUAL = "residual"  # the largest of an image, relative to its largest eigenvalue: what `solver.tol` and Convergence compare
_D_LOWER, _VERIFIED = "D_lower", "verified"


def step_metrics(progress: Progress, n: int) -> dict[str, float]:
    """Return the metrics of one image after a step, as far as they are known.

    They are "top/1/eigenvalue", "bottom/1/residual", ..., `RESIDUAL`, "D_lower" and "verified". The last is 0 before a certificate. Ritz
    values lie within the spectrum, so "D_lower" = 1/2 ln(theta_1 / theta_n) is a lower bound at every step.

    Args:
        progress: of the image.
        n: number of coordinates.
    """
    values = (*progress.eigenvalues, *progress.residuals, relative_residual(progress), _d_lower(progress, n), 0.0)
    return {name: value for name, value in zip(_names(progress.eigenindex, n), values, strict=True) if math.isfinite(value)}


def certified_metrics(pairs: EigenPairs) -> dict[str, float]:
    """Return the metrics of one image after its certificate, by values and residuals of fresh products."""
    index, values, residuals = pairs.eigenindex.tolist(), pairs.eigenvalues.tolist(), pairs.residuals.tolist()
    found = pair_metrics(index, pairs.n, eigenvalue=values, residual=residuals)
    summary = summary_metrics(index, values, pairs.intervals.tolist(), pairs.n, verified=pairs.verified)
    found |= {name: summary[name] for name in (_D_LOWER, _VERIFIED) if name in summary}
    if len(values) and values[0] > 0:
        found[RESIDUAL] = max(residuals) / values[0]
    return found


def of_all_images(by_image: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the metrics of one image as they are; of several under "<image>/", and without it those of all together.

    Together means: the mean of each eigenvalue, the largest of each residual, the smallest of "D_lower" and "verified".
    """
    rows = list(by_image.values())
    if len(rows) == 1:
        return dict(rows[0])
    found = {f"{image}/{key}": value for image, row in by_image.items() for key, value in row.items()}
    shared = set(rows[0]).intersection(*rows[1:])
    return found | {key: _together(key, [row[key] for row in rows]) for key in rows[0] if key in shared}


def as_tensors(metrics: Mapping[str, float]) -> dict[str, Tensor]:
    """Return the metrics as tensors of no axis, float64, which is what Lightning's callbacks compare."""
    values = np.array(list(metrics.values()), dtype=np.float64)  # at half the cost of torch.tensor, and at every step
    return dict(zip(metrics, torch.from_numpy(values).unbind(), strict=True))


def _together(key: str, values: Sequence[float]) -> float:
    if key.endswith("eigenvalue"):
        return sum(values) / len(values)
    return min(values) if key in (_D_LOWER, _VERIFIED) else max(values)


def _d_lower(progress: Progress, n: int) -> float:
    index, values = progress.eigenindex, progress.eigenvalues
    if len(index) < 2 or index[0] != 0 or index[-1] != n - 1 or not (values[0] > 0 and values[-1] > 0):
        return math.nan
    return max(0.5 * math.log(values[0] / values[-1]), 0.0)


@lru_cache(maxsize=64)
def _names(eigenindex: tuple[int, ...], n: int) -> tuple[str, ...]:
    """Return the names of `step_metrics`, in its order; the same at almost every step."""
    pairs = [metric_name(index, n, quantity) for quantity in ("eigenvalue", "residual") for index in eigenindex]
    return (*pairs, RESIDUAL, _D_LOWER, _VERIFIED)
