"""Whether autograd's derivative is the derivative of the response, by finite differences along certified vectors.

Straight-through estimators, `detach`, custom backward passes and gradient hooks make autograd return another linear map than the Jacobian.
A solver cannot see that: its products are consistent with each other.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from eigexp.operators.jacobian import JacobianOperator
from eigexp.shapes import Rows

_STEP = 1e-6  # of the image's norm: rounding and curvature are both far below the tolerance there
_SHORTER = 16.0
_TOLERANCE = 1e-3  # of sqrt(lambda_1): how far a response may move differently from what the product says
_ROUNDINGS = 64.0


def derivative_errors(A: JacobianOperator, vectors: Rows, largest: float) -> list[float]:
    """Return for each vector (k, n) how far A v is from the response's derivative, relative to sqrt(lambda_1); 0.0 where they agree.

    Two forward passes a vector, two more where they disagree at first: a wrong derivative stays wrong with a shorter step, while the effect
    of curvature, and of kinks near the image, shrinks with the step.

    Args:
        A: operator of one image, in float64.
        vectors: unit rows.
        largest: lambda_1.
    """
    length = float(torch.linalg.vector_norm(A.images)) or float(A.images[0].numel() ** 0.5)
    return [_error(A, v[None, None], _STEP * length, largest**0.5) for v in vectors]


def _error(A: JacobianOperator, v: Tensor, step: float, scale: float) -> float:
    product = A.apply(v)
    error, rounding = _excess(A, v, product, step, scale)
    if error <= _TOLERANCE + rounding:
        return 0.0
    shorter, rounding = _excess(A, v, product, step / _SHORTER, scale)
    return 0.0 if shorter <= max(_TOLERANCE + rounding, error / 2) else shorter


def _excess(A: JacobianOperator, v: Tensor, product: Tensor, step: float, scale: float) -> tuple[float, float]:
    """How far A v lies outside the two one-sided difference quotients, and what rounding could make of that; relative to sqrt(lambda_1).

    At a kink exactly at the image (equal values under max pooling, zero under ReLU) the two sides differ, and autograd returns a value
    between them: that is a choice, not an error.
    """
    ahead, behind = A.difference_quotient(v, step), A.difference_quotient(v, -step)
    low, high = torch.minimum(ahead, behind), torch.maximum(ahead, behind)
    outside = (low - product).clamp(min=0) + (product - high).clamp(min=0)
    rounding = _ROUNDINGS * torch.finfo(A.dtype).eps * float(torch.linalg.vector_norm(A.whiten(A.response[:, None]))) / step
    return float(torch.linalg.vector_norm(outside)) / scale, rounding / scale


def derivative_note(index: Sequence[int], errors: Sequence[float]) -> list[str]:
    """Return the sentence about vectors along which autograd's derivative is wrong, if there are any."""
    wrong = [i for i, error in zip(index, errors, strict=True) if error > 0]
    if not wrong:
        return []
    which = ", ".join(map(str, wrong[:6])) + (", ..." if len(wrong) > 6 else "")
    return [
        f"autograd's derivative is not the derivative of the response along distortion {which}: finite differences differ from it by up to "
        f"{max(errors):.1e} of the largest derivative (a straight-through estimator, detach(), a custom backward pass or a gradient hook)"
    ]
