"""The variance over models of ln(u^T F_n u / v^T F_n v), its gradient, curvature and bound, for metrics given as matrices."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.linalg
import torch
from jaxtyping import Float
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

_RTOL = 1e-6  # of the curvature
_DENSE = 64  # coordinates of both vectors up to which the Hessian is made as a matrix

Metrics = Float[Tensor, "models n n"]
Extremes = tuple[tuple[float, float], Float[Tensor, "two n"], float]


def log_sensitivities(F: Metrics, uv: Float[Tensor, "two n"]) -> Float[Tensor, "models two"]:
    """Return ln(w^T F_n w / w^T w) of both directions under each model, with their graph."""
    quadratic = torch.einsum("ki,nij,kj->nk", uv, F, uv)
    return quadratic.log() - uv.square().sum(1).log()


def disagreement(F: Metrics, uv: Float[Tensor, "two n"]) -> Tensor:
    """Return Var_n of the logarithm of the ratio of both sensitivities (Feather et al. 2025), with its graph."""
    return deviations(log_sensitivities(F, uv)).square().mean()


def deviations(logs: Float[Tensor, "models two"]) -> Float[Tensor, " models"]:
    """Return how far each model's logarithm of the ratio of both sensitivities is from the mean over models."""
    ratio = logs[:, 0] - logs[:, 1]
    return ratio - ratio.mean()


def gradient_weights(sensitivities: Float[Tensor, "models two"]) -> Float[Tensor, "models two"]:
    """Return what the products F_n w are multiplied with in the gradient of the disagreement, sum_n weight_n F_n w.

    Args:
        sensitivities: w^T F_n w of both directions.
    """
    # The mean's own gradient drops out, because the deviations sum to zero.
    sign = torch.tensor([1.0, -1.0], dtype=sensitivities.dtype, device=sensitivities.device)
    return 4 / len(sensitivities) * deviations(sensitivities.log())[:, None] * sign / sensitivities


def value_and_gradient(products: Float[Tensor, "models two n"], uv: Float[Tensor, "two n"]) -> tuple[float, Float[Tensor, "two n"]]:
    """Return the disagreement and its gradient, from the products F_n w with both directions."""
    quadratic = (products * uv).sum(2)
    value = float(deviations(quadratic.log()).square().mean())
    return value, (gradient_weights(quadratic)[:, :, None] * products).sum(0)


def group_ratios(logs: Float[Tensor, "models two"]) -> Float[Tensor, " two"]:
    """Return rho(w) = exp((2 / N) sum_n z_n ln w^T F_n w) of both directions, z the deviations over their root mean square.

    It compares the models on one side of the mean with those on the other: the ratio w^T F_1 w / w^T F_2 w of two models, and for any
    number of them the root of the variance is 1/2 ln(rho(u) / rho(v)).
    """
    deviation = deviations(logs)
    spread = deviation.square().mean().sqrt()
    z = deviation / spread if float(spread) > 0 else deviation
    return (2 / len(logs) * z @ logs).exp()


def slopes(value: float, gradient: Float[Tensor, "two n"], uv: Float[Tensor, "two n"]) -> Float[Tensor, " two"]:
    """Return the norm of the gradient of the root of the variance along the unit sphere of each direction."""
    # The variance does not change with lengths, so that its gradient is tangent to the spheres.
    return gradient.norm(dim=1) * uv.norm(dim=1) / (2 * max(value, 1e-300) ** 0.5)


def largest_curvature(F: Metrics, uv: Float[Tensor, "two n"]) -> float:
    """Return the largest eigenvalue of the Hessian along the two unit spheres: negative or zero at a maximum.

    The objective does not change with the lengths of u and v, so that both are null directions of the Hessian; they are left out.
    """
    unit = uv.detach() / uv.detach().norm(dim=1, keepdim=True)
    x = unit.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(disagreement(F, x), x, create_graph=True)

    def curve(direction: np.ndarray) -> np.ndarray:
        along = _tangent(torch.from_numpy(direction.reshape(2, -1)), unit)
        (product,) = torch.autograd.grad(gradient, x, along, retain_graph=True)
        return _tangent(product, unit).flatten().numpy()

    size = unit.numel()
    # Lengths have curvature zero here, which is the least that this can return where all other directions curve downwards.
    if size <= _DENSE:
        return float(np.linalg.eigvalsh(np.stack([curve(row) for row in np.eye(size)]))[-1])
    H: Any = LinearOperator((size, size), matvec=curve, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    found: Any = eigsh(
        H,
        k=1,
        which="LA",
        v0=np.random.default_rng(0).normal(size=size),
        tol=_RTOL,  # pyright: ignore[reportArgumentType]
        return_eigenvectors=False,
    )
    return float(found[0])


def _tangent(block: Tensor, unit: Tensor) -> Tensor:
    """Return the part of two vectors (2, n) that is orthogonal to two unit vectors, each to its own."""
    return block - (block * unit).sum(1, keepdim=True) * unit


def extremal_ratios(A: Float[Tensor, "n n"], B: Float[Tensor, "n n"]) -> Extremes:
    """Return the largest and the smallest v^T A v / v^T B v, unit vectors of both, and a bound on their relative error.

    The error is that of the computed root R of B^-1, e = ||R B R - I|| (Ostrowski 1959), and the residuals of the two eigenpairs.
    """
    values, Q = torch.linalg.eigh(B)
    R = (Q * values.rsqrt()) @ Q.T
    S = R @ A @ R
    ratios, Z = scipy.linalg.eigh(((S + S.T) / 2).cpu().numpy())
    ends = torch.from_numpy(Z[:, [-1, 0]].T.copy()).to(S)
    high, low = float(ratios[-1]), float(ratios[0])
    residual = (ends @ S - torch.tensor([[high], [low]], dtype=S.dtype) * ends).norm(dim=1)
    error = float(torch.linalg.matrix_norm(R @ B @ R - torch.eye(len(B), dtype=B.dtype))) + float(residual.max()) / max(low, 1e-300)
    vectors = ends @ R
    return (high, low), vectors / vectors.norm(dim=1, keepdim=True), error


def upper_bound(ranges: Sequence[tuple[float, float]], errors: Sequence[float], models: int) -> float:
    """Return (1 / N^2) sum over pairs of ln^2(rho_max / rho_min): an upper bound of the disagreement for any two directions.

    Var_n r_n = (1 / N^2) sum_{n < m} (r_n - r_m)^2, and |r_n - r_m| = |ln(u^T F_n u / u^T F_m u) - ln(v^T F_n v / v^T F_m v)| is at most
    the range of one ratio. Errors of the ratios widen it.
    """
    wide = [math.log(high / low) + 2 * abs(error) for (high, low), error in zip(ranges, errors, strict=True)]
    return sum(width**2 for width in wide) / models**2
