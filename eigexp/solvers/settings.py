"""Checks that the settings of several solvers share."""

import math
from numbers import Integral, Real

import torch

from eigexp.errors import ConfigurationError


def check_positive(**settings: float | None) -> None:
    """Refuse settings that are not positive numbers (None passes: not set).

    Raises:
        ConfigurationError: naming the first such setting and its value.
    """
    for name, value in settings.items():
        if value is not None and not (isinstance(value, Real) and math.isfinite(value) and value > 0):
            raise ConfigurationError(f"solver.{name}={value} must be a positive number. Set one greater than 0.")


def check_counts(**counts: int | None) -> None:
    """Refuse negative numbers of pairs, and a request for no pairs.

    Raises:
        ConfigurationError: naming the setting and its value.
    """
    for name, value in counts.items():
        least = 1 if name == "k" else 0
        if value is not None and not isinstance(value, Integral):
            raise ConfigurationError(f"solver.{name}={value!r} must be a whole number: it counts eigenpairs.")
        if value is not None and value < least:
            raise ConfigurationError(f"solver.{name}={value} must be at least {least}: it counts eigenpairs.")
    if counts.get("k_top") == 0 and counts.get("k_bottom") == 0:
        raise ConfigurationError("solver.k_top=0 and solver.k_bottom=0 request no eigenpairs. Set one of them to 1 or more.")


def check_sizes(k_top: int, k_bottom: int, n: int) -> None:
    """Refuse more pairs than there are eigenvalues.

    Raises:
        ConfigurationError: if more than n pairs are requested at one end.
    """
    if max(k_top, k_bottom) > n:
        raise ConfigurationError(f"solver.k={max(k_top, k_bottom)} is more than the n={n} eigenvalues of this image. Set at most {n}.")


def check_precision(tol: float, dtype: torch.dtype) -> None:
    """Refuse a tolerance below the rounding of the products, and one that every vector meets.

    Raises:
        ConfigurationError: if `tol` is less than 4 units of the dtype's precision, or not less than 1.
    """
    if tol >= 1:
        raise ConfigurationError(f"solver.tol={tol} must be less than 1: it is relative to the largest eigenvalue. Set 1e-4, for example.")
    least = 4 * torch.finfo(dtype).eps
    if tol < least:
        name = str(dtype).removeprefix("torch.")
        raise ConfigurationError(
            f"solver.tol={tol} is below the rounding of {name} products ({least:.1e}). Set a larger tol, or dtype=float64."
        )
