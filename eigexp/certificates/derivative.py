"""Whether autograd's derivative is the derivative of the response, by finite differences along certified vectors.

With straight-through estimators, `detach`, custom backward passes or gradient hooks, autograd returns a linear map other than the Jacobian.
A solver cannot detect this: its products are consistent with each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from eigexp.operators.jacobian import JacobianOperator
from eigexp.shapes import Rows

_STEP = 1e-8  # of the image's norm: curvature is far below the tolerance there, and so is rounding
_SHORTER = 16.0  # by as much the second step is shorter: the error of curvature shrinks with it, that of a wrong derivative does not
_MOVE = 1e-3  # of a pixel's mean size: far enough to part values that are equal at the image, by much more than a step
_TOLERANCE = 1e-4  # of sqrt(lambda_1): how far a response may move differently from what the product says
_GOLDEN = 0.6180339887498949  # irrational, so that no two weights have a simple ratio
_ROUNDINGS = 64.0  # eps of the response's norm: what the sums of a forward pass may add to it


def derivative_errors(A: JacobianOperator, vectors: Rows, products: Mapping[int, Tensor], largest: float) -> dict[int, float]:
    """Return how far A v is from the response's derivative, relative to sqrt(lambda_1), by position; 0.0 where they agree.

    This takes one forward pass where they agree, along a weighted sum of the vectors; where they do not, one along each. A disagreement
    may be due to equal values at the image (under max pooling, or zero under ReLU): there autograd correctly chooses one of several
    derivatives. So the comparison is repeated at a nearby image without equal values: a wrong derivative is wrong there, too.

    Args:
        A: operator of one image, in float64.
        vectors: unit rows (k, n).
        products: A v (m,) of those to check, by position.
        largest: lambda_1.
    """
    length = float(torch.linalg.vector_norm(A.images)) or float(A.images[0].numel() ** 0.5)
    step, scale = _STEP * length, largest**0.5
    if len(products) > 1 and _agree_together(A, vectors, products, step, scale):
        return dict.fromkeys(products, 0.0)
    # At the image itself first: most models pass there, and the second image costs a linearisation.
    errors = {i: _error(A, vectors[i][None, None], product[None, None], step, scale) for i, product in products.items()}
    suspects = [i for i, error in errors.items() if error]
    if suspects:
        beside = _beside(A, length)
        for i in suspects:
            v = vectors[i][None, None]
            errors[i] = _error(beside, v, beside.apply(v), step, scale)
    return errors


def _agree_together(A: JacobianOperator, vectors: Rows, products: Mapping[int, Tensor], step: float, scale: float) -> bool:
    """Return whether A v agrees with a finite difference along a weighted sum of the vectors.

    Errors of several vectors cancel only where their sizes have the ratio of the weights, which are between 1 and 2.
    """
    weights = {i: 1 + _GOLDEN * place % 1 for place, i in enumerate(products)}
    v, product = (sum((weight * rows[i] for i, weight in weights.items()), torch.tensor(0.0)) for rows in (vectors, products))
    # One quotient alone: where a vector meets a kink, the range between two of them would admit the error of another vector.
    return _distance(A, v[None, None], product[None, None], step, scale)[0] <= _TOLERANCE + _rounding(A, step, scale)


def _beside(A: JacobianOperator, length: float) -> JacobianOperator:
    """Return the operator at an image whose pixels are moved a little, at random."""
    noise = torch.randn(A.images.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(A.images)
    moved = A.images + _MOVE * length / A.images[0].numel() ** 0.5 * noise
    return type(A)(replace(A.point, images=moved))


def _error(A: JacobianOperator, v: Tensor, product: Tensor, step: float, scale: float) -> float:
    """Return the disagreement along one vector; 0.0 within the tolerance, or where it shrinks with the step as curvature and kinks do."""
    error, rounding = _excess(A, v, product, step, scale)
    if error <= _TOLERANCE + rounding:
        return 0.0
    # Half is far from both cases: 1/16 where curvature is the cause, 1 where the derivative is wrong.
    shorter, rounding = _excess(A, v, product, step / _SHORTER, scale)
    return 0.0 if shorter <= max(_TOLERANCE + rounding, error / 2) else shorter


def _excess(A: JacobianOperator, v: Tensor, product: Tensor, step: float, scale: float) -> tuple[float, float]:
    """Return how far A v lies outside the two one-sided difference quotients, and a bound on its rounding, relative to sqrt(lambda_1).

    At a kink the two sides differ, and autograd returns a value between them, unless later layers mix the responses.
    """
    rounding = _rounding(A, step, scale)
    excess, ahead = _distance(A, v, product, step, scale)
    # What lies near one quotient lies near both, at most: the other costs a forward pass, and most models need none.
    if excess <= _TOLERANCE + rounding:
        return excess, rounding
    behind = A.difference_quotient(v, -step)
    low, high = torch.minimum(ahead, behind), torch.maximum(ahead, behind)
    outside = (low - product).clamp(min=0) + (product - high).clamp(min=0)
    return float(torch.linalg.vector_norm(outside)) / scale, rounding


def _distance(A: JacobianOperator, v: Tensor, product: Tensor, step: float, scale: float) -> tuple[float, Tensor]:
    """Return how far A v lies from one difference quotient, relative to sqrt(lambda_1), and that quotient."""
    ahead = A.difference_quotient(v, step)
    return float(torch.linalg.vector_norm(ahead - product)) / scale, ahead


def _rounding(A: JacobianOperator, step: float, scale: float) -> float:
    return _ROUNDINGS * torch.finfo(A.dtype).eps * A.response_norm / step / scale


def derivative_note(index: Sequence[int], errors: Mapping[int, float]) -> list[str]:
    """Return the sentence about vectors along which autograd's derivative is wrong, if there are any; errors by position."""
    wrong = [index[i] for i, error in errors.items() if error > 0]
    if not wrong:
        return []
    which = ", ".join(map(str, wrong[:6])) + (", ..." if len(wrong) > 6 else "")
    return [
        f"autograd's derivative is not the derivative of the response along distortion {which}: finite differences differ from it by up "
        f"to {max(errors.values()):.1e} of the largest derivative (straight-through estimator, detach(), custom backward pass, or hook)"
    ]
